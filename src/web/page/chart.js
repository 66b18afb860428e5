// SPDX-License-Identifier: MIT
// Traffic over time, stacked by service. Each step is an interval: its rate holds from its start to its end.
import { $, colour, fill, make, text } from './view.js';
import { between, clock, rate, scaled, serviceOver, share } from './format.js';

/* global uPlot */

// As much of the time as tells the marks apart.
function times(splits) {
	const step = splits.length > 1 ? splits[1] - splits[0] : 60;
	const days = splits.length > 1 && splits[splits.length - 1] - splits[0] > 72000;
	return splits.map((v) => {
		const at = clock(v * 1000);
		if (days) return clock(v * 1000, true).slice(5, 16);
		if (step >= 60) return at.slice(0, 5);
		return step >= 1 ? at : `${at.slice(6)}.${String(Math.round(v * 1000) % 1000).padStart(3, '0')}`;
	});
}

const AXIS = 74, RIGHT = 28; // px: room for the figures of y, and for half a label of x
const STROKED = 3; // px: narrower steps have no line around them, it would cover them

// Of the steps in each of @n columns the highest, as its number: narrower than a pixel, it would not be seen.
function columns({ x, all }, n) {
	const from = x[0], width = (x[x.length - 1] - from) / n;
	const list = new Array(n).fill(null);
	for (let i = 0; i + 1 < x.length; i++) {
		const last = Math.min(n - 1, Math.ceil((x[i + 1] - from) / width - 1e-6) - 1);
		for (let c = Math.min(last, Math.floor((x[i] - from) / width + 1e-6)); c <= last; c++) {
			if (c >= 0 && (list[c] === null || (all[i] ?? -1) > (all[list[c]] ?? -1))) list[c] = i;
		}
	}
	return { x: list.map((_, c) => from + c * width), steps: list };
}

export class Chart {
	// @onZoom(from, to) in seconds; @onPin(key) of a service.
	constructor(onZoom, onPin) {
		this.frame = $('chart');
		this.onZoom = onZoom;
		this.onPin = onPin;
		this.plot = null;
		this.at = null;
		new ResizeObserver(() => this.resize()).observe(this.frame);
	}

	size() {
		return { width: Math.max(200, this.frame.clientWidth), height: Math.max(120, this.frame.clientHeight) };
	}

	resize() {
		if (!this.plot) return;
		this.plot.setSize(this.size());
		this.draw();
	}

	rebuild() {
		this.plot?.destroy();
		this.plot = null;
		this.shape = '';
		if (this.view) this.update(this.view, this.names);
	}

	// The bands from the bottom up: services, other services, without a name, without ports.
	layers(view) {
		const { keys, rates, named, unknown, noPort } = view.chart;
		const list = keys.map((key, n) => ({ key, name: key, colour: `--band-${n}`, values: rates[n] }));
		list.push({ key: 'other', name: 'other services', colour: '--band-other', values: named });
		list.push({ key: 'unknown', name: 'unnamed ports', colour: '--band-unknown', values: unknown });
		list.push({ key: 'no_port', name: 'no ports', colour: '--band-noport', values: noPort });
		return list;
	}

	update(view, names) {
		this.view = view;
		this.names = names;
		this.list = this.layers(view);
		this.draw();
		const { x } = view.chart;
		const first = view.ranking[0];
		const label = x.length ? `Traffic over time by service, ${between(view.from, view.to)}. ${first ? `Most: ${names(first)}, ${share(first.value, this.total(view))}.` : ''} The table has the figures.` : 'No traffic yet.';
		if (this.frame.getAttribute('aria-label') !== label) this.frame.setAttribute('aria-label', label);
		this.legend();
	}

	// What is drawn of the steps: each, or of those that are narrower than a pixel the highest.
	draw() {
		const { view, list: layers } = this;
		const { x } = view.chart;
		const width = Math.max(50, Math.floor(this.size().width - AXIS - RIGHT));
		const whole = x.length ? x[x.length - 1] - x[0] : 0;
		let narrowest = whole > 0 ? width : 0;
		for (let i = 0; i + 1 < x.length; i++) if (x[i + 1] > x[i]) narrowest = Math.min(narrowest, ((x[i + 1] - x[i]) / whole) * width);
		this.columns = whole > 0 && narrowest < 1 ? columns(view.chart, width) : null;
		const stacks = [];
		let below = x.map(() => 0);
		for (const { values } of layers) {
			below = values.map((value, i) => (value === null ? null : value + below[i]));
			stacks.push(below);
		}
		const factor = view.unit === 'bits' ? 8 : 1;
		// The highest is drawn first, the others over it.
		let data = [x, ...stacks.reverse().map((s) => s.map((v) => (v === null ? null : v * factor)))];
		if (this.columns) {
			// The last column reaches to its end, too.
			const steps = [...this.columns.steps, this.columns.steps[width - 1]];
			data = [[...this.columns.x, x[x.length - 1]], ...data.slice(1).map((s) => steps.map((i) => (i === null ? null : s[i])))];
		}
		const stroked = narrowest >= STROKED;
		const shape = `${layers.length}/${stroked}/${view.unit}/${document.documentElement.dataset.theme}/${matchMedia('(prefers-color-scheme: dark)').matches}`;
		if (this.shape !== shape || !this.plot) {
			this.plot?.destroy();
			this.shape = shape;
			this.plot = new uPlot(this.options([...layers].reverse(), view.unit, stroked), data, this.frame);
		} else {
			this.plot.setData(data, false);
			this.rescale();
		}
		this.rescale();
	}

