// SPDX-License-Identifier: MIT
// The page's other thread: listens to the event stream, keeps the history, adds up what is asked for.
// A record of all ports is 30 MB of JSON: read here, it does not hold up what the reader sees.
import { AS_B, AS_P, COLUMNS, DST_B, DST_P, History, PORTS, SESSIONS, SRC_B, SRC_P, TRANSPORTS, course, find, secondsOf, sum } from './history.js';
import { rangeOf } from './format.js';

const BANDS = 8; // services with a colour of their own
const [RANKS, RANKS_MOST] = [5, 8]; // of the ranking: as many as leave less than a fifth to the rest
const TREND = 40; // points of a sparkline
const RETRY_MS = [1000, 2000, 5000, 10000];
const KNOWN_IDS = 50000; // more than the program's history holds, as a rule

const history = new History();
let source = null; // what the stream is of: null, all
let stream = null;
let tries = 0;
let retry = null;
let ids = new Set();
let ask = null;
let due = null;
let took = 0; // ms that the last answer needed
let answered = null; // the sums of the last answer
let latest = null; // of the newest record: who and how, but no rows
let gaps = 0;
let slots = [];
let slotsOf = ''; // the time shown that they were given for
let slotsAt = 0; // how many records there were then
let resting = null; // while nobody looks: { after, timer, asleep }
let resumed = false; // the next record comes after a rest

const say = (state, more = {}) => postMessage({ type: 'state', state, ...more });

// ---- the stream ---------------------------------------------------------------------------------

function connect(name, fresh) {
	stream?.close();
	clearTimeout(retry);
	if (fresh) {
		source = name;
		history.clear();
		ids = new Set();
		latest = null;
		gaps = 0;
		slots = [];
		tries = 0;
	}
	say('connecting');
	// All there is, and after a rest what came meanwhile. Files are read in any order: all of them again, and what is
	// known is left out. Lost on the way, the browser asks for what came after the last event it has.
	const query = new URLSearchParams({ since: resumed && latest?.source.kind === 'live' ? latest.time_text : '0' });
	if (source !== null) query.set('source', source);
	const mine = new EventSource(`/api/events?${query}`);
	stream = mine;
	mine.onopen = () => {
		tries = 0;
		say('live');
		postMessage({ type: 'opened' });
	};
	mine.addEventListener('summary', (event) => take(event.data));
	mine.addEventListener('gap', () => {
		gaps++;
		later();
	});
	mine.addEventListener('end', (event) => {
		// All files are read, and still served; a program that stops says so, too, and may come back.
		if (event.data.includes('read')) say('ended');
		later();
	});
	mine.onerror = () => {
		if (mine !== stream) return;
		const wait = RETRY_MS[Math.min(tries++, RETRY_MS.length - 1)];
		say('lost', { wait });
		// A server that is gone for a moment the browser finds again by itself; refused, it gives up.
		if (mine.readyState === EventSource.CLOSED) retry = setTimeout(() => connect(source, false), wait);
	};
}

// A browser has six connections to a host for all its tabs: a page that nobody looks at gives up its own after a while.
function rest(after) {
	if (resting) clearTimeout(resting.timer);
	resting = { after, asleep: false, timer: setTimeout(() => {
		resting.asleep = true;
		clearTimeout(retry);
		stream?.close();
		stream = null;
	}, after) };
}

function wake() {
	if (resting === null) return;
	clearTimeout(resting.timer);
	const { asleep } = resting;
	resting = null;
	if (!asleep) return;
	resumed = latest !== null;
	connect(source, false);
}

function take(text) {
	let record;
	try {
		record = JSON.parse(text);
		if (!String(record.schema).startsWith('portmeter.summary/1')) throw new Error(`a record of ${record.schema}`);
		// What was sent twice, as after a reconnection, is counted once.
		const id = `${record.run ?? ''}/${record.seq}/${record.time}`;
		if (ids.has(id)) return;
		ids.add(id);
		if (ids.size > KNOWN_IDS) ids.delete(ids.values().next().value);
		// Of what came during a rest nobody says that it is not whole, but its numbers.
		if (resumed && latest?.source.kind === 'live' && (record.run !== latest.run || record.seq > latest.seq + 1)) gaps++;
		resumed = false;
		history.add(record);
	} catch (error) {
		say('unreadable', { reason: error.message });
		return;
	}
	latest = {
		time: Date.parse(record.time), time_text: record.time, sensor: record.sensor, run: record.run, source: record.source, rules: record.rules,
		seconds: record.interval.seconds, partial: record.interval.partial, seq: record.seq, arrived: Date.now(),
		threads: record.capture.threads,
	};
	later();
}

