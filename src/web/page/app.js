// SPDX-License-Identifier: MIT
// The live page: asks the worker for a view of the time shown, and draws what it answers.
// What the reader has chosen is in the address behind the #, so a link keeps it.
import { $, fill, make, spark, text } from './view.js';
import { FACETS, GIVEN_UP, REASONS, RUNGS, between, clock, count, duration, plural, rate, serviceOver, share, volume, zone } from './format.js';
import { Chart } from './chart.js';
import { PortMap } from './portmap.js';
import { KINDS, Table, evidence } from './table.js';

const REST_MS = 30000; // hidden for so long, the page lets go of its connection
const small = matchMedia('(max-width: 640px)');
const worker = new Worker('/page/worker.js', { type: 'module' });

const state = {
	source: null, unit: 'bits', span: null, end: null, // span null: all; undefined until the first record: by kind
	tab: 'services', sort: 'rate', falling: true, search: '', page: 0, hold: false,
	side: 'either', transport: 'all', pin: null,
};
let chosenSpan = false; // by the reader, or by the link
let spanFits = false; // to the kind of source
let sources = [];
let view = null;
let asked = 0;
let link = { state: 'connecting' };
let announced = '';
let scrubbing = false;

// ---- the address --------------------------------------------------------------------------------

const KEYS = ['source', 'unit', 'span', 'end', 'tab', 'sort', 'search', 'page', 'map', 'over', 'pin'];

// Whether what stands behind the # is a view, and not a place on the page or something else.
function addressIsView() {
	const hash = location.hash.slice(1);
	return $(hash) === null && [...new URLSearchParams(hash).keys()].some((key) => KEYS.includes(key));
}

// Of a capture file, all; of a wire, the last five minutes.
const usualSpan = (latest) => (latest?.source.kind === 'live' ? 300 : null);

function readAddress() {
	const query = new URLSearchParams(location.hash.slice(1));
	const one = (name, allowed, otherwise) => (allowed.includes(query.get(name)) ? query.get(name) : otherwise);
	state.source = query.get('source') ?? state.source;
	state.unit = one('unit', ['bits', 'packets'], 'bits');
	const span = query.get('span');
	chosenSpan = span === 'all' || Number(span) > 0;
	state.span = Number(span) > 0 ? Number(span) : span === 'all' ? null : usualSpan(view?.latest);
	state.end = query.get('end') && Number.isFinite(Number(query.get('end'))) ? Number(query.get('end')) * 1000 : null;
	state.tab = one('tab', Object.keys(KINDS), 'services');
	[state.sort, state.falling] = (query.get('sort') ?? 'rate.falling').split('.').map((v, i) => (i ? v !== 'rising' : v));
	state.falling ??= true;
	state.search = (query.get('search') ?? '').slice(0, 100);
	state.page = Math.max(0, Math.floor(Number(query.get('page')) || 0));
	state.side = one('map', ['either', 'service'], 'either');
	state.transport = one('over', ['all', 'tcp', 'udp', 'udplite', 'sctp', 'dccp'], 'all');
	const pin = query.get('pin');
	state.pin = pin === null ? null : /^\d{1,5}$/.test(pin) && Number(pin) < 65536 ? { port: Number(pin) } : { service: pin };
}

function writeAddress() {
	const query = new URLSearchParams();
	const put = (name, value, usual) => value !== null && value !== usual && query.set(name, value);
	put('source', state.source, null);
	put('unit', state.unit, 'bits');
	if (chosenSpan) put('span', state.span === null ? 'all' : String(state.span), '');
	put('end', state.end === null ? null : String(state.end / 1000), null);
	put('tab', state.tab, 'services');
	put('sort', `${state.sort}.${state.falling ? 'falling' : 'rising'}`, 'rate.falling');
	put('search', state.search, '');
	put('page', String(state.page), '0');
	put('map', state.side, 'either');
	put('over', state.transport, 'all');
	put('pin', state.pin === null ? null : String(state.pin.port ?? state.pin.service), null);
	const hash = query.toString();
	if (hash !== location.hash.slice(1)) history.replaceState(null, '', hash ? `#${hash}` : location.pathname);
}

