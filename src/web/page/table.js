// SPDX-License-Identifier: MIT
// The table of services, ports or endpoints: which columns each has, and a page of its rows.
import { $, fill, make, spark, sparkUpdate, text } from './view.js';
import { RUNGS, count, plural, ports, rate, share, volume } from './format.js';

const UNNAMED = 'no name';

function named(row) {
	if (row.kind === 'unknown') return 'unnamed ports';
	return row.service ?? UNNAMED;
}

function chip(row, slots) {
	if (row.kind === 'unknown') return '--band-unknown';
	const at = slots.indexOf(row.kind === 'service' ? row.key : `${row.service}/${row.transport}`);
	return at < 0 ? '--band-other' : `--band-${at}`;
}

// What decided the side, the most frequent first.
export function evidence(side_by) {
	const all = Object.values(side_by).reduce((n, v) => n + v, 0);
	return Object.entries(side_by).sort((a, b) => b[1] - a[1]).map(([rung, n]) => ({ rung, n, part: share(n, all), strength: RUNGS[rung]?.[0] ?? 'none' }));
}

const evidenceText = (side_by) => evidence(side_by).map((e) => `${e.rung} ${e.part}`).join(', ');

// A column: its sort key, heading, how wide a page must be to show it, and how a cell is filled.
const NAME = (sort, heading) => ({
	sort, heading, wide: 0, head: true,
	make: () => make('button', { type: 'button', class: 'name' }, make('i', { 'aria-hidden': 'true' }), make('b'), make('small')),
	set: (cell, row, page) => {
		const [mark, name, more] = cell.firstChild.children;
		mark.style.background = `var(${chip(row, page.slots)})`;
		text(name, row.kind === 'endpoint' ? row.address : named(row));
		cell.firstChild.classList.toggle('unnamed', row.kind !== 'endpoint' && row.service === null);
		text(more, row.kind === 'service' ? row.category ?? '' : '');
		const pin = page.pinOf(row);
		cell.firstChild.disabled = pin === null;
		cell.firstChild.setAttribute('aria-pressed', String(page.isPinned(row)));
		cell.firstChild.title = row.kind === 'service' || row.kind === 'port' ? 'Pin: show all that is known of it' : '';
		cell.firstChild.dataset.key = row.key;
		cell.firstChild.onclick = () => page.onPin(pin);
	},
});

const FIGURE = (sort, heading, wide, figure, note = () => '') => ({
	sort, heading, wide, num: true, make: () => make('span'),
	set: (cell, row, page) => {
		text(cell.firstChild, figure(row, page));
		const said = note(row, page);
		if (said) cell.title = said;
		else cell.removeAttribute('title');
	},
});

// As services files write it: 443/tcp.
const PORT = (figure, note = () => '') => ({
	sort: 'port', heading: 'Port', wide: 0, num: true, cls: 'port', make: () => make('span', {}, make('span'), make('small')),
	set: (cell, row) => {
		text(cell.firstChild.firstChild, figure(row));
		text(cell.firstChild.lastChild, row.transport ? `/${row.transport}` : '');
		cell.title = note(row);
	},
});

const pick = (c, page) => (page.unit === 'bits' ? c.bytes : c.packets);
const perSecond = (c, page) => rate(page.seconds > 0 ? pick(c, page) / page.seconds : null, page.unit);

const RATE = (of, heading = 'Rate') => FIGURE('rate', heading, 0, (row, page) => perSecond(of(row), page),
	(row, page) => `${volume(pick(of(row), page), page.unit)} in all; ${count(of(row).packets)} packets, ${count(of(row).bytes)} bytes`);

const SHARE = (of) => ({
	heading: 'Share', wide: 0, num: true,
	make: () => make('span', { class: 'share' }, make('i', { 'aria-hidden': 'true' }), make('span')),
	set: (cell, row, page) => {
		const [bar, figure] = cell.firstChild.children;
		bar.style.setProperty('--part', page.total ? pick(of(row), page) / page.total : 0);
		text(figure, share(pick(of(row), page), page.total));
	},
});

const BOTH = (to, from) => [
	FIGURE('to', 'To it', 1, (row, page) => perSecond(to(row), page), (row) => `${count(to(row).packets)} packets, ${count(to(row).bytes)} bytes to the port`),
	FIGURE('from', 'From it', 1, (row, page) => perSecond(from(row), page), (row) => `${count(from(row).packets)} packets, ${count(from(row).bytes)} bytes from the port`),
];

const TREND = {
	heading: 'Trend', wide: 1, make: () => spark([], 72), set: (cell, row) => sparkUpdate(cell.firstChild, row.trend, 72), cls: 'trend',
};

const SIDE = {
	sort: 'side', heading: 'Side known by', wide: 2, cls: 'side', make: () => make('span'),
	set: (cell, row) => {
		const [top] = evidence(row.side_by);
		text(cell.firstChild, top ? `${top.rung} ${top.part}` : '–');
		cell.firstChild.className = `rung ${top?.strength ?? 'none'}`;
		cell.title = evidenceText(row.side_by);
	},
};

const people = (row) => {
	if (row.clients === undefined) return '–';
	return `${count(row.clients)} → ${row.servers === undefined ? '?' : count(row.servers)}`;
};

const self = (row) => row;