// One answer for all records that come at once, and most of the time for taking more of them.
function later() {
	if (due === null) due = setTimeout(answer, Math.max(30, 4 * took));
}

// ---- rows of tables -----------------------------------------------------------------------------

function searchOf(text) {
	const words = text.toLowerCase().split(/\s+/).filter(Boolean);
	// A number is the beginning of a port, anything else a piece of a name.
	return (list) => words.every((word) => list.some((w) => (/^\d+$/.test(word) ? w.startsWith(word) : w.includes(word))));
}

function sorted(rows, sort, falling, by) {
	const value = by[sort] ?? Object.values(by)[0];
	const sign = falling ? -1 : 1;
	const compare = (a, b) => {
		const [x, y] = [value(a), value(b)];
		if (x !== y) return x < y ? -sign : sign;
		return a.order < b.order ? -1 : a.order > b.order ? 1 : 0;
	};
	return rows.sort(compare);
}

// Of a service's ports the busiest first.
function portsOfServices({ ports: { cells } }) {
	return ({ transport, ports }) => {
		const base = TRANSPORTS.indexOf(transport) * PORTS;
		const bytes = (port) => cells[(base + port) * COLUMNS + AS_B];
		return ports.length < 2 ? ports : [...ports].sort((a, b) => bytes(b) - bytes(a) || a - b);
	};
}

const topRung = (side_by) => Object.entries(side_by).sort((a, b) => b[1] - a[1])[0] ?? [null, 0];

function serviceRows(total, unit) {
	const portsOf = portsOfServices(total);
	const rows = [...total.services.entries()].map(([key, row]) => ({ ...row, key, ports: portsOf(row), kind: 'service' }));
	if (total.unknown.packets > 0) {
		rows.push({ ...total.unknown, key: 'unknown', kind: 'unknown', service: null, category: null, transport: null, ...unnamed(total, unit) });
	}
	for (const row of rows) row.order = row.key;
	return rows;
}

// What a search looks through.
const WORDS = {
	service: (row) => [row.service, row.transport, row.category ?? '', ...row.ports.map(String)],
	unknown: () => ['unnamed', 'unknown'],
	endpoint: (row) => [row.address, String(row.port), row.transport, row.service ?? 'unnamed'],
};

function matching(rows, search) {
	if (!search.trim()) return rows;
	const matches = searchOf(search);
	return rows.filter((row) => matches(WORDS[row.kind](row).map((w) => w.toLowerCase())));
}

const SERVICE_SORT = (unit) => ({
	rate: (r) => r[unit],
	service: (r) => (r.service ?? '~').toLowerCase(),
	port: (r) => r.ports[0] ?? 65536,
	to: (r) => r.to[unit],
	from: (r) => r.from[unit],
	side: (r) => topRung(r.side_by)[0] ?? '~',
	sessions: (r) => r.sessions ?? -1,
	clients: (r) => r.clients ?? -1,
});

// Ports that serve and have no name: how many, and the busiest with its part of them.
function unnamed(total, unit, most = 3) {
	const { keys, cells } = total.ports;
	const found = [];
	const column = unit === 'bytes' ? AS_B : AS_P;
	for (const key of keys) {
		const value = cells[key * COLUMNS + column];
		if (value > 0 && !history.names.has(key) && key % PORTS) found.push([value, key]);
	}
	found.sort((a, b) => b[0] - a[0]);
	return { all: found.length, ports: found.slice(0, most).map(([, key]) => key % PORTS), main: found.length > 0 && found[0][0] > total.unknown[unit] / 2 };
}

function portRow(total, key) {
	const at = key * COLUMNS;
	const { cells } = total.ports;
	const port = key % PORTS;
	return {
		key, kind: 'port', transport: TRANSPORTS[Math.floor(key / PORTS)], port, range: rangeOf(port), service: history.names.get(key) ?? null,
		src: { packets: cells[at + SRC_P], bytes: cells[at + SRC_B] }, dst: { packets: cells[at + DST_P], bytes: cells[at + DST_B] },
		as: { packets: cells[at + AS_P], bytes: cells[at + AS_B] }, sessions: cells[at + SESSIONS],
	};
}

