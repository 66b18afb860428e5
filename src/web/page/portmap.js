// SPDX-License-Identifier: MIT
// All 65,536 ports as a field of 256 rows: each lit by its traffic, on a logarithmic scale.
import { $, colour, make, text } from './view.js';
import { rangeOf, rate } from './format.js';

const SIDE = 256;
const EDGE = 4; // cells around the field, so that what is large at its edge is whole
const WHOLE = SIDE + 2 * EDGE;
const REACH = 5; // cells around the pointer in which a lit port is meant

function ramp() {
	const stops = colour('--ramp').split(',').map((c) => {
		const n = parseInt(c.trim().slice(1), 16);
		return [n >> 16, (n >> 8) & 255, n & 255];
	});
	const table = [];
	for (let i = 0; i < 256; i++) {
		const at = (i / 255) * (stops.length - 1);
		const n = Math.min(Math.floor(at), stops.length - 2);
		table.push(stops[n].map((c, k) => Math.round(c + (stops[n + 1][k] - c) * (at - n))));
	}
	return table;
}

export class PortMap {
	// @ask(port): its figures are wanted, they come to detail(); @onPin(port).
	constructor(ask, onPin) {
		this.canvas = $('map');
		this.tip = $('map-tip');
		this.ask = ask;
		this.onPin = onPin;
		this.lit = new Float32Array(65536);
		this.port = 0;
		this.pins = [];
		this.pointing = false;
		this.canvas.addEventListener('pointermove', (e) => this.point(e));
		this.canvas.addEventListener('pointerdown', (e) => this.point(e));
		this.canvas.addEventListener('pointerleave', () => this.leave());
		this.canvas.addEventListener('click', () => this.onPin(this.port));
		this.canvas.addEventListener('keydown', (e) => this.key(e));
		this.canvas.addEventListener('focus', () => this.canvas.matches(':focus-visible') && this.go(this.port));
		this.canvas.addEventListener('blur', () => this.leave());
		new ResizeObserver(() => this.draw()).observe(this.canvas);
	}

	update(view, seconds, pins) {
		this.lit = view.lit;
		this.unit = view.unit;
		this.seconds = seconds;
		this.pins = pins;
		this.fresh = true;
		this.draw();
		this.name();
		if (this.pointing) this.ask(this.port);
	}

	theme() {
		this.ramp = null;
		this.fresh = true;
		this.draw();
	}

	// What is lit changes with each answer; where the pointer and the pins are, much more often.
	draw() {
		const { canvas } = this;
		const css = canvas.clientWidth;
		if (!css) return;
		const pixels = Math.round(css * Math.min(3, devicePixelRatio || 1));
		if (canvas.width !== pixels || this.fresh) {
			canvas.width = canvas.height = pixels;
			this.ramp ??= ramp();
			this.ground = this.paint(pixels);
			this.fresh = false;
			this.scale();
		}
		const c = canvas.getContext('2d');
		c.drawImage(this.ground, 0, 0);
		const cell = pixels / WHOLE;
		for (const port of this.pins) this.ring(c, port, cell, colour('--accent'), 3.5);
		if (this.pointing) this.ring(c, this.port, cell, colour('--ink'), 3);
	}

	paint(pixels) {
		const { lit } = this;
		const ground = document.createElement('canvas');
		ground.width = ground.height = pixels;
		const c = ground.getContext('2d');
		const cell = pixels / WHOLE;
		c.fillStyle = colour('--field');
		c.fillRect(0, 0, pixels, pixels);
		const on = [];
		let top = 0, low = Infinity;
		for (let port = 0; port < lit.length; port++) {
			if (!(lit[port] > 0)) continue;
			on.push(port);
			top = Math.max(top, lit[port]);
			low = Math.min(low, lit[port]);
		}
		this.count = on.length;
		const depth = Math.log(top / low) || 1;
		const heat = (port) => (top === low ? 1 : Math.log(lit[port] / low) / depth);
		if (on.length > 3000) this.cells(c, on, heat, pixels);
		else this.dots(c, on, heat, cell);
		c.fillStyle = colour('--field-line');
		for (const row of [4, 192]) c.fillRect(0, Math.round((row + EDGE) * cell), pixels, 1);
		return ground;
	}

	// Few are drawn larger than their cell, the busiest on top.
	dots(c, on, heat, cell) {
		on.sort((a, b) => this.lit[a] - this.lit[b]);
		const grow = on.length < 400 ? 4 : 2.4;
		for (const port of on) {
			const [r, g, b] = this.ramp[Math.round(60 + 195 * heat(port))];
			c.fillStyle = `rgb(${r},${g},${b})`;
			c.beginPath();
			c.arc(...this.centre(port, cell), (cell * grow * (0.7 + 0.6 * heat(port))) / 2, 0, 7);
			c.fill();
		}
	}

	// Many: a pixel each, then made as large as the field.
	cells(c, on, heat, pixels) {
		const small = document.createElement('canvas');
		small.width = small.height = WHOLE;
		const picture = new ImageData(WHOLE, WHOLE);
		for (const port of on) {
			const at = ((Math.floor(port / SIDE) + EDGE) * WHOLE + (port % SIDE) + EDGE) * 4;
			picture.data.set([...this.ramp[Math.round(60 + 195 * heat(port))], 255], at);
		}
		small.getContext('2d').putImageData(picture, 0, 0);
		c.imageSmoothingEnabled = false;
		c.drawImage(small, 0, 0, pixels, pixels);
	}

