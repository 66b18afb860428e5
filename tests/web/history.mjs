// SPDX-License-Identifier: MIT
// What the page holds of the past: bounded, and its sums exact however much of it is joined. TAP.
import assert from 'node:assert/strict';
import { AS_B, COLUMNS, DST_P, History, SRC_P, course, find, portKey, secondsOf, sum } from '../../src/web/page/history.js';
import { between, clock, duration, rate, scaled, serviceOver, share, zone } from '../../src/web/page/format.js';

const both = (packets, bytes) => ({ packets, bytes });
const START = Date.UTC(2026, 0, 1);

// A record of @ports, each with its number of packets, in interval @n of 10 s.
function record(n, ports, more = {}) {
	const rows = ports.map(([port, packets]) => ({ transport: 'tcp', port, range: 'user', service: port < 1024 ? `s${port}` : null,
		src: both(packets, packets * 100), dst: both(packets, packets * 60), as_service: both(2 * packets, packets * 160), sessions: 1 }));
	const packets = ports.reduce((sum_, [, p]) => sum_ + 2 * p, 0);
	const of = (p) => ({ ...both(2 * p, p * 160), to_service: both(p, p * 60), from_service: both(p, p * 100), symmetric: both(0, 0), side_by: { known: 2 * p } });
	const iso = (ms) => new Date(ms).toISOString();
	return {
		interval: { start: iso(START + n * 10000), end: iso(START + (n + 1) * 10000), seconds: 10, partial: false, late: 0 },
		totals: { ...both(packets, packets * 80), ip4: both(packets, packets * 80), ip6: both(0, 0) },
		capture: { received: packets, dropped_kernel: 1, dropped_interface: null, snapped: 0 },
		transports: [{ transport: 'tcp', ...both(packets, packets * 80), unknown: both(0, 0), other: { ports: 0 } }],
		ports: rows, services: ports.map(([port, p]) => ({ service: `s${port}`, category: null, transport: 'tcp', ports: [port], ...of(p), clients: n % 7 })),
		unknown: of(0), no_port: [], facets: [{ code: 'port_scan', ...both(1, 60) }], other: { ports: 0 }, given_up: { peers: 1 }, ...more,
	};
}

function joinsAndKeeps() {
	const history = new History(64 * 2 ** 20, 16);
	let packets = 0;
	for (let n = 0; n < 5000; n++) {
		history.add(record(n, [[80, n % 5 + 1], [1000 + (n % 300), 1]]));
		packets += 2 * (n % 5 + 2);
	}
	assert.ok(history.buckets.length <= 16 * 12, `${history.buckets.length} buckets of 5,000 records`);
	const total = sum(history.buckets);
	assert.equal(total.packets, packets);
	assert.equal(total.records, 5000);
	assert.equal(total.seconds, 50000);
	assert.equal(total.capture.dropped_kernel, 5000);
	assert.equal(total.capture.dropped_interface, null);
	assert.equal(total.given_up.peers, 5000);
	assert.equal(total.facets.get('port_scan').packets, 5000);
	assert.equal(total.services.get('s80/tcp').packets, 2 * 15000);
	assert.equal(total.services.get('s80/tcp').clients, 6);
	assert.equal(total.ports.keys.length, 301);
	assert.equal(total.ports.cells[portKey('tcp', 80) * COLUMNS + AS_B], 15000 * 160);
	// The newest are as they came.
	assert.deepEqual(history.buckets.slice(-16).map((b) => b.records), Array(16).fill(1));
	const ends = history.buckets.map((b) => b.end);
	assert.deepEqual(ends, [...ends].sort((a, b) => a - b));
	history.buckets.forEach((b, i) => i && assert.equal(b.start, history.buckets[i - 1].end, 'no hole, nothing twice'));
}

function staysWithinBytes() {
	const limit = 2 ** 20;
	const history = new History(limit, 360);
	const many = Array.from({ length: 3000 }, (_, i) => [i + 1, 1]);
	let most = 0;
	for (let n = 0; n < 60; n++) {
		history.add(record(n, many, { services: [] }));
		most = Math.max(most, history.size);
	}
	assert.ok(most <= limit, `${most} bytes held`);
	assert.equal(history.size, history.buckets.reduce((n, b) => n + b.size, 0));
	const total = sum(history.buckets);
	assert.equal(total.records, 60);
	assert.equal(total.ports.cells[portKey('tcp', 3000) * COLUMNS + SRC_P], 60);
}

function selectsATime() {
	const history = new History();
	for (const n of [0, 1, 2, 4, 3, 4]) history.add(record(n, [[80, n + 1]]));
	const end = START + 50000;
	assert.equal(history.select(end, null).length, 6);
	assert.equal(sum(history.select(end, null)).packets, 2 * (1 + 2 + 3 + 5 + 4 + 5), 'an interval may come twice');
	assert.equal(sum(history.select(end, 10)).packets, 20);
	assert.equal(sum(history.select(START + 30000, 20)).packets, 2 * (2 + 3));
	assert.equal(history.select(START, 10).length, 0);
	// The next sum does not see the one before.
	assert.equal(sum(history.select(START + 10000, null)).ports.cells[portKey('tcp', 80) * COLUMNS + DST_P], 1);
	const [bucket] = history.buckets;
	assert.equal(find(bucket.ports, portKey('tcp', 80)), 0);
	assert.equal(find(bucket.ports, portKey('udp', 80)), -1);
}

