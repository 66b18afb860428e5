# SPDX-License-Identifier: MIT
"""What the live tests share: networks of their own, programs in them, frames, captures, TAP.

A test goes on in namespaces of its own (network, mounts, processes), which the kernel takes down when
the test ends, however it ends. In them, each case builds a network: namespaces joined by veth pairs,
without addresses, ARP or IPv6 unless asked for, so that the only frames are those that the case sends.
"""
import contextlib
import ctypes
import importlib.machinery
import importlib.util
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback

INSIDE = 'PORTMETER_LIVE_TEST_INSIDE'
CLONE_NEWNET = 0x40000000
PATIENCE = 20                               # seconds for anything that happens at once on an idle machine
OFFLOADS = ['tx', 'rx', 'sg', 'tso', 'gso', 'gro']
MACS = (bytes.fromhex('02000000000a'), bytes.fromhex('02000000000b'))
ADDRESSES = ('192.0.2.1', '192.0.2.2')
ADDRESSES6 = ('2001:db8::1', '2001:db8::2')
ETHERNET = 1

program = root = None                       # the arguments; set by prepare()


class Failure(Exception):
    pass


class Skip(Exception):
    """Why a case can't be tested here."""


def expect(condition, text, *values):
    if not condition:
        raise Failure(text % values if values else text)


def equal(what, got, want):
    expect(got == want, '%s: %s, not %s', what, got, want)


def note(text, *values):
    print('# ' + (text % values if values else text))
    sys.stdout.flush()


# ---- the test and its own world ------------------------------------------------------------------

def skip(reason):
    """TAP's way: meson takes the exit code 77 only from tests without a protocol."""
    print('1..0 # SKIP ' + reason)
    print('%s: SKIPPED: %s' % (os.path.basename(sys.argv[0]), reason), file=sys.stderr)
    sys.exit(0)


def enter():
    if os.environ.get(INSIDE):
        os.environ.pop(INSIDE)
        os.makedirs('/run/netns', exist_ok=True)
        command('mount', '-t', 'tmpfs', 'portmeter-test', '/run/netns')
        return
    alone = ['unshare', '--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc']
    if os.geteuid() != 0:
        skip('only root may make network namespaces')
    tried = subprocess.run(alone + ['true'], capture_output=True, text=True)
    if tried.returncode:
        if 'not permitted' in tried.stderr or 'denied' in tried.stderr:
            skip('the kernel refuses namespaces: ' + tried.stderr.strip())
        sys.exit(tried.stderr)
    os.environ[INSIDE] = 'yes'
    os.execvp('unshare', alone + [sys.executable] + sys.argv)


def command(*words, check=True, timeout=PATIENCE):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
    expect(not check or done.returncode == 0, '%s: exit %d: %s', ' '.join(words), done.returncode, done.stderr.strip())
    return done


def prepare():
    """Arguments and namespaces, for tests and benchmarks."""
    global program, root
    program, root = (os.path.abspath(a) for a in sys.argv[1:3])
    # meson sets it, and then calloc touches every page of tables that are hardly used
    os.environ['MALLOC_PERTURB_'] = '0'
    enter()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def main(*cases):
    """Runs each case as a point of TAP; its docstring is the claim."""
    prepare()
    failed = 0
    print('1..%d' % len(cases))
    for n, case in enumerate(cases, 1):
        began, said, skipped = time.monotonic(), None, ''
        try:
            case()
        except Skip as why:
            skipped = ' # SKIP %s' % why
        except Failure as e:
            said = str(e)
        except Exception:
            said = traceback.format_exc()
        failed += said is not None
        print('%s %d - %s%s' % ('ok' if said is None else 'not ok', n, case.__doc__.splitlines()[0].rstrip('.'), skipped))
        for line in (said or '').splitlines()[:40]:
            print('#   ' + line)
        note('%.1f s', time.monotonic() - began)
    sys.exit(1 if failed else 0)


