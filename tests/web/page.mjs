// SPDX-License-Identifier: MIT
// page.mjs PROGRAM ROOT SHOTS: the live page in a real browser. What it shows is compared with what the
// program answers to /api; it is used by mouse, by keyboard and on a narrow screen. TAP.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import dgram from 'node:dgram';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Meter, PATIENCE, browserPath, drawn, launch, require, sleep, until } from './browser.mjs';

const [program, root, shots, makeCaptures] = process.argv.slice(2).map((p) => path.resolve(p));
const scratch = mkdtempSync(path.join(tmpdir(), 'portmeter-page-'));
const capture = (name) => path.join(root, 'pcaps', name);
let browser, meters = [], contexts = [];

function meter(args, options) {
	const m = new Meter(program, args, options);
	meters.push(m);
	return m;
}

// A page of @m; whatever it says to the console or asks of others is a failure.
async function open(m, { hash = '', before = null, ...options } = {}) {
	const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, timezoneId: 'UTC', ...options });
	context.setDefaultTimeout(PATIENCE);
	contexts.push(context);
	const page = await context.newPage();
	const base = await m.url();
	page.trouble = [];
	page.mayFail = false; // while portmeter is away
	page.on('console', (message) => {
		if (['error', 'warning'].includes(message.type()) && !page.mayFail) page.trouble.push(`${message.type()}: ${message.text()}`);
	});
	page.on('pageerror', (error) => page.trouble.push(`uncaught: ${error.message}`));
	page.on('request', (request) => {
		if (!request.url().startsWith(base)) page.trouble.push(`asks ${request.url()}`);
	});
	page.on('dialog', (dialog) => {
		page.trouble.push(`a dialog: ${dialog.message()}`);
		dialog.dismiss();
	});
	await before?.(page);
	await page.goto(base + hash);
	return page;
}

async function shoot(page, name) {
	await page.screenshot({ path: path.join(shots, `${name}.png`), fullPage: true });
}

const content = (page, selector) => page.locator(selector).first().textContent();
const shows = (page, selector, pattern) => until(`${selector} shows ${pattern}`, async () => pattern.test(await content(page, selector))).catch(async (error) => {
	throw new Error(`${error.message}; it shows ${JSON.stringify(await content(page, selector))}`);
});

// Waits for the drawing of what was asked by @act.
async function after(page, act) {
	const before = await page.evaluate(() => Number(document.documentElement.dataset.drawn ?? 0));
	await act();
	await page.waitForFunction((n) => Number(document.documentElement.dataset.drawn ?? 0) > n, before);
}

// ---- numbers ------------------------------------------------------------------------------------

const number = (text) => Number(text.replace(/,/g, ''));

// The exact figures that a row's rate has in its title, and the rate that it shows.
function rowsOnPage(page) {
	return page.evaluate(() => [...document.querySelectorAll('#table tbody tr')].map((row) => ({
		key: row.dataset.key,
		name: row.querySelector('button.name b').textContent,
		cells: [...row.cells].map((cell) => cell.textContent),
		titles: [...row.cells].map((cell) => cell.title),
	})));
}

async function allRows(page) {
	const rows = await rowsOnPage(page);
	while (await page.locator('#next').isVisible() && await page.locator('#next').isEnabled()) {
		await after(page, () => page.locator('#next').click());
		rows.push(...await rowsOnPage(page));
	}
	return rows;
}

// Figures that have no room in their cells.
const cutOff = (page) => page.evaluate(() => [...document.querySelectorAll('#table td.num, #table td.side')].filter((cell) => !cell.classList.contains('port') && cell.offsetParent && (cell.scrollWidth > cell.clientWidth + 1)).map((cell) => cell.textContent));

function exact(row) {
	const found = row.titles.map((title) => /([\d,]+) packets, ([\d,]+) bytes$/.exec(title)).find(Boolean);
	assert.ok(found, `no figures in the titles of ${JSON.stringify(row)}`);
	return { packets: number(found[1]), bytes: number(found[2]) };
}

const SCALE = { '': 1, k: 1e3, M: 1e6, G: 1e9 };

function shownRate(text) {
	const found = /^([\d.]+) ([kMG]?)(bit\/s|pkt\/s)$/.exec(text);
	assert.ok(found, `${JSON.stringify(text)} is no rate`);
	return Number(found[1]) * SCALE[found[2]];
}

function close(what, shown, true_) {
	assert.ok(Math.abs(shown - true_) <= Math.max(0.006 * true_, 0.006), `${what}: shows ${shown}, is ${true_}`);
}

function sums(records) {
	const total = { packets: 0, bytes: 0, seconds: (Date.parse(records.at(-1).interval.end) - Date.parse(records[0].interval.start)) / 1000, services: new Map(), ports: new Map(), transports: new Map(), portless: new Map(), facets: new Map(), unknown: { packets: 0, bytes: 0 } };
	const put = (map, key, row) => {
		const there = map.get(key) ?? { packets: 0, bytes: 0 };
		there.packets += row.packets;
		there.bytes += row.bytes;
		map.set(key, there);
	};
	for (const r of records) {
		total.packets += r.totals.packets;
		total.bytes += r.totals.bytes;
		total.unknown.packets += r.unknown.packets;
		total.unknown.bytes += r.unknown.bytes;
		for (const s of r.services) put(total.services, `${s.service}/${s.transport}`, s);
		for (const p of r.ports) put(total.ports, `${p.port}/${p.transport}`, p.as_service);
		for (const t of r.transports) put(total.transports, t.transport, t);
		for (const n of r.no_port) put(total.portless, n.name ?? n.reason, n);
		for (const f of r.facets) put(total.facets, f.code, f);
	}
	return total;
}

