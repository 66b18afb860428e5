# SPDX-License-Identifier: MIT
"""What the tests of HTTP share: a program that serves, requests to it, and its event stream.

Every test is run as: TEST PORTMETER SOURCE_ROOT. The helpers of tests/cli are here, too.
"""
import base64
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'cli'))
from cli import *  # noqa: F401,F403 pylint: disable=wildcard-import,unused-wildcard-import
from cli import command, equal

PATIENCE = 20


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.body)


class Server:
    """The program with --listen on a free port of the loopback; its standard output is a file."""

    def __init__(self, *args, listen='127.0.0.1:0', stdout=None, stdin=subprocess.DEVNULL, rules=True, name='served',
                 first=b''):
        self.out, self.err = os.path.abspath(name + '.out'), os.path.abspath(name + '.err')
        with open(self.out, 'wb') as out, open(self.err, 'wb') as err:
            self.process = subprocess.Popen(command('--listen', listen, *args, rules=rules), stdin=stdin,
                                            stdout=stdout or out, stderr=err)
        if first:
            self.send(first)
        self.url = self.wait_said(r'^portmeter: (https?://\S+/)$').group(1)
        self.tls = self.url.startswith('https')
        self.port = int(self.url.rsplit(':', 1)[1].rstrip('/'))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stdin:
            try:
                self.process.stdin.close()
            except BrokenPipeError:
                pass

    def said(self):
        with open(self.err, encoding='utf-8') as f:
            return f.read()

    def wait_said(self, pattern):
        return wait_for(lambda: re.search(pattern, self.said(), re.M), pattern, self)

    def wait_read(self):
        """Until all files are read."""
        self.wait_said('all is read')
        return self

    def lines(self):
        with open(self.out, 'rb') as f:
            return f.read().splitlines(True)

    def send(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def stop(self, number=signal.SIGINT, code=0):
        self.process.send_signal(number)
        equal(self.process.wait(PATIENCE), code, 'exit code (%s)' % self.said())
        if 'Sanitizer' in self.said() or 'runtime error' in self.said():
            raise AssertionError(self.said())

    def connect(self):
        if not self.tls:
            return http.client.HTTPConnection('127.0.0.1', self.port, timeout=PATIENCE)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection('127.0.0.1', self.port, timeout=PATIENCE, context=context)

    def ask(self, path, method='GET', body=None, **headers):
        """One request; names of headers with _ for -."""
        connection = self.connect()
        try:
            connection.request(method, path, body, {k.replace('_', '-'): v for k, v in headers.items()})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def raw(self, data, seconds=PATIENCE):
        """What comes back for these bytes, until the connection is closed."""
        with socket.create_connection(('127.0.0.1', self.port), seconds) as s:
            s.sendall(data)
            said = b''
            try:
                while piece := s.recv(65536):
                    said += piece
            except ConnectionError:
                pass
            return said

    def events(self, path='/api/events', **headers):
        return Events(self, path, headers)


class Events:
    """An event stream."""

    def __init__(self, server, path, headers):
        self.connection = server.connect()
        self.connection.request('GET', path, headers={k.replace('_', '-'): v for k, v in headers.items()})
        self.answer = self.connection.getresponse()
        equal((self.answer.status, self.answer.headers['Content-Type']), (200, 'text/event-stream'))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def next(self):
        """(event, id, data) of the next one; None at the end of the stream; comments and retry are left out."""
        event, number, data = 'message', None, None
        while True:
            line = self.answer.readline()
            if not line:
                return None
            line = line.decode().rstrip('\n')
            name, _, value = line.partition(': ')
            if name == 'event':
                event = value
            elif name == 'id':
                number = value
            elif name == 'data':
                data = value
            elif line == '' and data is not None:
                return event, number, data

    def take(self, n):
        return [self.next() for _ in range(n)]


def wait_for(condition, what, server=None, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if server and server.process.poll() is not None and not condition():
            raise AssertionError('it has ended before %s: %s' % (what, server.said()))
        if time.monotonic() > end:
            raise AssertionError('waited in vain: %s%s' % (what, server and ': ' + server.said()))
        time.sleep(0.02)


def basic(text):
    return 'Basic ' + base64.b64encode(text.encode()).decode()


def samples(text):
    """A page of /metrics: {(name, labels sorted): value}; one sample twice is a failure."""
    found = {}
    for line in text.splitlines():
        if line.startswith('#') or not line:
            continue
        name, labels, value = re.fullmatch(r'([a-z_]+)(?:\{(.*)\})? (\S+)', line).groups()
        key = name, tuple(sorted(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or '')))
        if key in found:
            raise AssertionError('twice: %s' % line)
        found[key] = float(value)
    return found


def total(found, name, **labels):
    """The sum of all samples of that name which have these labels."""
    wanted = set(labels.items())
    return sum(v for (n, have), v in found.items() if n == name and wanted <= set(have))