export const KINDS = {
	services: {
		what: 'service', first: 'rate',
		columns: [
			NAME('service', 'Service'),
			PORT((row) => (row.kind === 'unknown' ? `${row.ports[0] ?? '–'}${row.ports.length > 1 ? ' …' : ''}` : ports(row.ports, row.ports.length > 2 ? 1 : 2)),
				(row) => (row.kind === 'unknown' ? `busiest: ${row.ports.join(', ')}` : row.ports.slice(0, 40).join(', '))),
			RATE(self), SHARE(self), ...BOTH((row) => row.to, (row) => row.from), TREND, SIDE,
			FIGURE('clients', 'Clients → servers', 3, people, () => 'the most in one interval; distinct addresses do not add up'),
			FIGURE('sessions', 'Sessions', 3, (row) => (row.sessions === undefined ? '–' : count(row.sessions))),
		],
	},
	ports: {
		what: 'port', first: 'rate',
		columns: [
			PORT((row) => row.port),
			NAME('service', 'Service'),
			{ heading: 'Range', wide: 2, cls: 'over', make: () => make('span'), set: (cell, row) => text(cell.firstChild, row.range) },
			RATE((row) => row.as, 'Served'), SHARE((row) => row.as), ...BOTH((row) => row.dst, (row) => row.src), TREND,
			FIGURE('sessions', 'Sessions', 3, (row) => (row.as.packets ? count(row.sessions) : '–')),
		],
	},
	endpoints: {
		what: 'endpoint', first: 'rate',
		columns: [
			NAME('address', 'Address'),
			PORT((row) => row.port),
			{ sort: 'service', heading: 'Service', wide: 1, make: () => make('span'), set: (cell, row) => text(cell.firstChild, row.service ?? UNNAMED) },
			RATE(self), SHARE(self), ...BOTH((row) => row.to, (row) => row.from), TREND,
		],
	},
};

export class Table {
	// @onSort(key), @onPage(step), @onPin(pin), @onHold(whether)
	constructor(events) {
		this.events = events;
		this.table = $('table');
		this.body = this.table.tBodies[0];
		this.kind = null;
		const hold = (on) => () => events.onHold(on);
		this.body.addEventListener('pointerenter', hold(true));
		this.body.addEventListener('pointerleave', hold(false));
		$('previous').onclick = () => events.onPage(-1);
		$('next').onclick = () => events.onPage(1);
	}

	heads(tab) {
		this.kind = tab;
		this.columns = KINDS[tab].columns;
		const row = make('tr', {}, ...this.columns.map((column) => make('th', { scope: 'col', class: this.classOf(column) },
			column.sort ? make('button', { type: 'button', onclick: () => this.events.onSort(column.sort) }, column.heading, make('span', { class: 'arrow', 'aria-hidden': 'true' })) : column.heading)));
		this.table.tHead.replaceChildren(row);
		this.body.replaceChildren();
	}

	classOf(column) {
		return [`col-${column.sort ?? column.heading.toLowerCase()}`, column.num ? 'num' : '', column.wide ? `wide-${column.wide}` : '', column.cls ?? '', column.head ? 'head' : ''].filter(Boolean).join(' ');
	}

	keys() {
		return [...this.body.querySelectorAll('button.name')].map((b) => (this.kind === 'ports' ? Number(b.dataset.key) : b.dataset.key));
	}

	update(view, ask, pins) {
		const { table } = view;
		if (this.kind !== table.tab) this.heads(table.tab);
		const page = {
			unit: view.unit, seconds: view.seconds, total: view.unit === 'bits' ? view.bytes : view.packets, slots: view.chart.keys,
			onPin: this.events.onPin, pinOf: pins.of, isPinned: pins.is,
		};
		this.columns.forEach((column, i) => {
			const head = this.table.tHead.rows[0].cells[i];
			if (!column.sort) return;
			const on = ask.sort === column.sort;
			if (on) head.setAttribute('aria-sort', ask.falling ? 'descending' : 'ascending');
			else head.removeAttribute('aria-sort');
			text(head.firstChild.lastChild, on ? (ask.falling ? '▾' : '▴') : '');
		});
		const focused = this.body.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
		fill(this.body, table.rows, () => make('tr', {}, ...this.columns.map((column) =>
			make(column.head ? 'th' : 'td', { class: this.classOf(column), scope: column.head ? 'row' : null }, column.make()))),
		(node, row) => {
			node.dataset.key = row.key;
			node.classList.toggle('pinned', pins.is(row));
			this.columns.forEach((column, i) => column.set(node.cells[i], row, page));
		});
		if (focused !== undefined && document.activeElement?.dataset.key !== focused) {
			this.body.querySelector(`button[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
		}
		this.foot(table);
		text($('caption'), `${KINDS[table.tab].what}s by traffic, ${ask.falling ? 'falling' : 'rising'} by ${ask.sort}`);
	}

	foot(table) {
		const what = KINDS[table.tab].what;
		const first = table.first + 1, last = table.first + table.rows.length;
		let said = table.matched === table.all ? plural(table.all, what) : `${count(table.matched)} of ${plural(table.all, what)}`;
		if (table.pages > 1) said = `${count(first)}–${count(last)} of ${said}`;
		if (table.matched === 0) said = table.all === 0 ? `No ${what}s in this time` : `No ${what} matches`;
		text($('rows'), said);
		$('previous').disabled = table.page === 0;
		$('next').disabled = table.page >= table.pages - 1;
		$('previous').hidden = $('next').hidden = table.pages < 2;
	}
}