// ---- asking -------------------------------------------------------------------------------------

function ask() {
	if (document.hidden) return; // asked when it is seen
	worker.postMessage({
		type: 'ask', n: ++asked, span: state.span, end: state.end, unit: state.unit, pin: state.pin,
		map: { transport: state.transport, side: state.side },
		table: { tab: state.tab, sort: state.sort, falling: state.falling, search: state.search, page: state.page, rows: small.matches ? 15 : 50, hold: state.hold ? table.keys() : null },
	});
}

function change(what) {
	if ('tab' in what && what.tab !== state.tab) Object.assign(state, { sort: 'rate', falling: true });
	if (['tab', 'sort', 'falling', 'search'].some((name) => name in what)) state.page = 0;
	if (['tab', 'sort', 'falling', 'search', 'page', 'end', 'span'].some((name) => name in what)) state.hold = false;
	Object.assign(state, what);
	writeAddress();
	controls();
	ask();
}

// A source by its name; null is the only one, or all.
function choose(name, keepsTime = false) {
	state.source = name;
	if (!keepsTime) state.end = null;
	state.hold = false;
	view = null;
	spanFits = false;
	writeAddress();
	worker.postMessage({ type: 'source', source: name });
	ask();
}

// Of a path its last part, where that tells the sources apart.
function shortName(name) {
	const last = (path) => path.slice(path.lastIndexOf('/') + 1) || path;
	return sources.filter((s) => last(s.name) === last(name)).length > 1 ? name : last(name);
}

async function loadSources() {
	try {
		const answer = await fetch('/api/sources', { cache: 'no-store' });
		if (!answer.ok) throw new Error(answer.statusText);
		sources = await answer.json();
	} catch {
		return false; // the stream says that the connection is lost, and this is tried again with it
	}
	const select = $('source');
	const names = sources.map((s) => s.name);
	if (select.options.length !== names.length || names.some((name, i) => select.options[i].value !== name)) {
		select.replaceChildren(...names.map((name) => {
			const option = make('option', {}, shortName(name));
			option.value = name;
			return option;
		}));
	}
	if (names.length && !names.includes(state.source)) choose(names[0], view === null);
	select.value = state.source ?? '';
	select.title = select.value;
	select.disabled = names.length < 2;
	return true;
}

// ---- pins ---------------------------------------------------------------------------------------

const pins = {
	of: (row) => (row.kind === 'port' ? { port: row.port } : row.kind === 'endpoint' ? { port: row.port } : { service: row.key }),
	is: (row) => state.pin !== null && (state.pin.port !== undefined ? (row.kind === 'port' || row.kind === 'endpoint') && row.port === state.pin.port : row.key === state.pin.service),
	same: (a, b) => a !== null && b !== null && a.port === b.port && a.service === b.service,
};

function pin(what) {
	const off = pins.same(what, state.pin);
	change({ pin: off ? null : what });
	announce(off ? 'Pin removed' : `Pinned ${what.port !== undefined ? `port ${what.port}` : what.service}`);
}

// ---- parts --------------------------------------------------------------------------------------

const chart = new Chart(
	(from, to) => { chosenSpan = true; change({ end: Math.round(to * 1000), span: Math.max(0.001, Number((to - from).toFixed(3))) }); },
	(key) => pin({ service: key }),
);
let portAsked = 0;
const map = new PortMap((port) => worker.postMessage({ type: 'port', n: ++portAsked, port }), (port) => pin({ port }));
const table = new Table({
	onSort: (sort) => change(state.sort === sort ? { falling: !state.falling } : { sort, falling: !['service', 'port', 'side', 'address'].includes(sort) }),
	onPage: (step) => change({ page: state.page + step }),
	onPin: pin,
	onHold: (on) => { state.hold = on; ask(); },
});

