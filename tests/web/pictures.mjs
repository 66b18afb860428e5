// SPDX-License-Identifier: MIT
// pictures.mjs PROGRAM FOLDER: pictures of the live page, by the real program and browser, from pcaps/.
import path from 'node:path';
import { Meter, browserPath, drawn, launch, until } from './browser.mjs';

const root = path.resolve(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), '../..');
const [program, folder] = process.argv.slice(2).map((p) => path.resolve(p));

// Name, options of portmeter, the view, size, colours; what the pointer is put on.
const PICTURES = [
	{ name: 'page', args: ['-r', 'pcaps/services.pcapng', '--interval', '1'], hash: '#pin=443', width: 1440, height: 1240, scheme: 'light' },
	{ name: 'page-dark', args: ['-r', 'pcaps/anomaly-scan.pcap', '--interval', '0'], hash: '#tab=ports', width: 1440, height: 1240, scheme: 'dark', port: 9999 },
	{ name: 'page-phone', args: ['-r', 'pcaps/services.pcapng', '--interval', '1'], hash: '', width: 360, height: 1240, scheme: 'light', phone: true },
];

async function picture(browser, { name, args, hash, width, height, scheme, phone, port }) {
	const meter = new Meter(program, args, { cwd: root });
	try {
		const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, timezoneId: 'UTC', isMobile: phone, hasTouch: phone });
		const page = await context.newPage();
		await page.goto((await meter.url()) + hash);
		await drawn(page);
		await until('all is read', async () => /All of/.test(await page.locator('#status-text').textContent()));
		if (port !== undefined) {
			const box = await page.locator('#map').boundingBox();
			const cell = box.width / 264;
			await page.mouse.move(box.x + ((port % 256) + 4.5) * cell, box.y + (Math.floor(port / 256) + 4.5) * cell);
		}
		await page.waitForTimeout(500);
		await page.screenshot({ path: path.join(folder, `${name}.png`) });
		await context.close();
	} finally {
		await meter.stop();
	}
}

if (browserPath() === null) {
	console.error('page-pictures: there is no Chromium here: scripts/bootstrap --tests installs it');
	process.exit(1);
}
const browser = await launch();
for (const p of PICTURES) await picture(browser, p);
await browser.close();