// Of a file, a time without records was silent; of a wire, nobody knows.
function silenceCounts() {
	const history = new History(64 * 2 ** 20, 4);
	for (const n of [0, 6, 12, 18]) history.add(record(n, [[80, 60]]));
	const total = sum(history.buckets);
	assert.equal(total.bytes, 4 * 60 * 160);
	assert.equal(secondsOf(total, true), 190);
	assert.equal(secondsOf(total, false), 40);
	assert.equal(secondsOf({ start: 5, end: 5, seconds: 0 }, true), 0);
	const packets = (bucket) => bucket.packets;
	assert.deepEqual(course(history.buckets, packets, 40, false), [12, 12, 12, 12]);
	assert.deepEqual(course(history.buckets, packets, 40, true), Array.from({ length: 19 }, (_, i) => (i % 6 ? 0 : 12)));
	const coarse = course(history.buckets, packets, 7, true);
	assert.ok(Math.abs(coarse.reduce((n, v) => n + v, 0) * (190 / 7) - 480) < 1e-6, 'nothing is lost between steps');
	// Joined, the silence within is still there.
	for (let n = 19; n < 60; n++) history.add(record(n, [[80, 60]]));
	assert.ok(history.buckets[0].level > 0);
	const joined = course(history.buckets, packets, 40, true);
	assert.ok(Math.abs(joined.reduce((n, v) => n + v, 0) * (600 / joined.length) - 45 * 120) < 1e-6);
	assert.deepEqual(course([], packets, 40, true), []);
}

function namesFollowTheRules() {
	const history = new History();
	history.add(record(0, [[80, 1]]));
	assert.equal(history.names.get(portKey('tcp', 80)), 's80');
	const renamed = record(1, [[80, 1]]);
	renamed.ports[0].service = null;
	history.add(renamed);
	assert.equal(history.names.has(portKey('tcp', 80)), false);
}

function writesNumbers() {
	const shown = (v) => Object.values(scaled(v)).join('');
	assert.deepEqual([0, 7, 999, 999.4, 999.5, 1000, 9994, 9995, 99949, 123456, 999499, 999500, 1e9].map(shown),
		['0', '7', '999', '999', '1.00k', '1.00k', '9.99k', '10.0k', '99.9k', '123k', '999k', '1.00M', '1.00G']);
	assert.equal(rate(125000, 'bits'), '1.00 Mbit/s');
	assert.equal(rate(0.25, 'packets'), '0.25 pkt/s');
	assert.equal(rate(null, 'bits'), '–');
	assert.deepEqual([[0, 10], [1, 100000], [5, 10], [99999, 100000], [10, 10], [1, 0]].map(([a, b]) => share(a, b)), ['0 %', '< 0.1 %', '50 %', '> 99.9 %', '100 %', '–']);
	assert.deepEqual([0.25, 1, 10, 119, 120, 3600, 90000, 200000].map(duration), ['250 ms', '1 s', '10 s', '119 s', '2 min', '60 min', '25 h', '2 d 7 h']);
	assert.match(between(START, START + 3 * 86400000), /^20\d\d-(\d\d-\d\d) .* – 20\d\d-(?!\1)/);
	assert.match(between(START, START + 1000), /^20\d\d-\d\d-\d\d [\d:]{8} – [\d:]{8}$/);
	assert.equal(serviceOver('http/tcp'), 'http over tcp');
	assert.equal(serviceOver('a/b/c/udp'), 'a/b/c over udp');
	assert.match(zone(START), /^[A-Z]+([+-]\d+(:\d\d)?)?$/);
	assert.match(clock(START, true), /^20\d\d-\d\d-\d\d \d\d:\d\d:\d\d$/);
}

const CASES = [
	['old buckets are joined, and the sums stay exact', joinsAndKeeps],
	['large records stay within the bytes', staysWithinBytes],
	['a time of the past is what lies in it', selectsATime],
	['of a file, silence counts', silenceCounts],
	['the newest record says how a port is called', namesFollowTheRules],
	['numbers are written with three digits, shares never round to none or all', writesNumbers],
];

let failed = 0;
console.log(`1..${CASES.length}`);
for (const [n, [name, test]] of CASES.entries()) {
	let error = null;
	try {
		test();
	} catch (e) {
		error = e;
		failed++;
	}
	console.log(`${error ? 'not ok' : 'ok'} ${n + 1} - ${name}`);
	for (const line of error ? String(error.stack).split('\n').slice(0, 25) : []) console.log(`#   ${line}`);
}
process.exit(failed ? 1 : 0);