function announce(said) {
	if (said === announced) return;
	announced = said;
	text($('live'), said);
}

// ---- drawing ------------------------------------------------------------------------------------

const units = () => (state.unit === 'bits' ? 'bytes' : 'packets');
const total = () => view[units()];
const perSecond = (value) => rate(view.seconds > 0 ? value / view.seconds : null, state.unit);

function nameOf(entry) {
	if (entry.kind === 'no_port') return 'frames without ports';
	if (entry.kind === 'unknown') return 'unnamed ports';
	if (entry.kind === 'rest') return plural(entry.all, 'other');
	return entry.service;
}

function portOf(entry) {
	if (entry.kind === 'no_port' || entry.kind === 'rest') return '';
	if (entry.kind === 'unknown') return entry.main ? `mostly port ${entry.ports[0]}` : plural(entry.all, 'port');
	const more = entry.all > 2 ? ` +${count(entry.all - 2)}` : '';
	return `port ${entry.ports.slice(0, 2).join(', ')}${more}/${entry.transport}`;
}

// Why there is no figure.
function nothing() {
	if (view.records) return 'Nothing is on the wire in this time.';
	if (view.extent.buckets) return 'No record is of this time.';
	const source = sources.find((s) => s.name === state.source);
	if (link.state === 'connecting' || source?.records) return 'Reading what there is …';
	return `No record yet: the first comes when an interval ends${source?.kind === 'live' ? ', by default within 10 s' : ''}.`;
}

function drawRanking() {
	const list = $('ranking');
	if (view.packets === 0) {
		fill(list, [0], () => make('li'), (node) => node.replaceChildren(make('span', { class: 'silent' }, nothing())));
		list.classList.add('none');
		return;
	}
	if (list.classList.contains('none')) list.replaceChildren();
	list.classList.remove('none');
	fill(list, view.ranking, () => make('li', {}, make('i', { 'aria-hidden': 'true' }), make('b', { class: 'percent' }), make('span', { class: 'who' }, make('strong'), make('span')), make('span', { class: 'how' })), (node, entry) => {
		const [bar, percent, who, how] = node.children;
		const at = view.chart.keys.indexOf(entry.key);
		bar.style.setProperty('--part', entry.value / total());
		bar.style.background = `var(${entry.kind === 'unknown' ? '--band-unknown' : entry.kind === 'no_port' ? '--band-noport' : at < 0 ? '--band-other' : `--band-${at}`})`;
		text(percent, share(entry.value, total()));
		text(who.firstChild, nameOf(entry));
		text(who.lastChild, portOf(entry));
		text(how, perSecond(entry.value));
	});
}

const asks = (facet) => FACETS[facet.code]?.[1] ?? true;
const ranks = Object.keys(FACETS);
const rank = (facet) => (ranks.includes(facet.code) ? ranks.indexOf(facet.code) : ranks.length);
/** What asks for a look first, and of that the gravest. */
const gravest = (facets) => [...facets].sort((a, b) => asks(b) - asks(a) || rank(a) - rank(b));

// One notice, and how many there are beside it. Who scans is what a reader asks first.
function shortly({ code, example }, more) {
	const name = FACETS[code]?.[0] ?? code;
	const from = code === 'port_scan' && example ? ` from ${example.client.address}` : '';
	return `${name}${from}${more ? `, and ${more}\u00a0more` : ''}`;
}

