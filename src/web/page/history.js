// SPDX-License-Identifier: MIT
// What the page holds of the past: each record condensed to a bucket, buckets bounded in bytes.
// When there is no room, the oldest neighbours are added up: sums stay exact, times get coarser.
// No DOM and no network in here, so it runs in a worker and in tests.

export const TRANSPORTS = ['tcp', 'udp', 'udplite', 'sctp', 'dccp'];
export const PORTS = 65536;

// The columns of a port: packets and bytes from it, to it and as the service; sessions.
export const SRC_P = 0, SRC_B = 1, DST_P = 2, DST_B = 3, AS_P = 4, AS_B = 5, SESSIONS = 6, COLUMNS = 7;

const SERVICE_BYTES = 600; // of a service's row in memory, roughly, measured in V8
const BUCKET_BYTES = 4000; // of all else in a bucket

export const portKey = (transport, port) => TRANSPORTS.indexOf(transport) * PORTS + port;
export const serviceKey = (row) => `${row.service}/${row.transport}`;

const time = (text) => Date.parse(text);
const optional = (a, b) => (a === undefined || a === null ? b : b === undefined || b === null ? a : a + b);

function flat(count) {
	return { packets: count.packets, bytes: count.bytes };
}

function talk(row) {
	return {
		packets: row.packets, bytes: row.bytes,
		to: flat(row.to_service), from: flat(row.from_service), symmetric: flat(row.symmetric),
		side_by: { ...row.side_by },
		sessions: row.sessions, syn: row.syn, refused: row.refused, unanswered: row.unanswered,
	};
}

function service(row) {
	return {
		...talk(row),
		service: row.service, category: row.category, transport: row.transport, ports: row.ports,
		// Distinct addresses do not add up: of several intervals the largest figure is what is known.
		clients: row.clients, servers: row.servers,
	};
}

function portTable(rows) {
	const order = new Float64Array(rows.length);
	rows.forEach((row, i) => (order[i] = portKey(row.transport, row.port) * 2 ** 20 + i));
	order.sort();
	const keys = new Uint32Array(rows.length);
	const cells = new Float64Array(rows.length * COLUMNS);
	for (let n = 0; n < order.length; n++) {
		const row = rows[order[n] % 2 ** 20];
		keys[n] = Math.floor(order[n] / 2 ** 20);
		cells.set([row.src.packets, row.src.bytes, row.dst.packets, row.dst.bytes,
			row.as_service.packets, row.as_service.bytes, row.sessions ?? 0], n * COLUMNS);
	}
	return { keys, cells };
}

// A record to a bucket. @names: key of a port to its label; the newest record has the last word.
export function condense(record, names) {
	for (const row of record.ports) {
		const key = portKey(row.transport, row.port);
		if (row.service === null) names.delete(key);
		else names.set(key, row.service);
	}
	const bucket = {
		start: time(record.interval.start), end: time(record.interval.end),
		seconds: record.interval.seconds, records: 1, level: 0,
		packets: record.totals.packets, bytes: record.totals.bytes,
		ip4: flat(record.totals.ip4), ip6: flat(record.totals.ip6),
		late: record.interval.late, merged: record.merged > 1 ? record.merged : 0,
		capture: {
			received: record.capture.received, dropped_kernel: record.capture.dropped_kernel,
			dropped_interface: record.capture.dropped_interface, snapped: record.capture.snapped,
			down_seconds: record.capture.down_seconds,
		},
		output: record.output ? { ...record.output } : {},
		given_up: { ...record.given_up },
		transports: new Map(record.transports.map((t) => [t.transport,
			{ ...flat(t), unknown: flat(t.unknown), cut: t.other.ports }])),
		services: new Map(record.services.map((row) => [serviceKey(row), service(row)])),
		unknown: talk(record.unknown),
		no_port: new Map(record.no_port.map((row) => [`${row.reason}/${row.protocol ?? ''}`, { ...row }])),
		facets: new Map(record.facets.map((row) => [row.code, { ...row }])),
		endpoints: record.endpoints ? new Map(record.endpoints.map((row) =>
			[`${row.address}/${row.transport}/${row.port}`, { ...row, to: flat(row.to_service), from: flat(row.from_service) }])) : null,
		cut: record.other.ports,
		ports: portTable(record.ports),
	};
	bucket.size = sizeOf(bucket);
	return bucket;
}