async function numbersAreTheApis() {
	const m = meter(['-r', capture('services.pcapng'), '--interval', '1']);
	const page = await open(m);
	await shows(page, '#status-text', /All of the capture has been read/);
	await shoot(page, 'services-light-1440');
	const records = await m.json('/api/summaries');
	const total = sums(records);
	assert.equal(records.length, 18);
	await shows(page, '#range', new RegExp(`${records.length} intervals`));

	const services = await allRows(page);
	const unnamed = services.filter((row) => row.key === 'unknown');
	assert.deepEqual(unnamed.map(exact), [total.unknown]);
	const named = services.filter((row) => row.key !== 'unknown');
	assert.deepEqual(await cutOff(page), []);
	assert.deepEqual(Object.fromEntries(named.map((row) => [row.key, exact(row)])), Object.fromEntries(total.services));
	for (const row of named) {
		close(`the rate of ${row.key}`, shownRate(row.cells[2]), (total.services.get(row.key).bytes * 8) / total.seconds);
		const part = (100 * total.services.get(row.key).bytes) / total.bytes;
		assert.ok(Math.abs(parseFloat(row.cells[3]) - part) <= (part < 9.95 ? 0.05 : 0.5), `the share of ${row.key}: ${row.cells[3]}, is ${part}`);
	}
	const order = named.map((row) => exact(row).bytes);
	assert.deepEqual(order, [...order].sort((a, b) => b - a), 'the busiest first');
	assert.equal(await content(page, '#ranking li:first-child strong'), named[0].name);
	const ranks = await page.locator('#ranking .how').allTextContents();
	assert.equal(ranks.length, 8, 'rows until the rest is small, as far as there is room');
	close('what the ranking shows, in all', ranks.reduce((n, text) => n + shownRate(text), 0), (total.bytes * 8) / total.seconds);

	await after(page, () => page.locator('[data-tab=ports]').click());
	const ports = await allRows(page);
	assert.deepEqual(Object.fromEntries(ports.map((row) => [row.cells[0], exact(row)]).sort()), Object.fromEntries([...total.ports].sort()));

	await after(page, () => page.locator('[data-unit=packets]').click());
	close('all packets', shownRate(await content(page, '#tile-rate')), total.packets / total.seconds);
	const transports = await page.evaluate(() => [...document.querySelectorAll('#transports tr')].map((tr) => [tr.cells[0].firstChild.textContent, tr.cells[1].textContent]));
	assert.deepEqual(transports.map(([name]) => name).sort(), [...total.transports.keys()].sort());
	for (const [name, rate] of transports) close(name, shownRate(rate), total.transports.get(name).packets / total.seconds);
	const portless = await page.evaluate(() => [...document.querySelectorAll('#portless tr')].map((tr) => tr.cells[3].textContent));
	assert.deepEqual(portless.map(number).sort(), [...total.portless.values()].map((n) => n.packets).sort());
	assert.match(await content(page, '#tile-volume'), new RegExp(`${total.packets.toLocaleString('en-US')} packets`));
	const notices = await page.locator('#notices .figure').allTextContents();
	assert.deepEqual(notices.map((text) => number(text.split(' ')[0])).sort(), [...total.facets.values()].map((f) => f.packets).sort());
	return page;
}

async function endpointsAreThere() {
	const m = meter(['-r', capture('services.pcapng'), '--interval', '1', '--by', 'endpoint']);
	const page = await open(m, { hash: '#tab=endpoints' });
	await shows(page, '#range', /18 intervals/);
	const want = new Map();
	for (const r of await m.json('/api/summaries')) {
		for (const e of r.endpoints) {
			const row = want.get(`${e.address}/${e.transport}/${e.port}`) ?? { packets: 0, bytes: 0 };
			want.set(`${e.address}/${e.transport}/${e.port}`, { packets: row.packets + e.packets, bytes: row.bytes + e.bytes });
		}
	}
	const rows = await allRows(page);
	assert.deepEqual(Object.fromEntries(rows.map((row) => [row.key, exact(row)])), Object.fromEntries(want));
	assert.ok(await page.locator('[data-tab=endpoints]').isVisible());
	return page;
}

// ---- use ----------------------------------------------------------------------------------------