function drawTiles() {
	text($('tile-rate'), perSecond(total()));
	text($('tile-volume'), view.records ? `${volume(view.bytes, 'bits')} · ${count(view.packets)} packets` : '');
	text($('tile-services'), view.records ? `${count(view.services)} · ${count(view.ports)}` : '–');
	text($('tile-unnamed'), view.cut ? `rows of ${plural(view.cut, 'port')} were cut` : !view.records ? '' : `${share(view.unknown[units()], total())} on unnamed ports`);
	const { dropped_kernel: kernel, dropped_interface: device } = view.capture;
	const known = [kernel, device].filter((v) => v !== null && v !== undefined);
	const dropped = known.reduce((n, v) => n + v, 0);
	text($('tile-drops'), known.length ? count(dropped) : '–');
	text($('tile-drops-sub'), !view.records ? '' : !known.length ? 'nobody can tell' : dropped ? `${share(dropped, dropped + view.packets)} of all frames` : 'every frame was counted');
	$('tile-drops').parentElement.classList.toggle('alarm', dropped > 0);
	const serious = gravest(view.facets.filter(asks));
	text($('tile-notices'), view.facets.length ? String(view.facets.length) : view.records ? 'none' : '–');
	text($('tile-notices-sub'), serious.length ? shortly(serious[0], view.facets.length - 1) : view.facets.length ? 'nothing to worry about' : view.records ? 'nothing odd' : '');
	$('tile-notices').parentElement.classList.toggle('alarm', serious.length > 0);
}

function drawNotices() {
	const list = gravest(view.facets);
	if (!list.length) {
		$('notices').replaceChildren(make('li', { class: 'calm' }, 'Nothing odd in this time.'));
		return;
	}
	if ($('notices').querySelector('.calm')) $('notices').replaceChildren();
	fill($('notices'), list, () => make('li', {}, make('strong'), make('span', { class: 'figure' }), make('p'), make('p', { class: 'example' })), (node, facet) => {
		const [name, , what, meaning] = FACETS[facet.code] ?? [facet.code, true, 'frame', ''];
		const [head, figure, said, example] = node.children;
		node.className = asks(facet) ? 'look' : '';
		text(head, name);
		text(figure, plural(facet.packets, what));
		text(said, meaning);
		const e = facet.example;
		example.hidden = !e;
		if (e) text(example, `${e.client.address} port ${e.client.port} → ${e.server.address} port ${e.server.port} over ${e.transport}, ${clock(Date.parse(e.time), true)}${e.frame ? `, frame ${e.frame}` : ''}`);
	});
}

function bars(body, rows, nothing) {
	if (!rows.length) {
		$(body).replaceChildren(make('tr', { class: 'calm' }, make('td', { colspan: 4 }, nothing)));
		return;
	}
	$(body).querySelector('.calm')?.remove();
	fill($(body), rows, () => make('tr', {}, make('th', { scope: 'row' }, make('span'), make('small')), ...[0, 1, 2].map(() => make('td', { class: 'num' }))), (node, row) => {
		const [head, ...cells] = node.cells;
		text(head.firstChild, row.name);
		text(head.lastChild, row.note ?? '');
		head.title = row.note ?? '';
		node.style.setProperty('--part', total() ? row.value / total() : 0);
		[perSecond(row.value), share(row.value, total()), row.last].forEach((value, i) => text(cells[i], value));
	});
}

function drawBars() {
	bars('transports', view.transports.map((t) => ({ name: t.transport, value: t[units()], last: share(t.unknown[units()], t[units()]) })),
		'No frame with ports in this time.');
	bars('portless', view.no_port.map((row) => ({
		name: row.reason === 'no_ports_protocol' ? (row.name ?? `protocol ${row.protocol}`) : REASONS[row.reason]?.[0] ?? row.reason,
		note: row.reason === 'no_ports_protocol' ? `IP protocol ${row.protocol}` : REASONS[row.reason]?.[1] ?? '',
		value: row[units()], last: count(row.packets),
	})), 'Every frame has ports.');
}

