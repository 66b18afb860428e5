# SPDX-License-Identifier: MIT
"""What the command line tests share: TAP, making captures, running the program, checking its records.

Every test is run as: TEST PORTMETER SOURCE_ROOT
"""
import fcntl
import importlib.machinery
import importlib.util
import io
import json
import os
import pwd
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback

if len(sys.argv) != 3:
    sys.exit('usage: %s PORTMETER SOURCE_ROOT' % sys.argv[0])
PORTMETER, ROOT = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
RULES = os.path.join(ROOT, 'tests', 'golden', 'golden.rules')
DONE, FAILED, USAGE, BAD_RULES, DAMAGED = 0, 1, 2, 3, 4
START = 1795329000  # 2026-11-22T06:30:00Z
TIMEOUT = 60
_claims = []


class Skip(Exception):
    """Why a claim can't be tested here."""


def claim(text):
    """Marks a function as the test of a claim."""
    def add(function):
        _claims.append((text, function))
        return function
    return add


def main():
    """Runs all claims, each in an empty folder of its own, and prints TAP."""
    print('1..%d' % len(_claims))
    failed = 0
    for n, (text, function) in enumerate(_claims, 1):
        folder = tempfile.mkdtemp(prefix='portmeter-cli-')
        os.chmod(folder, 0o755)
        os.chdir(folder)
        began = time.monotonic()
        try:
            function()
            print('ok %d - %s' % (n, text))
        except Skip as why:
            print('ok %d - %s # SKIP %s' % (n, text, why))
        except Exception:  # whatever it was, the other claims are still tested
            failed += 1
            print('not ok %d - %s' % (n, text))
            print(''.join('# %s\n' % line for line in traceback.format_exc().splitlines()), end='')
        finally:
            os.chdir('/')
            shutil.rmtree(folder, ignore_errors=True)
        print('# %.1f s' % (time.monotonic() - began))
        sys.stdout.flush()
    sys.exit(1 if failed else 0)


def equal(found, expected, what=''):
    if found != expected:
        raise AssertionError('%s: %.2000r, not %.2000r' % (what or 'found', found, expected))


def contains(text, *pieces):
    for piece in pieces:
        if piece not in text:
            raise AssertionError('no %r in %.2000r' % (piece, text))


# ---- captures ------------------------------------------------------------------------------------

TCP, UDP, UDPLITE, SCTP, DCCP, ICMP = 6, 17, 136, 132, 33, 1
ETHERNET, RAW, LINUX_SLL = 1, 101, 113


def packet(protocol, src_port, dst_port, payload=8):
    """IPv4, without a link layer."""
    head = struct.pack('>BBHHHBBH4s4s', 0x45, 0, 24 + payload, 0, 0, 64, protocol, 0,
                       bytes([192, 0, 2, 1]), bytes([198, 51, 100, 2]))
    return head + struct.pack('>HH', src_port, dst_port) + bytes(payload)


SYN, SYN_ACK, ACK, RST = 2, 18, 16, 4


def between(protocol, src, src_port, dst, dst_port, flags=0):
    """The same between two addresses, given as text; of TCP, a whole header with @flags."""
    head = struct.pack('>HHIIBBHHH', src_port, dst_port, 0, 0, 0x50, flags, 1024, 0, 0)
    if protocol == UDP:
        head = struct.pack('>HHHH', src_port, dst_port, 8, 0)
    return struct.pack('>BBHHHBBH4s4s', 0x45, 0, 20 + len(head), 0, 0, 64, protocol, 0,
                       *(bytes(int(part) for part in address.split('.')) for address in (src, dst))) + head


def header(link=RAW, snaplen=65535):
    return struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, snaplen, link)