function sizeOf(bucket) {
	return BUCKET_BYTES + bucket.ports.keys.length * (4 + 8 * COLUMNS) +
		(bucket.services.size + (bucket.endpoints?.size ?? 0)) * SERVICE_BYTES;
}

// ---- adding up ----------------------------------------------------------------------------------

const add = (to, from) => {
	to.packets += from.packets;
	to.bytes += from.bytes;
};

function addNumbers(to, from) {
	for (const [name, value] of Object.entries(from)) to[name] = optional(to[name], value);
}

function addTalk(to, from) {
	add(to, from);
	add(to.to, from.to);
	add(to.from, from.from);
	add(to.symmetric, from.symmetric);
	addNumbers(to.side_by, from.side_by);
	for (const name of ['sessions', 'syn', 'refused', 'unanswered']) to[name] = optional(to[name], from[name]);
}

const copyTalk = (row) => ({ ...row, to: { ...row.to }, from: { ...row.from }, symmetric: { ...row.symmetric }, side_by: { ...row.side_by } });

function joined(a, b) {
	if (a.length === b.length && a.every((port, i) => port === b[i])) return a;
	return [...new Set([...a, ...b])].sort((x, y) => x - y);
}

const most = (a, b) => (a === undefined ? b : b === undefined ? a : Math.max(a, b));

function addService(to, from) {
	addTalk(to, from);
	to.category = from.category;
	to.ports = joined(to.ports, from.ports);
	to.clients = most(to.clients, from.clients);
	to.servers = most(to.servers, from.servers);
}

function addRows(to, from, copy, addRow) {
	for (const [key, row] of from) {
		const there = to.get(key);
		if (there) addRow(there, row);
		else to.set(key, copy(row));
	}
}

const copyRow = (row) => ({ ...row });

function addTransport(to, from) {
	add(to, from);
	add(to.unknown, from.unknown);
	to.cut = Math.max(to.cut, from.cut);
}

function addEndpoint(to, from) {
	add(to, from);
	add(to.to, from.to);
	add(to.from, from.from);
	to.service = from.service;
	to.at_least = to.at_least || from.at_least;
}

function addFacet(to, from) {
	add(to, from);
	to.example = to.example ?? from.example;
}

// All but the ports.
function addRest(to, from) {
	to.records += from.records;
	to.seconds += from.seconds;
	to.late += from.late;
	to.merged += from.merged;
	to.cut = Math.max(to.cut, from.cut);
	add(to, from);
	add(to.ip4, from.ip4);
	add(to.ip6, from.ip6);
	addNumbers(to.capture, from.capture);
	addNumbers(to.output, from.output);
	addNumbers(to.given_up, from.given_up);
	addRows(to.transports, from.transports, (row) => ({ ...row, unknown: { ...row.unknown } }), addTransport);
	addRows(to.services, from.services, copyTalk, addService);
	addTalk(to.unknown, from.unknown);
	addRows(to.no_port, from.no_port, copyRow, add);
	addRows(to.facets, from.facets, copyRow, addFacet);
	if (from.endpoints) {
		to.endpoints ??= new Map();
		addRows(to.endpoints, from.endpoints, (row) => ({ ...row, to: { ...row.to }, from: { ...row.from } }), addEndpoint);
	}
}

const none = () => ({ packets: 0, bytes: 0 });