// What the sensor says of itself: [name, value, whether it asks for a look].
function healthRows() {
	const { capture, latest } = view;
	const known = (v) => (v === undefined ? null : v);
	const rows = [
		['Frames received', count(known(capture.received))],
		['Dropped for want of buffer', count(known(capture.dropped_kernel)), capture.dropped_kernel > 0],
		['Dropped by the interface', count(known(capture.dropped_interface)), capture.dropped_interface > 0],
	];
	if (capture.snapped) rows.push(['Frames captured in part', count(capture.snapped)]);
	if (capture.down_seconds) rows.push(['Interface down', duration(capture.down_seconds), true]);
	if (view.merged) rows.push(['Intervals joined, since output stalled', count(view.merged), true]);
	if (view.output.errors) rows.push(['Attempts to write that failed', count(view.output.errors), true]);
	if (view.output.delayed_records) rows.push(['Records that had to wait', count(view.output.delayed_records), true]);
	if (view.gaps) rows.push(['Times that records may be missing here', count(view.gaps), true]);
	if (view.late) rows.push(['Late frames', count(view.late)]);
	for (const [name, n] of Object.entries(view.given_up)) rows.push([`For want of room: ${GIVEN_UP[name] ?? name}`, count(n), true]);
	if (latest) {
		const { source, rules } = latest;
		if (latest.threads) rows.push(['Capture threads', latest.threads.length]);
		rows.push(['Newest record', `${clock(latest.time, true)}, interval ${duration(latest.seconds)}${latest.partial ? ' (partial)' : ''}`, stale()]);
		if (latest.sensor) rows.push(['Sensor', latest.sensor]);
		rows.push(['Link', [source.link ?? 'several', source.snaplen ? `${count(source.snaplen)} bytes kept` : ''].filter(Boolean).join(', ')]);
		if (source.filter) rows.push(['Filter', source.filter]);
		if (source.tunnel) rows.push(['Tunnels', 'ports are those of the innermost layer']);
		if (source.kind === 'file') rows.push(['Files', `${count(source.files)}${source.file ? `, ${source.file}` : ''}`]);
		rows.push(['Rules', `${count(rules.entries)}, generation ${rules.generation}`]);
		if (rules.conflicts) rows.push(['Rules in conflict', count(rules.conflicts), true]);
		rows.push(['This page holds', `${plural(view.extent.buckets, 'step')} since ${clock(view.extent.first, true)}`]);
	}
	return rows;
}

function drawHealth() {
	const rows = healthRows();
	fill($('health'), rows, () => make('div', {}, make('dt'), make('dd')), (node, [name, value, look]) => {
		text(node.firstChild, name);
		text(node.lastChild, value);
		node.lastChild.className = /^[\d,.]+( [a-z]+)*$|^not known$/.test(value) ? 'figure' : '';
		node.className = look ? 'look' : '';
	});
}

function facts(list) {
	return make('dl', {}, ...list.filter(([, value]) => value !== undefined && value !== null && value !== '').map(([name, value]) => make('div', {}, make('dt', {}, name), make('dd', {}, String(value)))));
}

function portPin(detail) {
	const parts = [make('p', { class: 'pin-head' }, make('strong', {}, `Port ${detail.port}`), make('span', {}, detail.range))];
	if (!detail.rows.length) parts.push(make('p', {}, 'No traffic in this time.'));
	for (const row of detail.rows) {
		parts.push(make('p', { class: 'pin-name' }, make('b', {}, row.service ?? 'no name'), ` over ${row.transport}`), spark(row.trend, 240, 40), facts([
			['To it', `${perSecond(row.dst[units()])} · ${count(row.dst.packets)} packets, ${volume(row.dst.bytes, 'bits')}`],
			['From it', `${perSecond(row.src[units()])} · ${count(row.src.packets)} packets, ${volume(row.src.bytes, 'bits')}`],
			['Served', row.as.packets ? `${perSecond(row.as[units()])} · ${share(row.as[units()], total())} of all` : 'nothing: here it is a client’s port'],
			['Sessions', row.as.packets ? count(row.sessions) : null],
		]));
	}
	return parts;
}

