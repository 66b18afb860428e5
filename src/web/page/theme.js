// SPDX-License-Identifier: MIT
// Runs before the page is drawn, so that a chosen theme does not flash up late.
(() => {
	let theme = null;
	try {
		theme = localStorage.getItem('portmeter-theme');
	} catch {
		// storage may be forbidden; then the system's theme holds
	}
	if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
})();