async function sortsAndSearches() {
	const m = meter(['-r', capture('many-ports.pcap'), '--interval', '0']);
	const page = await open(m);
	await drawn(page);
	const by = async (heading) => after(page, () => page.locator('#table thead button', { hasText: heading }).click());
	const names = async () => (await rowsOnPage(page)).map((row) => row.name);

	await by('Service');
	const rising = await names();
	assert.deepEqual(rising.filter((n) => n !== 'unnamed ports'), rising.filter((n) => n !== 'unnamed ports').sort((a, b) => (a.toLowerCase() < b.toLowerCase() ? -1 : a.toLowerCase() > b.toLowerCase() ? 1 : 0)));
	assert.equal(await page.locator('#table th[aria-sort]').getAttribute('aria-sort'), 'ascending');
	await by('Service');
	assert.notDeepEqual(await names(), rising);
	assert.equal(await page.locator('#table th[aria-sort]').getAttribute('aria-sort'), 'descending');

	await after(page, () => page.locator('[data-tab=ports]').click());
	await by('Port');
	const first = (await rowsOnPage(page)).map((row) => parseInt(row.cells[0], 10));
	assert.equal(first.length, 50);
	assert.deepEqual(first, [...first].sort((a, b) => a - b));
	assert.match(await content(page, '#rows'), /^1–50 of 1,024 ports$/);
	await after(page, () => page.locator('#next').click());
	const second = (await rowsOnPage(page)).map((row) => parseInt(row.cells[0], 10));
	assert.ok(second[0] >= first[49], 'the second page goes on where the first ends');

	await page.locator('body').press('/');
	await after(page, () => page.keyboard.type('udp domain'));
	await until('the search has been drawn', async () => (await names()).length > 0 && (await names()).every((n) => n.includes('domain')));
	assert.match(await content(page, '#rows'), / of 1,024 ports$/);
	await after(page, () => page.locator('#search').fill('no such thing'));
	await shows(page, '#rows', /^No port matches$/);
	await page.locator('#search').press('Escape');
	await shows(page, '#rows', /^1–50 of 1,024 ports$/);
	return page;
}

// Where a port stands on the map.
async function spot(page, port) {
	const box = await page.locator('#map').boundingBox();
	const cell = box.width / 264;
	return { x: box.x + ((port % 256) + 4.5) * cell, y: box.y + (Math.floor(port / 256) + 4.5) * cell };
}

async function mapNamesPorts() {
	const m = meter(['-r', capture('services.pcapng'), '--interval', '1']);
	const page = await open(m);
	await drawn(page);
	await page.locator('#map').scrollIntoViewIfNeeded();
	const at = await spot(page, 514);
	// Near is enough.
	const by = await spot(page, 443);
	await page.mouse.move(by.x + 4, by.y + 2);
	await shows(page, '#map-tip', /^Port 443 system.*tcp · https/s);
	const client = (await m.json('/api/summaries')).flatMap((r) => r.ports).find((p) => p.port > 49152 && p.as_service.packets === 0 && p.service === null).port;
	const there = await spot(page, client);
	await page.mouse.move(there.x, there.y);
	await shows(page, '#map-tip', new RegExp(`^Port ${client} dynamic.* · a client’s port · to `, 's'));
	await page.mouse.move(at.x + 80, at.y + 80);
	await shows(page, '#map-tip', /^Port \d+ user\s*no traffic in this time/);
	await page.mouse.move(at.x, at.y);
	await shows(page, '#map-tip', /^Port 514 system/);
	await page.mouse.click(at.x, at.y);
	await shows(page, '#pin', /Port 514system.*syslog over udp.*8 packets/s);
	assert.match(page.url(), /pin=514/);

	// What is a link keeps the view: another page shows the same.
	const again = await open(m, { hash: `${new URL(page.url()).hash}&tab=ports&sort=port.rising&unit=packets&search=tcp` });
	await drawn(again);
	await shows(again, '#pin', /Port 514/);
	assert.equal(await again.locator('[data-tab=ports]').getAttribute('aria-pressed'), 'true');
	assert.equal(await again.locator('[data-unit=packets]').getAttribute('aria-pressed'), 'true');
	assert.equal(await again.locator('#search').inputValue(), 'tcp');
	assert.equal((await rowsOnPage(again))[0].cells[0], '20/tcp');
	assert.deepEqual(again.trouble, []);

	// By keyboard: on to the next that is lit, and pin.
	const map = page.locator('#map');
	await page.mouse.move(2, 2);
	await map.focus();
	await map.press('Home');
	await map.press('n');
	assert.equal(await map.getAttribute('aria-valuenow'), '20');
	await until('the port is named', async () => /^Port 20, system: tcp, ftp-data, to /.test(await map.getAttribute('aria-valuetext')));
	await map.press('ArrowRight');
	await map.press('ArrowRight');
	assert.equal(await map.getAttribute('aria-valuenow'), '22');
	await map.press('Enter');
	await shows(page, '#pin', /Port 22.*ssh over tcp/s);
	await map.press('Enter');
	await shows(page, '#pin', /Pin a port here/);

	// A service in the table is pinned as well; its evidence is there in full.
	await page.locator('#table button.name', { hasText: 'http' }).first().click();
	await shows(page, '#pin', /http.*Side known by.*learned 87 %, handshake 13 %/s);
	assert.equal(await page.locator('#table tr.pinned').count(), 1);
	return page;
}