function empty() {
	return {
		start: Infinity, end: -Infinity, seconds: 0, records: 0, level: 0, ...none(), ip4: none(), ip6: none(), late: 0, merged: 0, cut: 0,
		capture: {}, output: {}, given_up: {}, transports: new Map(), services: new Map(),
		unknown: { ...none(), to: none(), from: none(), symmetric: none(), side_by: {} },
		no_port: new Map(), facets: new Map(), endpoints: null,
	};
}

function mergePorts(a, b) {
	const keys = new Uint32Array(a.keys.length + b.keys.length);
	const cells = new Float64Array(keys.length * COLUMNS);
	let i = 0, j = 0, n = 0;
	while (i < a.keys.length || j < b.keys.length) {
		const left = i < a.keys.length ? a.keys[i] : Infinity, right = j < b.keys.length ? b.keys[j] : Infinity;
		const to = n * COLUMNS;
		if (left <= right) {
			for (let c = 0, from = i * COLUMNS; c < COLUMNS; c++) cells[to + c] += a.cells[from + c];
			i++;
		}
		if (right <= left) {
			for (let c = 0, from = j * COLUMNS; c < COLUMNS; c++) cells[to + c] += b.cells[from + c];
			j++;
		}
		keys[n++] = Math.min(left, right);
	}
	return { keys: keys.slice(0, n), cells: cells.slice(0, n * COLUMNS) };
}

// Two neighbours to one; neither is used afterwards.
export function merge(a, b) {
	addRest(a, b);
	a.start = Math.min(a.start, b.start);
	a.end = Math.max(a.end, b.end);
	a.level = Math.max(a.level, b.level) + 1;
	a.ports = mergePorts(a.ports, b.ports);
	a.size = sizeOf(a);
	return a;
}

// Sums of ports, dense: one array for all 5 × 65,536, of which only what was touched is cleaned.
const dense = new Float64Array(TRANSPORTS.length * PORTS * COLUMNS);
const seen = new Uint8Array(TRANSPORTS.length * PORTS);
let touched = new Uint32Array(1024), count = 0;

function clean() {
	for (let n = 0; n < count; n++) {
		seen[touched[n]] = 0;
		dense.fill(0, touched[n] * COLUMNS, (touched[n] + 1) * COLUMNS);
	}
	count = 0;
}

function addPorts({ keys, cells }) {
	for (let n = 0; n < keys.length; n++) {
		const key = keys[n];
		if (!seen[key]) {
			seen[key] = 1;
			if (count === touched.length) {
				const larger = new Uint32Array(count * 2);
				larger.set(touched);
				touched = larger;
			}
			touched[count++] = key;
		}
		for (let c = 0; c < COLUMNS; c++) dense[key * COLUMNS + c] += cells[n * COLUMNS + c];
	}
}

// The sum of buckets. Its ports are views of memory that the next call overwrites.
export function sum(buckets) {
	const total = empty();
	clean();
	for (const bucket of buckets) {
		addRest(total, bucket);
		addPorts(bucket.ports);
		total.start = Math.min(total.start, bucket.start);
		total.end = Math.max(total.end, bucket.end);
	}
	total.ports = { keys: touched.subarray(0, count), cells: dense };
	return total;
}

// Where @key stands in a bucket's table of ports, or -1.
export function find({ keys }, key) {
	let low = 0, high = keys.length;
	while (low < high) {
		const middle = (low + high) >>> 1;
		if (keys[middle] < key) low = middle + 1;
		else high = middle;
	}
	return keys[low] === key ? low : -1;
}

// The seconds that a rate is of. Where all of the time was watched, as in a capture file, intervals
// without a frame make no record, and count; else a time without a record is one that nobody knows of.
export function secondsOf({ start, end, seconds }, whole) {
	return whole && end > start ? (end - start) / 1000 : seconds;
}