def wait_until(what, condition, seconds=PATIENCE):
    """The condition's value once it is true."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        expect(time.monotonic() < end, 'waited %g s in vain: %s', seconds, what)
        time.sleep(0.02)


# ---- networks ------------------------------------------------------------------------------------

class Space:
    """A network namespace."""

    def __init__(self, name):
        self.name = name
        command('ip', 'netns', 'add', name)
        with self.inside():
            for which in ('all', 'default'):
                self.set('ipv6/conf/%s/disable_ipv6' % which, 1)
        command('ip', '-n', name, 'link', 'set', 'lo', 'up')

    def exec(self, *words):
        return ['ip', 'netns', 'exec', self.name, *words]

    def set(self, key, value):
        with open('/proc/sys/net/' + key, 'w', encoding='ascii') as f:
            f.write(str(value))

    @contextlib.contextmanager
    def inside(self):
        """Sockets made here belong to the namespace, also later."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open('/proc/self/ns/net', 'rb') as home, open('/run/netns/' + self.name, 'rb') as there:
            expect(libc.setns(there.fileno(), CLONE_NEWNET) == 0, 'setns: errno %d', ctypes.get_errno())
            try:
                yield self
            finally:
                libc.setns(home.fileno(), CLONE_NEWNET)

    def link(self, interface):
        return json.loads(command('ip', '-n', self.name, '-d', '-s', '-j', 'link', 'show', 'dev', interface).stdout)[0]

    def frames(self, interface):
        """Frames that the interface has carried, both ways."""
        stats = self.link(interface)['stats64']
        return stats['rx']['packets'] + stats['tx']['packets']