// The page's own links go to a heading, and leave the view and its address as they are.
async function linksKeepTheView() {
	const m = meter(['-r', capture('services.pcapng'), '--interval', '1']);
	const page = await open(m, { hash: '#tab=ports&unit=packets&pin=514&search=udp&span=9' });
	await drawn(page);
	await page.locator('#pause').click();
	await shows(page, '#status-text', /^Paused at/);
	const seen = async () => [page.url(), await content(page, '#status-text'), await content(page, '#range'), await content(page, '#pin'), await content(page, '#rows'),
		await page.locator('#search').inputValue(), await page.locator('[aria-pressed=true]:not(#table *)').allTextContents()];
	const before = await seen();
	const focused = () => page.evaluate(() => document.activeElement.id);
	for (const heading of ['health-heading', 'notices-heading', 'table-heading']) {
		const link = page.locator(`a[href="#${heading}"]`);
		await link.focus();
		await link.click();
		assert.equal(await focused(), heading);
		assert.ok(await page.locator(`#${heading}`).evaluate((h) => h.getBoundingClientRect().top >= document.querySelector('.top').offsetHeight), `${heading} is seen`);
		await sleep(200);
		assert.deepEqual(await seen(), before);
	}
	// By keyboard, and as an address.
	await page.locator('.skip').press('Enter');
	assert.equal(await focused(), 'table-heading');
	for (const hash of ['health-heading', 'nothing', '']) {
		await page.evaluate((to) => (location.hash = to), hash);
		await until(`#${hash} is put right`, () => page.url() === before[0]);
		assert.deepEqual(await seen(), before);
	}
	// A view without a source and a span is of the same source, and of the time that is usual for it.
	await after(page, () => page.evaluate(() => (location.hash = 'tab=services')));
	await shows(page, '#range', /18 intervals/);
	await shows(page, '#answer-of', /^services\.pcapng, all of/);
	assert.match(page.url(), /source=.*services\.pcapng/);
	return page;
}

async function historyIsScrubbed() {
	const m = meter(['-r', capture('services.pcapng'), '--interval', '1']);
	const page = await open(m);
	await shows(page, '#range', /18 intervals/);
	const all = await m.json('/api/summaries');
	const scrub = page.locator('#scrub');
	await after(page, () => scrub.evaluate((input) => {
		input.value = String(Number(input.min) + 3);
		input.dispatchEvent(new Event('input', { bubbles: true }));
	}));
	const end = Number(await scrub.inputValue()) * 1000;
	const before = all.filter((r) => Date.parse(r.interval.end) <= end);
	assert.ok(before.length > 0 && before.length < all.length);
	await shows(page, '#status-text', /^Paused at 08:38:50$/);
	await shows(page, '#range', new RegExp(`${before.length} intervals`));
	await shows(page, '#tile-volume', new RegExp(` ${before.reduce((n, r) => n + r.totals.packets, 0)} packets`));
	await after(page, () => page.locator('#to-live').click());
	await shows(page, '#range', /18 intervals/);

	// Drawn over with the pointer, the chart shows that time alone.
	const box = await page.locator('#chart .u-over').boundingBox();
	await page.mouse.move(box.x + box.width * 0.5, box.y + 40);
	await page.mouse.down();
	await page.mouse.move(box.x + box.width * 0.8, box.y + 40, { steps: 4 });
	await after(page, () => page.mouse.up());
	const fewer = Number(/(\d+) interval/.exec(await content(page, '#range'))[1]);
	assert.ok(fewer >= 3 && fewer <= 9, `${fewer} intervals in a third of the time`);
	return page;
}

// ---- live ---------------------------------------------------------------------------------------

const LIVE = ['-i', 'lo', '--interval', '1', 'udp', 'portrange', '47000-47001'];

async function send(port, n) {
	const socket = dgram.createSocket('udp4');
	socket.on('error', () => {}); // nobody listens there: the host says so
	for (let i = 0; i < n; i++) await new Promise((resume) => socket.send(Buffer.alloc(100), port, '127.0.0.1', resume));
	socket.close();
}

const packetsOf = async (page) => number(/([\d,]+) packets/.exec(await content(page, '#tile-volume'))[1]);

async function livesOn() {
	const rules = path.join(scratch, 'tea.rules');
	writeFileSync(rules, 'tea 47000/udp category=drinks\ncoffee 47001/udp\n');
	const args = ['-R', rules, ...LIVE];
	const m = meter(args);
	const base = await m.url();
	await until('it captures', () => /listening on lo/.test(m.said));
	const page = await open(m, { hash: '#span=all' });
	await shows(page, '#status-text', /^Live · \d\d:\d\d:\d\d$/);
	await send(47000, 30);
	await until('tea comes', async () => (await packetsOf(page)) === 30);
	assert.equal(await content(page, '#ranking strong'), 'tea');
	await send(47001, 12);
	await until('coffee comes', async () => (await packetsOf(page)) === 42);
	assert.deepEqual((await rowsOnPage(page)).map((row) => [row.key, exact(row).packets]), [['tea/udp', 30], ['coffee/udp', 12]]);

	await page.locator('#pause').click();
	await shows(page, '#status-text', /^Paused at/);
	await send(47001, 8);
	await shows(page, '#to-live', /\+[2-9]/);
	assert.equal(await packetsOf(page), 42, 'paused, nothing moves');
	await page.locator('#pause').click();
	await until('what came meanwhile', async () => (await packetsOf(page)) === 50);

	page.mayFail = true;
	await m.stop();
	await shows(page, '#status-text', /^Connection lost – as of \d\d:\d\d:\d\d, trying again$/);
	assert.equal(await packetsOf(page), 50, 'what was there stays');
	await shoot(page, 'lost');
	const second = meter(args, { listen: new URL(base).host });
	await second.url();
	await until('it captures again', () => /listening on lo/.test(second.said));
	await send(47000, 5);
	await shows(page, '#status-text', /^Live/);
	await until('it catches up', async () => (await packetsOf(page)) === 55);
	await second.stop();
	return page;
}