const PORT_SORT = (unit) => {
	const of = (p, b) => (unit === 'bytes' ? b : p);
	return { rate: of(AS_P, AS_B), to: of(DST_P, DST_B), from: of(SRC_P, SRC_B), sessions: SESSIONS };
};

// Up to 327,680 rows: sorted by typed arrays, and only those that are shown become objects.
function portKeys(total, { sort, falling, search }, unit) {
	const { keys, cells } = total.ports;
	let list = keys;
	if (search.trim()) {
		const matches = searchOf(search);
		list = keys.filter((key) => {
			const name = history.names.get(key);
			return matches([String(key % PORTS), TRANSPORTS[Math.floor(key / PORTS)], rangeOf(key % PORTS), name ? name.toLowerCase() : 'unnamed']);
		});
	} else {
		list = keys.slice();
	}
	const sign = falling ? -1 : 1;
	const column = PORT_SORT(unit)[sort];
	const bytes = (key) => cells[key * COLUMNS + AS_B] || (cells[key * COLUMNS + SRC_B] + cells[key * COLUMNS + DST_B]) / 1e12;
	if (column !== undefined) return list.sort((a, b) => sign * (cells[a * COLUMNS + column] - cells[b * COLUMNS + column]) || bytes(b) - bytes(a) || a - b);
	if (sort === 'service') {
		const name = (key) => history.names.get(key) ?? '~';
		return list.sort((a, b) => { const [x, y] = [name(a), name(b)]; return (x < y ? -sign : x > y ? sign : 0) || a - b; });
	}
	return list.sort((a, b) => sign * ((a % PORTS) - (b % PORTS)) || a - b);
}

function endpointRows(total) {
	return [...(total.endpoints ?? new Map()).entries()].map(([key, row]) => ({ ...row, key, kind: 'endpoint', order: key }));
}

const ENDPOINT_SORT = (unit) => ({
	rate: (r) => r[unit],
	address: (r) => r.address,
	port: (r) => r.port,
	service: (r) => (r.service ?? '~').toLowerCase(),
	to: (r) => r.to[unit],
	from: (r) => r.from[unit],
});

// ---- courses over time --------------------------------------------------------------------------

const valueIn = {
	service: (bucket, row, unit) => (row.key === 'unknown' ? bucket.unknown[unit] : bucket.services.get(row.key)?.[unit] ?? 0),
	endpoint: (bucket, row, unit) => bucket.endpoints?.get(row.key)?.[unit] ?? 0,
	port: (bucket, row, unit) => {
		const at = find(bucket.ports, row.key);
		if (at < 0) return 0;
		const cell = (c) => bucket.ports.cells[at * COLUMNS + c];
		// What it served; of a port that served nothing, what it carried.
		return row.as.packets ? cell(unit === 'bytes' ? AS_B : AS_P) : cell(unit === 'bytes' ? SRC_B : SRC_P) + cell(unit === 'bytes' ? DST_B : DST_P);
	},
};
valueIn.unknown = valueIn.service;

// A file has all of its time; of a wire, records may lack.
const isWhole = () => latest?.source.kind === 'file';

const trend = (buckets, row, unit, points = TREND) => course(buckets, (bucket) => valueIn[row.kind](bucket, row, unit), points, isWhole());

// A service keeps its colour as long as it is among the first; who comes takes what has become free.
// They are given anew when the reader looks at another time, and when there is twice as much to go by.
function bands(total, unit) {
	const first = [...total.services.entries()].sort((a, b) => b[1][unit] - a[1][unit]).slice(0, BANDS).map(([key]) => key);
	const frame = `${source}/${ask.span}/${ask.end}/${unit}`;
	if (slotsOf !== frame || total.records > 2 * slotsAt) {
		slots = [];
		slotsOf = frame;
		slotsAt = total.records;
	}
	slots = slots.map((key) => (first.includes(key) ? key : null));
	for (const key of first) {
		if (slots.includes(key)) continue;
		const free = slots.indexOf(null);
		if (free >= 0) slots[free] = key;
		else slots.push(key);
	}
	return slots;
}

