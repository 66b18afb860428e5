// SPDX-License-Identifier: MIT
// Numbers, times and the words of the record, as people read them.

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const PREFIXES = ['', 'k', 'M', 'G', 'T', 'P'];

// Three digits and a decimal prefix: networks count in thousands.
export function scaled(value) {
	if (value === null || !Number.isFinite(value)) return { text: '–', prefix: '' };
	let step = 0;
	while (Math.abs(value) >= 999.5 && step < PREFIXES.length - 1) {
		value /= 1000;
		step++;
	}
	const size = Math.abs(value);
	// A count below a thousand is whole or small; what was divided shows three digits.
	const digits = size === 0 || size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2;
	const text = step === 0 && Number.isInteger(value) ? String(value) : value.toFixed(digits);
	return { text, prefix: PREFIXES[step] };
}

export const count = (value) => (value === null || value === undefined ? 'not known' : whole.format(value));

// A rate of bytes or packets a second in the unit of the page.
export function rate(perSecond, unit) {
	if (perSecond === null || !Number.isFinite(perSecond)) return '–';
	const { text, prefix } = scaled(unit === 'bits' ? perSecond * 8 : perSecond);
	return unit === 'bits' ? `${text} ${prefix}bit/s` : `${text}${prefix && ' ' + prefix} pkt/s`;
}

export function volume(value, unit) {
	const { text, prefix } = scaled(value);
	return unit === 'bits' ? `${text} ${prefix}B` : `${text}${prefix && ' ' + prefix} pkt`;
}

// Never 0 % of something, and never 100 % of less than all.
export function share(part, all) {
	if (!all || part === null) return '–';
	const percent = (100 * part) / all;
	if (part === 0) return '0 %';
	if (percent < 0.1) return '< 0.1 %';
	if (percent > 99.9 && part < all) return '> 99.9 %';
	return `${percent.toFixed(percent < 9.95 ? 1 : 0)} %`;
}

const two = (n) => String(n).padStart(2, '0');

export function clock(ms, withDate = false) {
	if (ms === null || !Number.isFinite(ms)) return '–';
	const d = new Date(ms);
	const day = `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
	const time = `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
	return withDate ? `${day} ${time}` : time;
}

// From a time to another; the day once, where both are on it.
export function between(from, to) {
	const [first, last] = [clock(from, true), clock(to, true)];
	return first.slice(0, 10) === last.slice(0, 10) ? `${first} – ${last.slice(11)}` : `${first} – ${last}`;
}

// The name of the time zone, which all times on the page are of: UTC, GMT+2, CET.
export function zone(ms) {
	return new Intl.DateTimeFormat('en-GB', { timeZoneName: 'short' }).formatToParts(ms).find((part) => part.type === 'timeZoneName').value;
}

// A service's key in words; names have slashes, too.
export const serviceOver = (key) => key.replace(/\/([^/]*)$/, ' over $1');

export function duration(seconds) {
	if (!Number.isFinite(seconds)) return '–';
	if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
	if (seconds < 120) return `${Number(seconds.toFixed(seconds < 10 ? 1 : 0))} s`;
	const minutes = Math.floor(seconds / 60);
	const rest = Math.round(seconds - 60 * minutes);
	if (minutes < 120) return rest ? `${minutes} min ${rest} s` : `${minutes} min`;
	const hours = Math.floor(minutes / 60);
	if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
	return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export const plural = (n, one, many = one + 's') => `${count(n)} ${n === 1 ? one : many}`;

// Some ports of a service, the busiest first; the rest as a number.
export function ports(list, most = 2) {
	const shown = list.slice(0, most).join(', ');
	return list.length > most ? `${shown} +${list.length - most}` : shown;
}

export function rangeOf(port) {
	if (port === 0) return 'reserved';
	return port < 1024 ? 'system' : port < 49152 ? 'user' : 'dynamic';
}

// The side ladder: how strong what decided is, and what it means.
export const RUNGS = {
	zero: ['sure', 'the other side has no port'],
	handshake: ['sure', 'one side was seen to open the connection'],
	learned: ['sure', 'this endpoint was seen to serve before'],
	rule: ['sure', 'a rule for these hosts names one side'],
	symmetric: ['sure', 'both ports are equal'],
	known: ['likely', 'only one of the two ports has a name'],
	score: ['likely', 'both ports have names; the higher ranking one serves'],
	ephemeral: ['guess', 'neither has a name; one port is in the range that clients draw from'],
	unknown: ['none', 'neither port could be told to be the service'],
};

export const REASONS = {
	non_ip: ['Not IP', 'ARP, LLDP, spanning tree and the like'],
	no_ports_protocol: ['IP without ports', 'a protocol that has none'],
	fragment_orphan: ['Orphaned fragment', 'its first fragment, which has the ports, was not seen in time'],
	header_truncated: ['Cut before its ports', 'the capture ends too early: a larger snapshot length helps'],
	malformed: ['Malformed', 'contradicts itself before its ports'],
};

// Facets, the gravest first: a name, whether it asks for a look, what was counted, and what it means.
export const FACETS = {
	port_scan: ['Port scan', true, 'failed attempt', 'Somebody tries many ports or many hosts in vain.'],
	port_conflict: ['Two machines answer for one address', true, 'answer',
		'A duplicate address, or somebody who forges one.'],
	service_on_unusual_port: ['Service on a port without a name', true, 'frame',
		'Sessions with a port that no rule names. A rule for the port silences this.'],
	client_from_service_port: ['Client asks from a service port', true, 'attempt',
		'Asking from port 53, 80 or 443 may be meant to slip through a filter.'],
	udp_source_port_zero: ['UDP without a source port', false, 'frame', 'Allowed; no answer is expected.'],
	udplite_source_port_zero: ['UDP-Lite without a source port', false, 'frame', 'Allowed; no answer is expected.'],
	udp_destination_port_zero: ['UDP to the reserved port 0', true, 'frame', 'No service may have this port.'],
	udplite_destination_port_zero: ['UDP-Lite to the reserved port 0', true, 'frame', 'No service may have this port.'],
	tcp_port_zero: ['TCP with the reserved port 0', true, 'frame', 'No service may have this port.'],
	sctp_port_zero: ['SCTP with the reserved port 0', true, 'frame', 'No service may have this port.'],
	dccp_port_zero: ['DCCP with the reserved port 0', true, 'frame', 'No service may have this port.'],
};

export const GIVEN_UP = {
	fragment_datagrams: 'fragmented datagrams forgotten',
	fragment_frames: 'waiting fragments made orphans',
	service_ports: 'frames whose port may lack in its service',
	endpoints: 'learned endpoints forgotten',
	handshakes: 'handshakes on their way forgotten',
	peers: 'services without clients and servers',
	watched: 'watched conversations forgotten',
	by_endpoint: 'endpoints forgotten',
};