// Hidden, the page lets its connection go; shown again, it has all that came meanwhile.
async function restsWhileHidden() {
	const m = meter(LIVE);
	await until('it captures', () => /listening on lo/.test(m.said));
	const asked = [], done = [];
	const page = await open(m, { hash: '#span=all', before: async (p) => {
		p.on('request', (r) => r.url().includes('/api/events') && asked.push(r.url()));
		for (const event of ['requestfinished', 'requestfailed']) p.on(event, (r) => r.url().includes('/api/events') && done.push(r.url()));
		await p.addInitScript(() => {
			let hidden = false;
			Object.defineProperty(document, 'hidden', { get: () => hidden });
			globalThis.hide = (on) => {
				hidden = on;
				document.dispatchEvent(new Event('visibilitychange'));
			};
			// Half a second instead of half a minute.
			const post = Worker.prototype.postMessage;
			Worker.prototype.postMessage = function (data, ...more) {
				return post.call(this, data.type === 'rest' ? { ...data, after: data.after / 60 } : data, ...more);
			};
		});
	} });
	await send(47000, 10);
	await until('the first come', async () => (await content(page, '#tile-volume')).includes('packets') && (await packetsOf(page)) === 10);
	const before = asked.length;
	assert.deepEqual(done.slice(before - 1), []);
	// Not for a moment.
	await page.evaluate(() => globalThis.hide(true));
	await page.evaluate(() => globalThis.hide(false));
	await sleep(800);
	assert.equal(done.length, before - 1);
	await page.evaluate(() => globalThis.hide(true));
	await until('the stream is closed', () => done.length === before);
	await send(47001, 20);
	await sleep(2500);
	assert.equal(asked.length, before, 'hidden, it asks for nothing');
	await page.evaluate(() => globalThis.hide(false));
	await until('what came meanwhile', async () => (await packetsOf(page)) === 30);
	assert.equal(asked.length, before + 1);
	assert.match(decodeURIComponent(asked.at(-1)), /since=20\d\d-\d\d-\d\dT/);
	await send(47000, 5);
	await until('it goes on', async () => (await packetsOf(page)) === 35);
	await shows(page, '#status-text', /^Live/);
	const records = (await m.json('/api/summaries')).length;
	assert.ok(Math.abs(Number(/(\d+) intervals/.exec(await content(page, '#range'))[1]) - records) <= 1, 'each record once');
	assert.ok(!(await content(page, '#health')).includes('may be missing'));
	return page;
}

async function waitsForTheFirst() {
	const m = meter(['-i', 'lo', '--interval', '3600', 'udp', 'portrange', '47000-47001']);
	await until('it captures', () => /listening on lo/.test(m.said));
	const page = await open(m);
	await shows(page, '#ranking', /^No record yet: the first comes when an interval ends, by default within 10 s\.$/);
	assert.deepEqual(await page.locator('.tile dd').allTextContents(), ['–', '', '–', '', '–', '', '–', ''], 'no figure where nothing has been counted');
	return page;
}

// A stream that breaks off after each event, of a sensor in trouble: sent again and again, it counts once.
async function troubleIsSaid() {
	const m = meter(['-r', capture('services.pcapng'), '--interval', '0']);
	await until('all is read', () => /all is read/.test(m.said));
	const record = await m.json('/api/summary');
	record.capture = { received: 600, dropped_kernel: 7, dropped_interface: 2, snapped: 3, down_seconds: 0.4 };
	Object.assign(record, { merged: 3, given_up: { peers: 4 }, output: { errors: 5, delayed_records: 6 } });
	Object.assign(record.source, { kind: 'live', name: 'eth0' });
	let asked = 0;
	const page = await open(m, { before: (p) => p.route('**/api/events*', (route) => {
		asked++;
		return route.fulfill({ contentType: 'text/event-stream', body: `retry: 100\nevent: gap\ndata: {}\n\nevent: summary\nid: 1\ndata: ${JSON.stringify(record)}\n\n` });
	}) });
	page.mayFail = true;
	await until('it has come back', () => asked >= 4);
	await shows(page, '#range', /1 interval$/);
	await shows(page, '#tile-drops', /^9$/);
	await shows(page, '#tile-drops-sub', /^1\.7 % of all frames$/);
	const health = await page.evaluate(() => Object.fromEntries([...document.querySelectorAll('#health > div')].map((row) => [row.firstChild.textContent, [row.lastChild.textContent, row.className]])));
	for (const [name, value] of Object.entries({
		'Dropped for want of buffer': '7', 'Dropped by the interface': '2', 'Interface down': '400 ms', 'Intervals joined, since output stalled': '3',
		'Attempts to write that failed': '5', 'Records that had to wait': '6', 'For want of room: services without clients and servers': '4',
	})) assert.deepEqual(health[name], [value, 'look'], name);
	assert.equal(health['Frames captured in part'][0], '3');
	assert.ok(Number(health['Times that records may be missing here'][0]) >= 1);
	return page;
}