function chart(buckets, total, unit) {
	const keys = bands(total, unit);
	const x = [], rates = keys.map(() => []), named = [], unknown = [], noPort = [], all = [];
	const whole = isWhole();
	const gap = (at) => {
		x.push(at / 1000);
		for (const list of [...rates, named, unknown, noPort, all]) list.push(whole ? 0 : null);
	};
	let last = null;
	for (const bucket of buckets) {
		const seconds = secondsOf(bucket, whole);
		if (!(seconds > 0)) continue; // a rate of no time is none
		if (last !== null && bucket.start > last.end + (whole ? 0 : Math.max(50, (bucket.end - bucket.start) / 2))) gap(last.end);
		x.push(bucket.start / 1000);
		const rate = (value) => value / seconds;
		let shown = 0;
		keys.forEach((key, n) => {
			const value = key === null ? 0 : bucket.services.get(key)?.[unit] ?? 0;
			shown += value;
			rates[n].push(rate(value));
		});
		const ports = [...bucket.transports.values()].reduce((n, t) => n + t[unit], 0);
		named.push(rate(Math.max(0, ports - bucket.unknown[unit] - shown)));
		unknown.push(rate(bucket.unknown[unit]));
		noPort.push(rate(Math.max(0, bucket[unit] - ports)));
		all.push(rate(bucket[unit]));
		last = bucket;
	}
	// The last step reaches to its end.
	if (last !== null) {
		x.push(last.end / 1000);
		for (const list of [...rates, named, unknown, noPort, all]) list.push(list[list.length - 1]);
	}
	return { x, keys, rates, named, unknown, noPort, all };
}

// ---- the map ------------------------------------------------------------------------------------

function field(total, { transport, side }, unit) {
	const lit = new Float32Array(PORTS);
	const { keys, cells } = total.ports;
	const only = transport === 'all' ? -1 : TRANSPORTS.indexOf(transport);
	const bytes = unit === 'bytes';
	for (const key of keys) {
		if (only >= 0 && Math.floor(key / PORTS) !== only) continue;
		const at = key * COLUMNS;
		lit[key % PORTS] += side === 'service' ? cells[at + (bytes ? AS_B : AS_P)] : cells[at + (bytes ? SRC_B : SRC_P)] + cells[at + (bytes ? DST_B : DST_P)];
	}
	return lit;
}

// A port in all its transports.
function portDetail(buckets, total, port, unit) {
	const rows = [];
	for (let t = 0; t < TRANSPORTS.length; t++) {
		const row = portRow(total, t * PORTS + port);
		if (row.src.packets + row.dst.packets > 0) rows.push({ ...row, trend: trend(buckets, row, unit, 120) });
	}
	return { port, range: rangeOf(port), rows };
}

function pinned(buckets, total, services, unit) {
	if (ask.pin === null) return null;
	if (ask.pin.port !== undefined) return { kind: 'port', ...portDetail(buckets, total, ask.pin.port, unit) };
	const row = services.find((r) => r.key === ask.pin.service);
	return row ? { kind: 'service', ...row, trend: trend(buckets, row, unit, 120) } : { kind: 'service', key: ask.pin.service, gone: true };
}

// ---- answers ------------------------------------------------------------------------------------

function windowOf() {
	const end = ask.end ?? history.latest;
	return end === null ? [] : history.select(end, ask.span);
}

function page(list) {
	const { rows } = ask.table;
	const pages = Math.max(1, Math.ceil(list.length / rows));
	const at = Math.min(ask.table.page, pages - 1);
	return { page: at, pages, first: at * rows, matched: list.length, shown: list.slice(at * rows, (at + 1) * rows) };
}

// While somebody points into a table its rows stay where they are; only their figures change.
function held(list, keyOf) {
	if (!ask.table.hold?.length) return list;
	const byKey = new Map(Array.from(list, (row) => [keyOf(row), row]));
	const first = ask.table.hold.filter((key) => byKey.has(key));
	const before = ask.table.page * ask.table.rows;
	const set = new Set(first);
	const rest = Array.from(list).filter((row) => !set.has(keyOf(row)));
	return [...rest.slice(0, before), ...first.map((key) => byKey.get(key)), ...rest.slice(before)];
}