function servicePin(row) {
	if (row.gone) return [make('p', { class: 'pin-head' }, make('strong', {}, serviceOver(row.key))), make('p', {}, 'No traffic in this time.')];
	const name = row.kind === 'unknown' ? 'unnamed ports' : row.service;
	return [
		make('p', { class: 'pin-head' }, make('strong', {}, name), make('span', {}, [row.transport, row.category].filter(Boolean).join(' · '))),
		spark(row.trend, 240, 40),
		facts([
			[row.kind === 'unknown' ? 'Busiest ports' : 'Ports', `${row.ports.slice(0, 12).join(', ')}${row.ports.length > 12 ? ` and ${row.ports.length - 12} more` : ''}`],
			['In all', `${perSecond(row[units()])} · ${share(row[units()], total())} · ${count(row.packets)} packets, ${volume(row.bytes, 'bits')}`],
			['To it', `${perSecond(row.to[units()])} · ${count(row.to.packets)} packets`],
			['From it', `${perSecond(row.from[units()])} · ${count(row.from.packets)} packets`],
			['Both ports equal', row.symmetric.packets ? `${count(row.symmetric.packets)} packets` : null],
			['Side known by', evidence(row.side_by).map((e) => `${e.rung} ${e.part}`).join(', ')],
			['Clients, servers', row.clients === undefined ? null : `${count(row.clients)}, ${row.servers === undefined ? 'not known' : count(row.servers)} (most in one interval)`],
			['Sessions', row.sessions === undefined ? null : count(row.sessions)],
			['Connections asked for', row.syn ? `${count(row.syn)}: ${count(row.refused)} refused, ${count(row.unanswered)} unanswered` : null],
		]),
	];
}

function drawPin() {
	const box = $('pin');
	if (state.pin === null || !view.pin) {
		if (!box.querySelector('.hint')) box.replaceChildren(make('p', { class: 'hint' }, 'Pin a port here, or a service in the table, to see all that is known of it.'));
		return;
	}
	const focused = box.contains(document.activeElement);
	const off = make('button', { type: 'button', class: 'plain', 'aria-label': 'Remove the pin', onclick: () => pin(state.pin) }, '×');
	box.replaceChildren(off, ...(view.pin.kind === 'port' ? portPin(view.pin) : servicePin(view.pin)));
	if (focused) off.focus({ preventScroll: true });
}

function pinnedPorts() {
	if (state.pin === null) return [];
	if (state.pin.port !== undefined) return [state.pin.port];
	return view.pin?.ports?.slice(0, 64) ?? [];
}

function drawTime() {
	const { extent } = view;
	const range = view.from === null ? '' : `${between(view.from, view.to)} ${zone(view.to)} · ${plural(view.records, 'interval')}`;
	text($('range'), range);
	const of = $('answer-of');
	if (!of.firstChild) of.append(make('bdi'), make('span'));
	text(of.firstChild, view.from === null ? '' : shortName(state.source ?? ''));
	text(of.lastChild, view.from === null ? '' : `, ${state.span === null ? 'all of' : 'the last'} ${duration((view.to - view.from) / 1000)}`);
	const scrub = $('scrub');
	if (extent.first !== null && !scrubbing) {
		scrub.min = Math.floor(extent.first / 1000);
		scrub.max = Math.ceil(extent.last / 1000);
		scrub.value = Math.ceil((state.end ?? extent.latest) / 1000);
	}
	scrub.disabled = extent.first === null || extent.buckets < 2;
	const end = state.end ?? extent.latest;
	text($('scrub-text'), end === null ? '' : clock(end));
	scrub.setAttribute('aria-valuetext', end === null ? 'no record yet' : clock(end, true));
	text($('to-live'), view.newer ? `Latest (+${count(view.newer)})` : 'Latest');
}