async function interfacesAreSwitched() {
	const m = meter(['-r', capture('pcapng-interfaces.pcapng'), '--interval', '0']);
	await until('all is read', () => /all is read/.test(m.said));
	const sources = await m.json('/api/sources');
	assert.ok(sources.length > 1);
	const page = await open(m);
	for (const { name } of sources) {
		await page.locator('#source').selectOption(name);
		const total = sums(await m.json(`/api/summaries?source=${encodeURIComponent(name)}`));
		await shows(page, '#tile-volume', new RegExp(`^${total.bytes} B · ${total.packets} packets$`));
		await shows(page, '#answer-of', new RegExp(`^${name},`));
		assert.equal(new URLSearchParams(new URL(page.url()).hash.slice(1)).get('source'), name);
	}
	// The link is of that interface.
	const again = await open(m, { hash: new URL(page.url()).hash });
	await shows(again, '#answer-of', new RegExp(`^${sources.at(-1).name},`));
	return page;
}

async function anotherSourceComes() {
	const m = meter(['-r', capture('services.pcapng'), '--interval', '1']);
	const base = await m.url();
	const page = await open(m);
	await shows(page, '#range', /18 intervals/);
	page.mayFail = true;
	await m.stop();
	await shows(page, '#status-text', /^Connection lost/);
	const second = meter(['-r', capture('many-ports.pcap'), '--interval', '0'], { listen: new URL(base).host });
	await second.url();
	await shows(page, '#source', /^many-ports\.pcap$/);
	await shows(page, '#status-text', /All of the capture has been read/);
	await shows(page, '#tile-volume', / 1,040 packets$/);
	return page;
}

// A capture: frames of UDP to port 53, 1,000 bytes each, at these seconds.
function writeCapture(name, seconds) {
	const frame = Buffer.alloc(1000);
	Buffer.from('020000000002020000000001' + '0800' + '450003da00000000401100000a0000010a000002' + '9c40003503c60000', 'hex').copy(frame);
	const head = Buffer.alloc(24);
	[0xa1b2c3d4, 0x00040002, 0, 0, 65535, 1].forEach((value, i) => head.writeUInt32LE(value, 4 * i));
	const parts = [head];
	for (const at of seconds) {
		const about = Buffer.alloc(16);
		[1767225600 + Math.floor(at), Math.round((at % 1) * 1e6), frame.length, frame.length].forEach((value, i) => about.writeUInt32LE(value, 4 * i));
		parts.push(about, frame);
	}
	const file = path.join(scratch, name);
	writeFileSync(file, Buffer.concat(parts));
	return file;
}

// How many of the plot's columns of pixels have a colour that is neither grey nor the ground's.
const coloured = (page) => page.evaluate(() => {
	const canvas = document.querySelector('#chart canvas'), over = document.querySelector('#chart .u-over');
	const [outer, inner] = [canvas.getBoundingClientRect(), over.getBoundingClientRect()];
	const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true });
	copy.drawImage(canvas, 0, 0);
	const { width, height, data } = copy.getImageData(inner.left - outer.left, inner.top - outer.top, inner.width, inner.height);
	let n = 0;
	for (let x = 0; x < width; x++) {
		for (let y = 0; y < height; y++) {
			const rgb = [0, 1, 2].map((c) => data[(y * width + x) * 4 + c]);
			if (data[(y * width + x) * 4 + 3] > 250 && Math.max(...rgb) - Math.min(...rgb) > 80) {
				n++;
				break;
			}
		}
	}
	return n;
});

const BURSTS = Array.from({ length: 60 * 80 }, (_, i) => 60 * Math.floor(i / 80) + (i % 80) / 80);

async function narrowStepsAreSeen() {
	const m = meter(['-r', writeCapture('bursts.pcap', BURSTS), '--interval', '1']);
	const page = await open(m, { viewport: { width: 1440, height: 900 } });
	await shows(page, '#range', /60 intervals/);
	// Silence is a part of a file's time: 4.8 MB in 3,541 s.
	close('the rate', shownRate(await content(page, '#tile-rate')), (BURSTS.length * 8000) / 3540.988);
	await until('each burst has its column', async () => { const n = await coloured(page); return n >= 60 && n <= 120; });
	await page.setViewportSize({ width: 700, height: 900 });
	await until('and on a narrower page', async () => { const n = await coloured(page); return n >= 60 && n <= 120; });
	// Of a shorter time, the steps are as wide as they are.
	await after(page, () => page.locator('[data-span="60"]').click());
	await shows(page, '#range', /2 intervals/);
	return page;
}

async function gravestFirst() {
	const m = meter(['-r', capture('anomaly-service-port.pcap'), '-r', capture('anomaly-scan.pcap'), '-r', capture('zero-ports.pcap'), '--interval', '1']);
	const page = await open(m, { hash: '#span=all' });
	await shows(page, '#tile-notices-sub', /^Port scan from 192\.0\.2\.1, and \d+\u00a0more$/);
	const [many, more] = [await content(page, '#tile-notices'), /(\d+)\u00a0more/.exec(await content(page, '#tile-notices-sub'))[1]];
	assert.equal(Number(many), Number(more) + 1, 'the one that is named and the others');
	assert.equal(await page.locator('#notices li').count(), Number(many));
	for (const width of [1440, 1024, 390]) {
		await page.setViewportSize({ width, height: 800 });
		const room = await page.evaluate(() => [...document.querySelectorAll('.tile dd')].filter((dd) => dd.scrollWidth > dd.clientWidth).map((dd) => dd.textContent));
		assert.deepEqual(room, [], `what a tile says is not cut off, ${width} wide`);
	}
	assert.deepEqual((await page.locator('#notices strong').allTextContents()).slice(0, 2), ['Port scan', 'Client asks from a service port']);
	return page;
}

