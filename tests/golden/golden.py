# SPDX-License-Identifier: MIT
"""What the golden tests share: the LIST, running the program, cutting captures."""
import importlib.machinery
import importlib.util
import json
import os
import shlex
import struct
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
RULES = 'tests/golden/golden.rules'
FLAGS = ('exit', 'nocut', 'sessions', 'waits')
SNAP = 96


def script(name):
    """A script without .py as a module."""
    sys.dont_write_bytecode = True
    path = os.path.join(ROOT, 'tests', name)
    loader = importlib.machinery.SourceFileLoader(name.replace('-', '_'), path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


class Case:
    """A line of LIST: name, captures (a comma between), expectation, flags ("-": none), options."""

    def __init__(self, line, number):
        fields = shlex.split(line)
        if len(fields) < 4:
            raise SystemExit('LIST:%d: name, captures, expectation and flags are needed' % number)
        self.name, captures, self.expected, flags = fields[:4]
        self.captures, self.options = captures.split(','), fields[4:]
        self.flags = {}
        for flag in [] if flags == '-' else flags.split(','):
            key, _, value = flag.partition('=')
            if key not in FLAGS:
                raise SystemExit('LIST:%d: unknown flag %s' % (number, key))
            self.flags[key] = value
        self.exit = int(self.flags.get('exit', 0))
        self.format = self.value('--format', 'json')

    def value(self, option, default):
        return self.options[self.options.index(option) + 1] if option in self.options else default

    def filter(self):
        """The words behind the options."""
        i = 0
        while i < len(self.options) and self.options[i].startswith('-'):
            i += 2
        return ' '.join(self.options[i:])

    def path(self):
        return os.path.join(HERE, 'expected', self.expected)

    def command(self, program, captures=None):
        rules = [] if '-R' in self.options else ['-R', RULES]
        files = [word for c in captures or self.captures for word in ('-r', c)]
        talk = [] if 'sessions' in self.flags else ['--no-sessions']
        return program + files + rules + talk + self.options


def cases(names=()):
    found, seen = [], set()
    with open(os.path.join(HERE, 'LIST'), encoding='utf-8') as f:
        for number, line in enumerate(f, 1):
            if line.strip() and not line.startswith('#'):
                case = Case(line, number)
                if case.name in seen:
                    raise SystemExit('LIST:%d: %s stands twice' % (number, case.name))
                seen.add(case.name)
                found.append(case)
    lost = set(names) - seen
    if lost:
        raise SystemExit('not in LIST: %s' % ', '.join(sorted(lost)))
    return [c for c in found if not names or c.name in names]


def run(command, fill='0'):
    """(exit code, standard output, standard error). The time zone is an odd one, to show that it does not matter.
    @fill: what glibc fills memory with; all that is not 0 makes a start slow, which has large tables."""
    env = dict(os.environ, TZ='ODD-5:45', LC_ALL='C', MALLOC_PERTURB_=fill)
    done = subprocess.run(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=120)
    return done.returncode, done.stdout, done.stderr.decode('utf-8', 'replace')


def parse(output):
    return [json.loads(line) for line in output.decode('utf-8').splitlines()]


def pretty(records):
    """As it stands in expected/: keys sorted, a row on a line."""
    return text_of(records, '') + '\n'


def text_of(value, indent):
    flat = json.dumps(value, sort_keys=True, ensure_ascii=False)
    if len(flat) + len(indent) <= 230 or not isinstance(value, (dict, list)) or not value:
        return flat
    deeper = indent + ' '
    if isinstance(value, list):
        parts = [text_of(v, deeper) for v in value]
        return '[\n%s\n%s]' % (',\n'.join(deeper + p for p in parts), indent)
    parts = ['%s: %s' % (json.dumps(k), text_of(value[k], deeper)) for k in sorted(value)]
    return '{\n%s\n%s}' % (',\n'.join(deeper + p for p in parts), indent)


# ---- captures, read and cut without help of any library ------------------------------------------

def cut_capture(data, snap=SNAP):
    """The same capture with at most @snap bytes of each frame; what was on the wire stays. Ends where
    the capture is damaged."""
    magic = data[:4]
    if magic == b'\n\r\r\n':
        return cut_pcapng(data, snap)
    order = '<' if magic in (b'\xd4\xc3\xb2\xa1', b'\x4d\x3c\xb2\xa1') else '>'
    out, at = [data[:24]], 24
    while at + 16 <= len(data):
        seconds, rest, held, wire = struct.unpack_from(order + 'IIII', data, at)
        frame = data[at + 16:at + 16 + held]
        if len(frame) < held:
            break
        out.append(struct.pack(order + 'IIII', seconds, rest, min(held, snap), wire) + frame[:snap])
        at += 16 + held
    return b''.join(out)


def cut_pcapng(data, snap):
    out, at, order = [], 0, '<'
    while at + 12 <= len(data):
        if data[at:at + 4] == b'\n\r\r\n':
            order = '<' if data[at + 8:at + 12] == b'\x4d\x3c\x2b\x1a' else '>'
        kind, size = struct.unpack_from(order + 'II', data, at)
        if size < 12 or size % 4 or at + size > len(data):
            break
        body = data[at + 8:at + size - 4]
        at += size
        if kind == 6:                                    # enhanced packet; its options go
            iface, high, low, held, wire = struct.unpack_from(order + 'IIIII', body)
            frame = body[20:20 + min(held, snap)]
            body = struct.pack(order + 'IIIII', iface, high, low, len(frame),
                               wire) + frame + bytes(-len(frame) % 4)
        total = struct.pack(order + 'I', len(body) + 12)
        out.append(struct.pack(order + 'I', kind) + total + body + total)
    return b''.join(out)