// The course of @valueOf(bucket) over time, as rates of at most @points steps; @whole as above: silence is zero.
export function course(buckets, valueOf, points, whole) {
	const from = buckets.length ? buckets[0].start : 0;
	const to = buckets.reduce((latest, b) => Math.max(latest, b.end), from);
	if (!whole || !(to > from)) {
		const bins = new Float64Array(Math.min(points, buckets.length));
		const seconds = new Float64Array(bins.length);
		buckets.forEach((bucket, i) => {
			const n = Math.floor((i * bins.length) / buckets.length);
			bins[n] += valueOf(bucket);
			seconds[n] += bucket.seconds;
		});
		return Array.from(bins, (value, n) => (seconds[n] > 0 ? value / seconds[n] : 0));
	}
	const first = buckets.reduce((earliest, b) => Math.min(earliest, b.start), from);
	const narrowest = buckets.reduce((least, b) => (b.end > b.start ? Math.min(least, b.end - b.start) : least), to - first);
	const bins = new Float64Array(Math.max(1, Math.min(points, Math.round((to - first) / narrowest))));
	const width = (to - first) / bins.length;
	for (const bucket of buckets) {
		const value = valueOf(bucket);
		if (!value) continue;
		const last = Math.min(bins.length - 1, Math.max(0, Math.ceil((bucket.end - first) / width) - 1));
		const at = Math.min(last, Math.floor((bucket.start - first) / width));
		// What lies in several steps is spread over them.
		for (let n = at; n <= last; n++) {
			const part = bucket.end > bucket.start ? (Math.min(bucket.end, first + (n + 1) * width) - Math.max(bucket.start, first + n * width)) / (bucket.end - bucket.start) : 1 / (last - at + 1);
			bins[n] += value * part;
		}
	}
	return Array.from(bins, (value) => (value * 1000) / width);
}

// ---- the history --------------------------------------------------------------------------------

export class History {
	// @bytes: what it may hold; @keep: how many buckets of a width before the oldest of them are joined.
	constructor(bytes = 96 * 2 ** 20, keep = 360) {
		this.limit = bytes;
		this.keep = keep;
		this.names = new Map();
		this.clear();
	}

	clear() {
		this.buckets = [];
		this.size = 0;
		this.latest = null;
		this.names.clear();
	}

	get first() {
		return this.buckets.length ? this.buckets[0].start : null;
	}

	// In the order of their ends: files may hold an interval twice, and clocks are set back.
	add(record) {
		const bucket = condense(record, this.names);
		let at = this.buckets.length;
		while (at > 0 && this.buckets[at - 1].end > bucket.end) at--;
		this.buckets.splice(at, 0, bucket);
		this.size += bucket.size;
		this.latest = bucket.end;
		this.shrink();
	}

	shrink() {
		while (this.joinOldest(this.keep));
		for (let keep = this.keep >> 1; keep >= 1; keep >>= 1) {
			while (this.size > this.limit && this.joinOldest(keep));
		}
	}

	// Joins the two oldest neighbours of the narrowest width of which there are more than @keep.
	joinOldest(keep) {
		const counts = [];
		for (const { level } of this.buckets) counts[level] = (counts[level] ?? 0) + 1;
		const level = counts.findIndex((n) => n > keep);
		if (level < 0) return false;
		for (let i = 0; i + 1 < this.buckets.length; i++) {
			const [a, b] = [this.buckets[i], this.buckets[i + 1]];
			if (a.level > level || b.level > level || (a.level !== level && b.level !== level)) continue;
			this.size -= a.size + b.size;
			this.buckets.splice(i, 2, merge(a, b));
			this.size += this.buckets[i].size;
			return true;
		}
		return false;
	}

	// Buckets of @seconds up to @end; all with null.
	select(end, seconds) {
		const from = seconds === null ? -Infinity : end - seconds * 1000;
		return this.buckets.filter((b) => b.end <= end && (b.end > from || (b.start === b.end && b.end === from)));
	}
}