// ---- looks --------------------------------------------------------------------------------------

async function accessible(page, what, rules = null) {
	// The browser takes what a debugger evaluates, whatever the page's policy for scripts.
	await page.evaluate(require('axe-core').source);
	const found = await page.evaluate((only) => globalThis.axe.run(document, { runOnly: only ?? ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'], resultTypes: ['violations', 'passes'] }), rules);
	const said = found.violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.target.join(' ')).join('; ')}`);
	assert.deepEqual(said, [], `axe-core, ${what}`);
	assert.ok(found.passes.length >= (rules ?? { length: 20 }).length, 'axe-core has looked');
}

async function darkAndLight() {
	const m = meter(['-r', capture('anomaly-scan.pcap'), '--interval', '1']);
	const ground = (p) => p.evaluate(() => getComputedStyle(document.body).backgroundColor);
	const light = await open(m, { colorScheme: 'light', hash: '#pin=443' });
	await drawn(light);
	await shows(light, '#tile-notices-sub', /Port scan/);
	assert.deepEqual(await cutOff(light), []);
	await shows(light, '#notices', /failed attempts.*192\.0\.2\.1 port 40024 → 198\.51\.100\.1 port 1025 over tcp/s);
	await shoot(light, 'scan-light-1440');
	await accessible(light, 'light');
	const dark = await open(m, { colorScheme: 'dark', hash: '#pin=443' });
	await drawn(dark);
	assert.notEqual(await ground(light), await ground(dark));
	await shoot(dark, 'scan-dark-1440');
	await accessible(dark, 'dark', ['color-contrast']);

	// The switch turns it round, and stays.
	const chosen = await ground(light);
	await dark.locator('#theme').click();
	assert.equal(await ground(dark), chosen);
	await dark.reload();
	await drawn(dark);
	assert.equal(await ground(dark), chosen);
	assert.deepEqual(dark.trouble, []);
	return light;
}

async function narrow() {
	const m = meter(['-r', capture('services.pcapng'), '--interval', '1']);
	const page = await open(m, { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true });
	await drawn(page);
	assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= 360, 'nothing stands out at the side');
	const out = await page.evaluate(() => [...document.querySelectorAll('#table td, #table th, button, select, h2, .tile')].filter((e) => e.offsetParent && e.getBoundingClientRect().right > 360.5).map((e) => e.outerHTML.slice(0, 80)));
	assert.deepEqual(out, []);
	assert.deepEqual(await cutOff(page), []);
	// Who uses the wire is answered as on a large screen, and with the notices it fits on this one.
	assert.equal(await page.locator('#ranking li').count(), 8);
	const answer = await page.locator('.answer').boundingBox();
	assert.ok(answer.y + answer.height <= 740, `the answer ends ${answer.y + answer.height} down`);
	const first = (await rowsOnPage(page))[0];
	assert.equal(first.name, 'http');
	assert.ok(await page.locator('#table tbody tr:first-child .port').isVisible());
	await page.locator('[data-tab=ports]').tap();
	await until('ports', async () => /ports$/.test(await content(page, '#rows')));
	await shoot(page, 'services-phone-360');
	await accessible(page, 'on a phone');
	return page;
}

async function keyboardAlone() {
	const m = meter(['-r', capture('services.pcapng'), '--interval', '1']);
	const page = await open(m);
	await drawn(page);
	const seen = [];
	for (let i = 0; i < 90 && !seen.includes('map'); i++) {
		await page.keyboard.press('Tab');
		seen.push(await page.evaluate(() => {
			const e = document.activeElement;
			if (!getComputedStyle(e).outlineStyle.match(/solid|auto/)) return `no ring: ${e.outerHTML.slice(0, 60)}`;
			return e.id || Object.values(e.dataset)[0] || e.className;
		}));
	}
	assert.deepEqual(seen.filter((s) => s.startsWith('no ring')), []);
	assert.equal(seen[0], 'skip');
	const places = ['bits', 'theme', '60', 'pause', 'services', 'search', 'map'].map((name) => seen.indexOf(name));
	assert.ok(places.every((at, i) => at >= 0 && (i === 0 || at > places[i - 1])), `the order of the focus: ${seen}`);
	return page;
}

// Names come from rules and paths: what looks like markup is shown as it is.
async function namesAreText() {
	const rules = path.join(scratch, 'odd.rules');
	writeFileSync(rules, '<img/src=x/onerror=alert(1)> 80/tcp\n');
	const file = path.join(scratch, '<b onclick=alert(2)>\u202e.pcapng');
	copyFileSync(capture('services.pcapng'), file);
	const m = meter(['-R', rules, '-r', file, '--interval', '0']);
	const page = await open(m);
	await drawn(page);
	assert.ok((await page.locator('#table tbody button.name b').allTextContents()).includes('<img/src=x/onerror=alert(1)>'));
	assert.match(await page.title(), /^unnamed ports/);
	assert.match(await content(page, '#source'), /<b onclick=alert\(2\)>\u202e\.pcapng$/);
	assert.equal(await page.locator('main img, main b[onclick]').count(), 0);
	// A mark that turns the direction of writing stays within its name.
	assert.match(await content(page, '#answer-of bdi'), /\u202e\.pcapng$/);
	for (const name of ['#answer-of bdi', '#ranking .who strong', '#table .name b', '#legend b']) {
		assert.equal(await page.locator(name).first().evaluate((e) => getComputedStyle(e).unicodeBidi), 'isolate', name);
	}
	assert.match(await content(page, '#range'), / UTC · 1 interval$/);
	return page;
}

async function everyPort() {
	const file = path.join(scratch, 'every.pcap');
	const made = spawnSync(makeCaptures, ['every', '131072', file]);
	assert.equal(made.status, 0, String(made.stderr));
	const m = meter(['-r', file, '--interval', '0']);
	const page = await open(m, { hash: '#tab=ports' });
	// Frames of the animation, which stop while the page's thread is busy.
	await page.evaluate(() => {
		globalThis.longest = 0;
		let last = performance.now();
		const tick = (now) => {
			globalThis.longest = Math.max(globalThis.longest, now - last);
			last = now;
			requestAnimationFrame(tick);
		};
		requestAnimationFrame(tick);
	});
	await shows(page, '#rows', /^1–50 of 131,072 ports$/);
	await after(page, () => page.locator('#search').fill('5432'));
	await shows(page, '#rows', /^\d+ of 131,072 ports$/);
	const longest = await page.evaluate(() => globalThis.longest);
	console.log(`# 131,072 rows: the page stood still for ${Math.round(longest)} ms at most`);
	assert.ok(longest < 3000, `the page stood still for ${longest} ms`);
	assert.match(await content(page, '#map-count'), /65,53[56] lit/);
	await shoot(page, 'every-port');
	return page;
}

// ---- TAP ----------------------------------------------------------------------------------------

const isRoot = process.getuid?.() === 0;
const CASES = [
	['the numbers on the page are those of /api', numbersAreTheApis],
	['with --by endpoint, the addresses are those of /api', endpointsAreThere],
	['tables are sorted, searched and turned over', sortsAndSearches],
	['the map names a port under the pointer and by keyboard, and pins it; a link keeps the view', mapNamesPorts],
	['the page’s own links keep the view', linksKeepTheView],
	['the slider and a stroke over the chart show a time of the past', historyIsScrubbed],
	['live: records come by themselves, pause holds, a restart is caught up with', livesOn, isRoot ? null : 'only root may capture on lo'],
	['before the first record, it is said when it comes', waitsForTheFirst, isRoot ? null : 'only root may capture on lo'],
	['hidden, the page lets its connection go, and catches up when it is shown', restsWhileHidden, isRoot ? null : 'only root may capture on lo'],
	['interfaces are switched, and stand in the link', interfacesAreSwitched],
	['where another portmeter answers by now, its source is shown', anotherSourceComes],
	['steps narrower than a pixel are drawn', narrowStepsAreSeen],
	['of several notices, the gravest is named', gravestFirst],
	['drops, stalls and what was given up are said; what is sent twice counts once', troubleIsSaid],
	['dark and light, a scan is pointed out, and no complaint of axe-core', darkAndLight],
	['on a screen 360 wide nothing is cut off', narrow],
	['every control is reached by keyboard, in order, and is seen to be', keyboardAlone],
	['names from outside are shown as text', namesAreText],
	['131,072 ports do not hold the page up', everyPort],
];

async function run() {
	if (browserPath() === null) {
		console.log('1..0 # SKIP there is no Chromium here (scripts/bootstrap --tests installs it; CHROMIUM names another)');
		return 0;
	}
	if (!existsSync(path.join(root, 'tests/web/node_modules/playwright-core'))) {
		console.log('1..1\nnot ok 1 - playwright-core is not here: scripts/bootstrap --tests brings it');
		return 1;
	}
	mkdirSync(shots, { recursive: true });
	const only = process.env.PAGE_CASE;
	const cases = CASES.filter(([name]) => !only || name.includes(only));
	console.log(`1..${cases.length}`);
	browser = await launch();
	let failed = 0;
	for (const [n, [name, test, skip]] of cases.entries()) {
		if (skip) {
			console.log(`ok ${n + 1} - ${name} # SKIP ${skip}`);
			continue;
		}
		const began = Date.now();
		let error = null, page = null;
		try {
			page = await test();
			assert.deepEqual(page.trouble, [], 'the console');
			for (const m of meters) if (m.process.exitCode === null) await m.stop();
		} catch (e) {
			error = e;
			for (const [i, c] of contexts.entries()) for (const p of c.pages()) await shoot(p, `failed-${n + 1}-${i}`).catch(() => {});
		}
		for (const c of contexts) await c.close().catch(() => {});
		for (const m of meters) m.kill();
		[meters, contexts] = [[], []];
		failed += error !== null;
		console.log(`${error ? 'not ok' : 'ok'} ${n + 1} - ${name}`);
		for (const line of error ? String(error.stack).split('\n').slice(0, 25) : []) console.log(`#   ${line}`);
		console.log(`# ${((Date.now() - began) / 1000).toFixed(1)} s`);
	}
	await browser.close();
	return failed ? 1 : 0;
}

let status = 1;
try {
	status = await run();
} finally {
	for (const m of meters) m.kill();
	rmSync(scratch, { recursive: true, force: true });
}
process.exit(status);