function table(buckets, total, services, unit) {
	const { tab, sort, falling, search } = ask.table;
	let part, all;
	if (tab === 'ports') {
		all = total.ports.keys.length;
		part = page(held(portKeys(total, ask.table, unit), (key) => key));
		part.shown = Array.from(part.shown, (key) => portRow(total, key));
	} else {
		const rows = tab === 'endpoints' ? endpointRows(total) : services;
		const by = tab === 'endpoints' ? ENDPOINT_SORT(unit) : SERVICE_SORT(unit);
		all = rows.length;
		part = page(held(sorted(matching(rows, search), sort, falling, by), (row) => row.key));
	}
	const rows = part.shown.map((row) => ({ ...row, trend: trend(buckets, row, unit) }));
	return { tab, ...part, shown: undefined, rows, all };
}

// Who uses the wire: the largest of services, what has no name and what has no ports, and then the rest.
function ranking(total, services, unit) {
	const list = services.map((row) => ({ kind: row.kind, key: row.key, service: row.service, transport: row.transport, ports: row.ports.slice(0, 3), all: row.all ?? row.ports.length, main: row.main, value: row[unit] }));
	const portless = [...total.no_port.values()].reduce((n, row) => n + row[unit], 0);
	if (portless) list.push({ kind: 'no_port', key: 'no_port', ports: [], value: portless });
	list.sort((a, b) => b.value - a.value);
	let n = RANKS - 1;
	let left = list.slice(n).reduce((sum, row) => sum + row.value, 0);
	while (n < RANKS_MOST - 1 && n < list.length && left > total[unit] / 5) left -= list[n++].value;
	if (list.length <= n + 1) return list;
	const rest = list.splice(n);
	return [...list, { kind: 'rest', key: 'rest', ports: [], all: rest.length, value: rest.reduce((n, row) => n + row.value, 0) }];
}

function answer() {
	due = null;
	if (ask === null) return;
	const began = performance.now();
	const unit = ask.unit === 'bits' ? 'bytes' : 'packets';
	const buckets = windowOf();
	const total = (answered = sum(buckets));
	const services = serviceRows(total, unit);
	const lit = field(total, ask.map, unit);
	const view = {
		type: 'view', n: ask.n, unit: ask.unit, source, latest, gaps,
		from: buckets.length ? total.start : null, to: buckets.length ? total.end : null,
		seconds: secondsOf(total, isWhole()), records: total.records, packets: total.packets, bytes: total.bytes,
		ip4: total.ip4, ip6: total.ip6, late: total.late, merged: total.merged, cut: total.cut,
		capture: total.capture, output: total.output, given_up: total.given_up,
		transports: [...total.transports.entries()].map(([transport, row]) => ({ transport, ...row })).sort((a, b) => b[unit] - a[unit]),
		no_port: [...total.no_port.values()].sort((a, b) => b[unit] - a[unit]),
		facets: [...total.facets.values()],
		unknown: { packets: total.unknown.packets, bytes: total.unknown.bytes },
		services: total.services.size, ports: total.ports.keys.length, endpoints: total.endpoints !== null,
		extent: { first: history.first, last: history.buckets.length ? history.buckets[history.buckets.length - 1].end : null, latest: history.latest, buckets: history.buckets.length, size: history.size },
		newer: ask.end === null ? 0 : history.buckets.filter((b) => b.end > ask.end).length,
		ranking: ranking(total, services, unit),
		chart: chart(buckets, total, unit),
		table: table(buckets, total, services, unit),
		pin: pinned(buckets, total, services, unit),
		lit,
	};
	view.took = took = performance.now() - began;
	postMessage(view, [lit.buffer]);
}

onmessage = ({ data }) => {
	if (data.type === 'source') {
		resumed = false;
		connect(data.source, true);
		if (resting) rest(resting.after);
		later();
	} else if (data.type === 'ask') {
		wake();
		ask = data;
		clearTimeout(due);
		due = null;
		answer();
	} else if (data.type === 'rest') {
		ask = null; // nobody looks; for a while records are kept all the same
		rest(data.after);
	} else if (data.type === 'port') {
		// The sums of the last answer are still there.
		if (answered !== null) postMessage({ type: 'port', n: data.n, ...portDetail([], answered, data.port, 'bytes') });
	}
};