def record(at, data, wire=None):
    """One frame of a capture file, @at seconds behind START."""
    micros = round(at * 1_000_000)
    return struct.pack('<IIII', START + micros // 1_000_000, micros % 1_000_000, len(data), wire or len(data)) + data


def capture(path, frames, link=RAW):
    """Writes (seconds, packet) pairs. Returns the path."""
    with open(path, 'wb') as f:
        f.write(header(link) + b''.join(record(at, data) for at, data in frames))
    return path


def some(path='some.pcap'):
    """A small capture of three intervals of 10 s: 4, 2 and 1 frames."""
    return capture(path, [(0, packet(UDP, 50001, 53)), (1, packet(UDP, 53, 50001, 100)), (2, packet(TCP, 50002, 80)),
                          (9.5, packet(ICMP, 0, 0)), (10, packet(TCP, 80, 50002, 500)), (19, packet(UDP, 0, 53)),
                          (20, packet(SCTP, 9000, 9001))])


# ---- running -------------------------------------------------------------------------------------

class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err.decode('utf-8', 'surrogateescape')

    def lines(self):
        return [json.loads(line) for line in self.out.decode().splitlines()]


def command(*args, rules=True):
    """The command line; @rules: with those of the golden tests, unless -R is given."""
    args = [os.fspath(a) for a in args]
    if rules and '-R' not in args:
        args = ['-R', RULES] + args
    return [PORTMETER] + args


def run(*args, rules=True, stdin=None, **more):
    done = subprocess.run(command(*args, rules=rules), input=stdin or b'', timeout=TIMEOUT,
                          stdout=more.pop('stdout', subprocess.PIPE), stderr=subprocess.PIPE, check=False, **more)
    return Result(done.returncode, done.stdout or b'', done.stderr)


def needs_packing(*ways):
    """Skips a claim where the program was built without a library for these."""
    for how in ways:
        if 'built without' in run('--compress', how).err:
            raise Skip('built without the library for ' + how)


def as_nobody(*args):
    """Runs a copy of the program without rights, or as whoever runs the tests."""
    program = os.path.join(os.getcwd(), 'portmeter')
    shutil.copy(PORTMETER, program)
    nobody = pwd.getpwnam('nobody') if os.geteuid() == 0 else None

    def drop():
        if nobody:
            os.setgroups([])
            os.setgid(nobody.pw_gid)
            os.setuid(nobody.pw_uid)

    done = subprocess.run([program, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          preexec_fn=drop, timeout=TIMEOUT, check=False)
    return Result(done.returncode, done.stdout, done.stderr)


def one_line(result, code, *pieces):
    """The program ended with @code and one line that says why, and wrote nothing else."""
    equal(result.code, code, 'exit code (%s)' % result.err)
    if not result.err.startswith('portmeter: ') or not result.err.endswith('\n') or result.err.count('\n') != 1:
        raise AssertionError('not one line: %r' % result.err)
    if any(ord(c) < 32 or ord(c) == 127 for c in result.err[:-1]):
        raise AssertionError('control characters: %r' % result.err)
    contains(result.err, *pieces)
    equal(result.out, b'', 'standard output')
    return result


def quiet(result, code=DONE):
    """The program ended with @code and nothing on standard error."""
    equal((result.code, result.err), (code, ''), 'exit code and standard error')
    return result


def _load_checker():
    sys.dont_write_bytecode = True
    loader = importlib.machinery.SourceFileLoader('check_records', os.path.join(ROOT, 'tests', 'check-records'))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def check(text, frames=False, allow_empty=False):
    """Validates lines against their schema and checks their sums. Returns the values."""
    module, said = _load_checker(), io.StringIO()
    with tempfile.NamedTemporaryFile() as f:
        f.write(text)
        f.flush()
        if module.check([f.name], frames, allow_empty, said) != 0:
            raise AssertionError('check-records: %s' % said.getvalue()[:2000])
    return [json.loads(line) for line in text.decode().splitlines()]


def check_large(line, rows=500):
    """The same for one record of many rows: all its sums, but the schema of the first rows only, as that is slow."""
    module, value = _load_checker(), json.loads(line)
    few = {**value, 'ports': value['ports'][:rows], 'services': value['services'][:rows]}
    problems = module.schema_problems('summary', few) + module.check_sums(value) + module.check_interval(value)
    if problems:
        raise AssertionError('check-records: %.2000s' % problems)
    return value


def packets(values):
    return [v['totals']['packets'] for v in values]


def handles_signals(process):
    """Waits until the program has set up its handlers: before, a signal would end it."""
    end = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < end:
        try:
            with open('/proc/%d/status' % process.pid, encoding='ascii') as f:
                caught = next(int(line.split()[1], 16) for line in f if line.startswith('SigCgt'))
        except (OSError, StopIteration):
            continue
        if all(caught >> (number - 1) & 1 for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGUSR2)):
            return
        time.sleep(0.005)


class Stream:
    """The program with a capture piped into it that stays open."""

    def __init__(self, *args, **more):
        self.process = subprocess.Popen(command('-r', '-', *args), stdin=subprocess.PIPE,
                                        stdout=more.pop('stdout', subprocess.PIPE), stderr=subprocess.PIPE, **more)
        self.out, self.err = b'', b''
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe:
                fcntl.fcntl(pipe, fcntl.F_SETFL, os.O_NONBLOCK)
        handles_signals(self.process)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                if pipe:
                    pipe.close()
            except BrokenPipeError:
                pass

    def send(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def kill(self, number):
        self.process.send_signal(number)

    def _read(self, seconds):
        pipes = [p for p in (self.process.stdout, self.process.stderr) if p]
        for pipe in select.select(pipes, [], [], seconds)[0]:
            data = pipe.read()
            if pipe is self.process.stderr:
                self.err += data or b''
            else:
                self.out += data or b''

    def _rest(self):
        """Whether the program, which has ended, left something that was not yet read."""
        size = len(self.out) + len(self.err)
        self._read(0)
        return len(self.out) + len(self.err) > size

    def wait_for(self, condition, what, seconds=20):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end or self.process.poll() is not None and not self._rest():
                raise AssertionError('%s did not come; out %.500r, err %.500r' % (what, self.out, self.err))
            self._read(0.05)

    def wait_err(self, text, times=1):
        self.wait_for(lambda: self.err.count(text.encode()) >= times, repr(text))

    def wait_lines(self, n):
        self.wait_for(lambda: self.out.count(b'\n') >= n, '%d lines' % n)

    def counted(self, n):
        """Waits until @n frames have been counted, by asking."""
        end = time.monotonic() + 20
        text = ('portmeter: %d packet%s captured\n' % (n, '' if n == 1 else 's')).encode()
        before = self.err.count(text)
        while self.err.count(text) == before:
            if time.monotonic() > end or self.process.poll() is not None:
                raise AssertionError('%r did not come: %r' % (text, self.err))
            self.kill(signal.SIGUSR1)
            time.sleep(0.02)
            self._read(0.05)

    def end(self):
        """Waits until the program has ended."""
        end = time.monotonic() + 20
        while self.process.poll() is None and time.monotonic() < end:
            self._read(0.05)
        if self.process.poll() is None:
            raise AssertionError('it does not end: %r' % self.err)
        for _ in range(3):
            self._read(0)
        return Result(self.process.returncode, self.out, self.err)
