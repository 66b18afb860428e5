// SPDX-License-Identifier: MIT
// Small helpers for the document. Text from outside goes in as text, never as markup; sizes and
// colours go in through the style object, since the page allows no style attributes.

export const $ = (id) => document.getElementById(id);

export function make(tag, attributes = {}, ...children) {
	const node = tag === 'svg' || tag === 'path' ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag);
	for (const [name, value] of Object.entries(attributes)) {
		if (value === null || value === undefined || value === false) continue;
		if (name === 'onclick') node.addEventListener('click', value);
		else node.setAttribute(name, value === true ? '' : value);
	}
	node.append(...children.filter((c) => c !== null && c !== undefined));
	return node;
}

// Writes only what has changed, so that a reader's selection and a screen reader's place stay.
export function text(node, value) {
	const wanted = String(value);
	if (node.textContent !== wanted) node.textContent = wanted;
}

// Children of @parent, one for each item: made once, then filled again.
export function fill(parent, items, create, update) {
	while (parent.children.length > items.length) parent.lastElementChild.remove();
	items.forEach((item, i) => {
		let node = parent.children[i];
		if (!node) {
			node = create();
			parent.append(node);
		}
		update(node, item, i);
	});
}

export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// A sparkline: an area over time, its top the largest value.
export function spark(values, width = 96, height = 22) {
	const svg = make('svg', { class: 'spark', viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' },
		make('path', { class: 'spark-area' }), make('path', { class: 'spark-line' }));
	sparkUpdate(svg, values, width, height);
	return svg;
}

export function sparkUpdate(svg, values, width = 96, height = 22) {
	const top = Math.max(...values, 0);
	const step = width / Math.max(1, values.length);
	let line = '';
	values.forEach((value, i) => {
		const y = (top > 0 ? height - 1 - ((height - 2) * value) / top : height - 1).toFixed(1);
		line += `${i ? 'L' : 'M'}${(i * step).toFixed(1)} ${y}L${((i + 1) * step).toFixed(1)} ${y}`;
	});
	svg.firstChild.setAttribute('d', line && `${line}L${width} ${height}L0 ${height}Z`);
	svg.lastChild.setAttribute('d', line);
}