function draw() {
	if (view === null || document.hidden) return;
	drawRanking();
	drawTiles();
	drawTime();
	chart.update(view, nameOf);
	table.update(view, state, pins);
	map.update(view, view.seconds, pinnedPorts());
	drawNotices();
	drawBars();
	drawHealth();
	drawPin();
	document.querySelector('[data-tab=endpoints]').hidden = !view.endpoints;
	drawStatus();
	const first = view.ranking[0];
	document.title = first ? `${nameOf(first)} ${share(first.value, total())} · portmeter` : 'portmeter';
	document.documentElement.dataset.drawn = String(view.n);
}

// No record for three intervals and a little: something holds the sensor up.
function stale() {
	const { latest } = view ?? {};
	return Boolean(latest && latest.source.kind === 'live' && link.state === 'live' && Date.now() - latest.arrived > 3000 * latest.seconds + 5000);
}

function statusNow() {
	const newest = view?.latest ? clock(view.latest.time) : null;
	if (link.state === 'lost') return ['lost', `Connection lost${newest ? ` – as of ${newest}` : ''}, trying again`];
	if (link.state === 'unreadable') return ['lost', `A record could not be read: ${link.reason}`];
	if (state.end !== null) return ['paused', `Paused at ${clock(state.end)}`];
	if (link.state === 'connecting') return ['connecting', 'Connecting …'];
	if (link.state === 'ended') return ['ended', view?.latest?.source.kind === 'live' ? 'The capture has ended' : 'All of the capture has been read'];
	if (stale()) return ['lost', `No record since ${newest}`];
	if (!view?.latest) return ['live', 'Connected, no record yet'];
	return ['live', `Live · ${newest}`];
}

function drawStatus() {
	const [kind, said] = statusNow();
	$('status').dataset.state = kind;
	text($('status-text'), said);
	// Spoken when the state changes, not with each record.
	announce(kind === 'live' ? 'Live' : said);
}

// ---- controls -----------------------------------------------------------------------------------

function controls() {
	for (const b of document.querySelectorAll('[data-unit]')) b.setAttribute('aria-pressed', String(b.dataset.unit === state.unit));
	for (const b of document.querySelectorAll('[data-tab]')) b.setAttribute('aria-pressed', String(b.dataset.tab === state.tab));
	for (const b of document.querySelectorAll('[data-span]')) b.setAttribute('aria-pressed', String((b.dataset.span === 'all' ? null : Number(b.dataset.span)) === state.span));
	$('pause').setAttribute('aria-pressed', String(state.end !== null));
	text($('pause'), state.end === null ? 'Pause' : 'Resume');
	$('to-live').disabled = state.end === null;
	if ($('search').value !== state.search) $('search').value = state.search;
	$('map-side').value = state.side;
	$('map-transport').value = state.transport;
	drawStatus();
}

function theme() {
	const root = document.documentElement;
	const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
	return dark ? 'dark' : 'light';
}

function drawTheme() {
	text($('theme'), theme() === 'dark' ? '☀' : '☾');
	$('theme').setAttribute('aria-label', theme() === 'dark' ? 'Light colours' : 'Dark colours');
	$('theme').title = $('theme').getAttribute('aria-label');
	map.theme();
	chart.rebuild();
}

