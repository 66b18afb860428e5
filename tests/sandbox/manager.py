# SPDX-License-Identifier: MIT
"""A service manager's end of sd_notify(3), for cli-daemon and live-daemon."""
import os
import socket
import time


class Manager:
    """A socket that programs tell how they are; @name: a path, or @NAME for an abstract one."""

    def __init__(self, name):
        self.name, self.told = name, []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind('\0' + name[1:] if name.startswith('@') else name)
        if not name.startswith('@'):
            os.chmod(name, 0o666)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def environment(self, watchdog_us=None, pid=None):
        """What the program is started with."""
        values = {'NOTIFY_SOCKET': self.name}
        if watchdog_us is not None:
            values['WATCHDOG_USEC'] = str(watchdog_us)
        if pid is not None:
            values['WATCHDOG_PID'] = str(pid)
        return values

    def take(self, seconds):
        """The next datagram as a dictionary, with the time it came; None: none came."""
        self.socket.settimeout(max(seconds, 0.001))
        try:
            text = self.socket.recv(65536).decode()
        except TimeoutError:
            return None
        fields = dict(line.split('=', 1) for line in text.split('\n'))
        fields['at'] = time.monotonic()
        self.told.append(fields)
        return fields

    def wait(self, field, seconds=20):
        """The next datagram that has the field."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            fields = self.take(end - time.monotonic())
            if fields and field in fields:
                return fields
        raise AssertionError('no %s came; told: %r' % (field, self.told))

    def watch(self, seconds):
        """When WATCHDOG=1 came in that time."""
        end, times = time.monotonic() + seconds, []
        while time.monotonic() < end:
            fields = self.take(end - time.monotonic())
            if fields and 'WATCHDOG' in fields:
                times.append(fields['at'])
        return times