class Network:
    """Namespaces and what runs in them. Two to begin with, one and two, joined by va and vb."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix='portmeter-live-')
        os.chmod(self.folder.name, 0o755)
        self.processes, self.spaces, self.checked = [], [], []
        self.one, self.two = self.space('one'), self.space('two')
        self.pair(self.one, 'va', self.two, 'vb')

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for p in self.processes:
            if p.poll() is None:
                p.kill()
                p.wait()
        try:
            if kind is None:
                for path, frames in self.checked:
                    check_file(path, frames)
        finally:
            for s in self.spaces:
                command('ip', 'netns', 'delete', s.name)
            self.folder.cleanup()

    def space(self, name):
        self.spaces.append(Space(name))
        return self.spaces[-1]

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def pair(self, here, name, there, peer, addresses=False):
        """A veth pair without any noise; with @addresses, both ends speak IPv4 and IPv6."""
        command('ip', '-n', here.name, 'link', 'add', name, 'address', MACS[0].hex(':'), 'type', 'veth',
                'peer', 'name', peer, 'address', MACS[1].hex(':'), 'netns', there.name)
        for i, (space, interface) in enumerate(((here, name), (there, peer))):
            offloads = [word for o in OFFLOADS for word in (o, 'off')]
            command(*space.exec('ethtool', '-K', interface, *offloads))
            if addresses:
                command('ip', '-n', space.name, 'link', 'set', interface, 'addrgenmode', 'none')
                with space.inside():
                    for key, value in (('disable_ipv6', 0), ('accept_dad', 0), ('accept_ra', 0), ('autoconf', 0),
                                       ('router_solicitations', 0)):
                        space.set('ipv6/conf/%s/%s' % (interface, key), value)
                command('ip', '-n', space.name, 'address', 'add', ADDRESSES[i] + '/24', 'dev', interface)
                command('ip', '-n', space.name, '-6', 'address', 'add', ADDRESSES6[i] + '/64', 'dev', interface, 'nodad')
            else:
                command('ip', '-n', space.name, 'link', 'set', interface, 'arp', 'off')
            command('ip', '-n', space.name, 'link', 'set', interface, 'up')
        wait_until('the link is up', lambda: {here.link(name)['operstate'], there.link(peer)['operstate']} == {'UP'})

    def start(self, words, **options):
        options.setdefault('stdin', subprocess.DEVNULL)
        p = subprocess.Popen(words, **options)
        self.processes.append(p)
        return p

    def meter(self, space, *options, **how):
        return Meter(self, space, *options, **how)


def quiet(seconds, *ends):
    """Waits until no interface has carried a frame for so long; the frames of each."""
    counts, since = None, time.monotonic()
    end = since + PATIENCE + seconds
    while True:
        now = [space.frames(interface) for space, interface in ends]
        if now != counts:
            counts, since = now, time.monotonic()
        if time.monotonic() - since >= seconds:
            return counts
        expect(time.monotonic() < end, 'the network does not fall silent')
        time.sleep(0.05)


# ---- programs ------------------------------------------------------------------------------------

class Meter:
    """A running portmeter. Its records go to a file, its messages to another."""

    def __init__(self, net, space, *options, sources=1, stdout=None, before=(), binary=None):
        count = len(net.processes)
        self.out, self.err = net.path('out.%d' % count), net.path('err.%d' % count)
        self.own = stdout is None
        if self.own and '--format' not in options and '-o' not in options:
            net.checked.append((self.out, False))
        with open(self.out, 'wb') as out, open(self.err, 'wb') as err:
            self.process = net.start(space.exec(*before, binary or program, *options),
                                     stdout=out if self.own else stdout, stderr=err)
        self.pid = self.process.pid
        if sources:
            wait_until('portmeter listens', lambda: self.listens(sources))

    def listens(self, sources):
        if self.process.poll() is not None:
            raise Failure('portmeter ended: exit %d: %s' % (self.process.returncode, self.said()))
        return self.said().count(': listening on ') >= sources

    def said(self):
        """Its messages, but what an incomplete build or kernel makes it say of every run."""
        with open(self.err, encoding='utf-8') as f:
            return ''.join(line for line in f if 'the sandbox is not whole' not in line)

    def records(self, path=None):
        """The lines that are whole by now."""
        with open(path or self.out, encoding='utf-8') as f:
            return [json.loads(line) for line in f if line.endswith('\n')]

    def kick(self, number):
        self.process.send_signal(number)

    def end(self, code=0, seconds=PATIENCE):
        """Waits for the end; all records."""
        try:
            got = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure('portmeter does not end; it said: ' + self.said()) from None
        expect(got == code, 'exit %d, not %d: %s', got, code, self.said())
        expect('Sanitizer' not in self.said() and 'runtime error' not in self.said(), '%s', self.said())
        return self.records() if self.own else None

    def stop(self, number=signal.SIGINT, code=0):
        self.kick(number)
        return self.end(code)


def script(name):
    """A script of tests/ as a module."""
    sys.dont_write_bytecode = True
    loader = importlib.machinery.SourceFileLoader(name.replace('-', '_'), os.path.join(root, 'tests', name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def check_file(path, frames):
    """Schema, sums and order of all records, by tests/check-records."""
    said = io.StringIO()
    if script('check-records').check([path], frames, True, said):
        raise Failure(said.getvalue())


def read(path, *options):
    """The records that portmeter makes of a capture file."""
    done = command(program, '-r', path, *options, timeout=60)
    return [json.loads(line) for line in done.stdout.splitlines()]


def differences(left, right, ignore=()):
    """What two lists of records, each added up, do not share."""
    checks = script('check-records')
    sums = [checks.add_records(r) for r in (left, right)]
    for s in sums:
        for member in ignore:
            s.pop(member, None)
    return checks.differences(*sums)


def same(what, left, right, ignore=()):
    found = differences(left, right, ignore)
    expect(not found, '%s: live, then file:\n%s', what, '\n'.join(found[:20]))


def packets(records, source=None):
    return sum(r['totals']['packets'] for r in records if source in (None, r['source']['name']))


def ports_of(records):
    """(transport, port): packets from it, packets to it."""
    total = {}
    for r in records:
        for p in r['ports']:
            row = total.setdefault((p['transport'], p['port']), [0, 0])
            row[0] += p['src']['packets']
            row[1] += p['dst']['packets']
    return {k: tuple(v) for k, v in total.items()}


# ---- frames and captures -------------------------------------------------------------------------

def checksum(data):
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def udp(source, destination, size=60, reverse=False):
    """An Ethernet frame of @size bytes from va's end to vb's; @reverse: the other way."""
    macs, ends = (MACS[::-1], ADDRESSES[::-1]) if reverse else (MACS, ADDRESSES)
    length = size - 14
    head = struct.pack('!BBHHHBBH4s4s', 0x45, 0, length, 0, 0, 64, 17, 0, *(socket.inet_aton(a) for a in ends))
    head = head[:10] + struct.pack('!H', checksum(head)) + head[12:]
    return (macs[1] + macs[0] + b'\x08\0' + head + struct.pack('!HHHH', source, destination, length - 20, 0) +
            bytes(length - 28))


def send(space, interface, frames, pause=0.0):
    """Sends each frame; @pause seconds between two. How many."""
    with space.inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
        s.bind((interface, 0))
        n = 0
        for n, frame in enumerate(frames, 1):
            s.send(frame)
            if pause or n % 200 == 0:        # the receiver's queue holds a thousand
                time.sleep(pause or 0.001)
    return n


def write_pcap(path, frames, step_ns=1000, start=1_700_000_000):
    with open(path, 'wb') as f:
        f.write(struct.pack('<IHHiIII', 0xa1b23c4d, 2, 4, 0, 0, 262144, ETHERNET))
        for n, frame in enumerate(frames):
            at = n * step_ns
            f.write(struct.pack('<IIII', start + at // 10**9, at % 10**9, len(frame), len(frame)) + frame)


def read_capture(path):
    """(link type, held bytes, bytes on the wire) of each frame of a pcap or pcapng file; raises ValueError."""
    with open(path, 'rb') as f:
        data = f.read()
    try:
        return list(pcapng_frames(data) if data[:4] == b'\n\r\r\n' else pcap_frames(data))
    except struct.error:
        raise ValueError('the file is cut') from None


def pcap_frames(data):
    order = '<' if data[:4] in (b'\xd4\xc3\xb2\xa1', b'\x4d\x3c\xb2\xa1') else '>'
    link, at = struct.unpack_from(order + 'I', data, 20)[0], 24
    while at < len(data):
        _, _, held, wire = struct.unpack_from(order + 'IIII', data, at)
        frame = data[at + 16:at + 16 + held]
        if len(frame) != held:
            raise ValueError('the last frame is cut')
        yield link & 0xffff, frame, wire
        at += 16 + held


def pcapng_frames(data):
    order, links, at = '<', [], 0
    while at < len(data):
        if data[at:at + 4] == b'\n\r\r\n':
            order = '<' if data[at + 8:at + 12] == b'\x4d\x3c\x2b\x1a' else '>'
            links = []
        kind, size = struct.unpack_from(order + 'II', data, at)
        if size < 12 or size % 4 or at + size > len(data):
            raise ValueError('a block is cut')
        if kind == 1:
            links.append(struct.unpack_from(order + 'H', data, at + 8)[0])
        elif kind == 6:
            interface, _, _, held, wire = struct.unpack_from(order + 'IIIII', data, at + 8)
            yield links[interface], data[at + 28:at + 28 + held], wire
        elif kind == 3:
            raise ValueError('simple packet blocks')
        at += size


def replay(space, interface, path, *options, patience=120):
    """tcpreplay of a capture; frames sent."""
    done = command(*space.exec('tcpreplay', '-q', '-i', interface, *(options or ('--topspeed',)), path), timeout=patience)
    figures = {}
    for line in done.stdout.splitlines():
        name, _, value = line.partition(':')
        if value.strip().isdigit():
            figures[name.strip()] = int(value)
    equal('frames that tcpreplay failed to send', figures['Failed packets'], 0)
    return figures['Successful packets']