function listen() {
	const each = (name, handle) => document.querySelectorAll(`[data-${name}]`).forEach((b) => b.addEventListener('click', () => handle(b.dataset[name])));
	each('unit', (unit) => change({ unit }));
	each('tab', (tab) => change({ tab }));
	each('span', (span) => { chosenSpan = true; change({ span: span === 'all' ? null : Number(span) }); });
	$('source').onchange = (e) => choose(e.target.value);
	$('map-side').onchange = (e) => change({ side: e.target.value });
	$('map-transport').onchange = (e) => change({ transport: e.target.value });
	$('pause').onclick = () => change({ end: state.end === null ? view?.extent.latest ?? null : null });
	$('to-live').onclick = () => change({ end: null });
	let typing = null;
	$('search').oninput = (e) => {
		clearTimeout(typing);
		typing = setTimeout(() => change({ search: e.target.value }), 120);
	};
	const scrub = $('scrub');
	scrub.oninput = () => {
		scrubbing = true;
		// The end of the slider is the newest record, and stays so.
		const newest = Number(scrub.value) >= Number(scrub.max);
		change({ end: newest ? null : Number(scrub.value) * 1000 });
	};
	scrub.onchange = scrub.onblur = () => (scrubbing = false);
	$('theme').onclick = () => {
		const next = theme() === 'dark' ? 'light' : 'dark';
		document.documentElement.dataset.theme = next;
		try {
			localStorage.setItem('portmeter-theme', next);
		} catch {
			// not kept, but used
		}
		drawTheme();
	};
	matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawTheme);
	addEventListener('keydown', (e) => {
		if (e.ctrlKey || e.metaKey || e.altKey || e.target.matches('input, select, textarea')) {
			if (e.key === 'Escape' && e.target === $('search')) change({ search: '' });
			return;
		}
		if (e.key === '/') {
			$('search').focus();
			e.preventDefault();
		}
	});
	addEventListener('hashchange', () => {
		const before = state.source;
		if (!addressIsView()) {
			writeAddress();
			return;
		}
		readAddress();
		state.hold = false;
		controls();
		if (state.source !== before && sources.some((s) => s.name === state.source)) {
			choose(state.source, true);
			$('source').value = state.source;
			return;
		}
		state.source = before; // no such source
		writeAddress();
		ask();
	});
	// The address is the view's: a link to a part of the page goes there without it.
	for (const link of document.querySelectorAll('a[href^="#"]')) {
		link.addEventListener('click', (e) => {
			if (e.ctrlKey || e.metaKey || e.shiftKey || e.altKey) return;
			e.preventDefault();
			const heading = $(link.hash.slice(1));
			heading.focus({ preventScroll: true });
			heading.scrollIntoView({ block: 'start' });
		});
	}
	const seen = () => (document.hidden ? worker.postMessage({ type: 'rest', after: REST_MS }) : ask());
	document.addEventListener('visibilitychange', seen);
	if (document.hidden) seen();
	small.addEventListener('change', ask);
	setInterval(drawStatus, 5000);
}

worker.onmessage = ({ data }) => {
	if (data.type === 'view') {
		if (data.n !== asked) return; // a newer question is on its way
		view = data;
		if (!spanFits && !chosenSpan && data.latest !== null) {
			spanFits = true;
			const span = usualSpan(data.latest);
			if (span !== state.span) {
				state.span = span;
				controls();
				ask();
				return;
			}
			controls();
		}
		state.page = data.table.page;
		draw();
	} else if (data.type === 'port') {
		if (data.n === portAsked) map.show(data);
	} else if (data.type === 'state') {
		link = data;
		draw(); // what is said instead of figures, too
		drawStatus();
		// Where another portmeter answers by now, it may have other sources.
		if (data.state === 'lost') loadSources();
	} else if (data.type === 'opened') {
		loadSources();
	}
};
worker.onerror = () => {
	link = { state: 'unreadable', reason: 'the page’s worker does not run in this browser' };
	drawStatus();
};

async function start() {
	readAddress();
	listen();
	controls();
	drawTheme();
	fill($('rungs'), Object.entries(RUNGS), () => make('div', {}, make('dt'), make('dd')), (node, [rung, [strength, meaning]]) => {
		node.firstChild.className = `rung ${strength}`;
		text(node.firstChild, rung);
		text(node.lastChild, meaning);
	});
	const wanted = state.source;
	while (!(await loadSources()) || !sources.length) {
		if (!sources.length) drawStatus();
		await new Promise((resume) => setTimeout(resume, 1000));
	}
	if (wanted !== null && state.source === wanted) choose(wanted, true);
}

start();