	centre(port, cell) {
		return [((port % SIDE) + EDGE + 0.5) * cell, (Math.floor(port / SIDE) + EDGE + 0.5) * cell];
	}

	ring(c, port, cell, ink, radius) {
		c.strokeStyle = ink;
		c.lineWidth = Math.max(1.5, cell * 0.7);
		c.beginPath();
		c.arc(...this.centre(port, cell), radius * cell, 0, 7);
		c.stroke();
	}

	scale() {
		const c = $('map-scale').getContext('2d');
		for (let x = 0; x < 128; x++) {
			const [r, g, b] = this.ramp[Math.round(60 + (195 * x) / 127)];
			c.fillStyle = `rgb(${r},${g},${b})`;
			c.fillRect(x, 0, 1, 1);
		}
		text($('map-count'), this.count === 0 ? 'no port lit' : `${this.count.toLocaleString('en-US')} lit`);
	}

	point(event) {
		const box = this.canvas.getBoundingClientRect();
		const cellAt = (at, size) => Math.min(SIDE - 1, Math.max(0, Math.floor((at / size) * WHOLE) - EDGE));
		const x = cellAt(event.clientX - box.left, box.width), y = cellAt(event.clientY - box.top, box.height);
		this.go(this.near(x, y));
	}

	// The lit port that is nearest, or the one right under the pointer.
	near(x, y) {
		let best = y * SIDE + x, distance = this.lit[best] > 0 ? 0 : Infinity;
		for (let dy = -REACH; dy <= REACH && distance > 0; dy++) {
			for (let dx = -REACH; dx <= REACH; dx++) {
				const [px, py] = [x + dx, y + dy];
				const d = dx * dx + dy * dy;
				if (px < 0 || py < 0 || px >= SIDE || py >= SIDE || d >= distance || d > REACH * REACH) continue;
				if (this.lit[py * SIDE + px] > 0) {
					best = py * SIDE + px;
					distance = d;
				}
			}
		}
		return best;
	}

	go(port) {
		const same = this.pointing && port === this.port;
		this.port = port;
		this.pointing = true;
		if (same) return;
		this.detail = null;
		this.ask(port);
		this.draw();
		this.name();
		this.place();
	}

	leave() {
		if (document.activeElement === this.canvas && this.canvas.matches(':focus-visible')) return;
		this.pointing = false;
		this.tip.hidden = true;
		this.draw();
	}

	place() {
		const { tip, canvas, port } = this;
		tip.hidden = false;
		const [x, y] = this.centre(port, canvas.clientWidth / WHOLE);
		const left = Math.max(0, Math.min(canvas.clientWidth - tip.offsetWidth, x - tip.offsetWidth / 2));
		const above = y > tip.offsetHeight + 14;
		tip.style.transform = `translate(${Math.round(left)}px, ${Math.round(above ? y - tip.offsetHeight - 10 : y + 14)}px)`;
	}

	// What the worker knows of the port that is pointed at.
	show(detail) {
		if (detail.port !== this.port) return;
		this.detail = detail;
		this.name();
		if (this.pointing) this.place();
	}

	name() {
		const { port, detail, tip } = this;
		const rows = detail?.port === port ? detail.rows : [];
		const lines = rows.map((row) => {
			const pick = (c) => (this.unit === 'bits' ? c.bytes : c.packets) / this.seconds;
			const client = row.as.packets ? '' : row.service === null ? 'a client’s port' : ', here a client’s port';
			return [`${row.transport} · `, make('bdi', {}, row.service ?? (client ? '' : 'no name')), `${client} · to ${rate(pick(row.dst), this.unit)} · from ${rate(pick(row.src), this.unit)}`];
		});
		const head = `Port ${port}`;
		const quiet = !lines.length && !(this.lit[port] > 0);
		const body = make('span', {}, ...(lines.length ? lines.flatMap((line, i) => (i ? ['\n', ...line] : line)) : [quiet ? 'no traffic in this time' : '…']));
		text(tip, '');
		const strong = document.createElement('strong');
		strong.textContent = head;
		const range = document.createElement('span');
		range.textContent = ` ${rangeOf(port)}`;
		tip.append(strong, range, document.createElement('br'), body);
		this.canvas.setAttribute('aria-valuenow', port);
		this.canvas.setAttribute('aria-valuetext', `${head}, ${rangeOf(port)}: ${body.textContent.replace(/\n/g, '; ').replace(/ · /g, ', ')}`);
	}

	key(event) {
		const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -SIDE, ArrowDown: SIDE, PageUp: -SIDE * 16, PageDown: SIDE * 16 }[event.key];
		if (step !== undefined) this.go(Math.min(65535, Math.max(0, this.port + step)));
		else if (event.key === 'Home') this.go(0);
		else if (event.key === 'End') this.go(65535);
		else if (event.key === 'n' || event.key === 'p') this.go(this.nextLit(event.key === 'n' ? 1 : -1));
		else if (event.key === 'Enter' || event.key === ' ') this.onPin(this.port);
		else return;
		event.preventDefault();
	}

	nextLit(step) {
		for (let n = 1; n <= 65536; n++) {
			const port = (this.port + step * n + 65536 * 2) % 65536;
			if (this.lit[port] > 0) return port;
		}
		return this.port;
	}
}