	total(view) {
		return view.unit === 'bits' ? view.bytes : view.packets;
	}

	rescale() {
		const { x, all } = this.view.chart;
		if (!x.length) return;
		const factor = this.view.unit === 'bits' ? 8 : 1;
		const top = Math.max(...all.map((v) => v ?? 0), 1) * factor;
		this.plot.batch(() => {
			this.plot.setScale('x', { min: x[0], max: Math.max(x[x.length - 1], x[0] + 0.001) });
			this.plot.setScale('y', { min: 0, max: top * 1.08 });
		});
	}

	options(layers, unit, stroked) {
		const ink = colour('--muted'), line = colour('--line');
		const font = `12px ${getComputedStyle(document.body).fontFamily}`;
		const axis = { stroke: ink, font, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1, size: 4 } };
		return {
			...this.size(),
			legend: { show: false },
			padding: [8, RIGHT, 0, 0],
			cursor: { drag: { x: true, y: false, setScale: false }, points: { show: false }, y: false },
			scales: { x: { time: true, auto: false }, y: { auto: false } },
			axes: [
				{ ...axis, grid: { show: false }, space: 92, size: 26,
					values: (_, splits) => times(splits) },
				{ ...axis, size: AXIS, space: 36, ticks: { show: false },
					values: (_, splits) => splits.map((v) => { const { text: t, prefix } = scaled(v); return v === 0 ? '0' : `${t.replace(/\.0+$|(\.\d)0$/, '$1')} ${prefix}${unit === 'bits' ? 'bit/s' : 'pkt/s'}`; }) },
			],
			series: [{}, ...layers.map((layer) => ({
				label: layer.name, fill: colour(layer.colour), stroke: stroked ? colour('--card') : null, width: stroked ? 0.5 : 0, points: { show: false }, spanGaps: false,
				// A gap begins where its first mark stands, or the step before it would be gone.
				paths: uPlot.paths.stepped({ align: 1, alignGaps: 1 }),
			}))],
			hooks: {
				setCursor: [(u) => {
					this.at = u.cursor.left >= 0 ? this.stepAt(u.posToVal(u.cursor.left, 'x')) : null;
					this.legend();
				}],
				setSelect: [(u) => {
					if (u.select.width < 6) return;
					const from = u.posToVal(u.select.left, 'x'), to = u.posToVal(u.select.left + u.select.width, 'x');
					u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
					this.onZoom(from, to);
				}],
			},
		};
	}

	// The step that is drawn where a time is.
	stepAt(seconds) {
		const { x } = this.view.chart;
		if (this.columns) {
			const { x: starts, steps } = this.columns;
			const at = Math.floor(((seconds - starts[0]) / (x[x.length - 1] - starts[0])) * starts.length);
			const step = steps[Math.min(starts.length - 1, Math.max(0, at))];
			if (step !== null) return step;
		}
		let i = x.length - 1;
		while (i > 0 && x[i] > seconds) i--;
		return i;
	}

	// Under the chart: the bands' names, with their share, or their rate where the pointer is.
	legend() {
		const { view, list, at } = this;
		const items = list.filter((layer) => layer.key !== null && layer.values.some((v) => v > 0));
		const weight = (layer) => layer.values.reduce((n, v, i) => n + (v ?? 0) * Math.max(0, (view.chart.x[i + 1] ?? view.chart.x[i]) - view.chart.x[i]), 0);
		const whole = items.reduce((n, layer) => n + weight(layer), 0);
		fill($('legend'), items, () => make('li', {}, make('button', { type: 'button' }, make('i', { 'aria-hidden': 'true' }), make('b'), make('span'))), (node, layer) => {
			const button = node.firstChild;
			const [chip, name, figure] = button.children;
			chip.style.background = `var(${layer.colour})`;
			text(name, layer.key.includes('/') ? layer.key.slice(0, layer.key.lastIndexOf('/')) : layer.name);
			text(figure, at === null ? share(weight(layer), whole) : rate(layer.values[at], view.unit));
			button.title = layer.key.includes('/') ? serviceOver(layer.key) : layer.name;
			button.disabled = !layer.key.includes('/') && layer.key !== 'unknown';
			button.onclick = () => this.onPin(layer.key);
		});
		text($('chart-at'), at === null ? '' : this.where(at));
	}

	where(at) {
		const { x, all } = this.view.chart;
		return `${clock(x[at] * 1000)} · ${rate(all[at], this.view.unit)}`;
	}
}
