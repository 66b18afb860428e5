# SPDX-License-Identifier: MIT
"""What cli-sandbox and live-sandbox share: what an intruder tries, and what must come of it."""
import ctypes
import errno
import os
import re
import signal

PROGRAM = os.environ.get('PORTMETER_INJECT_PROGRAM', '')
SECCOMP = os.environ.get('PORTMETER_SECCOMP') == 'yes'
SANITIZED = os.environ.get('PORTMETER_SANITIZED') == 'yes'
CLOSED = {errno.EPERM, errno.EACCES}
DEADLY = -signal.SIGSYS


def landlock():
    """The version of Landlock that the kernel has; 0: none."""
    return max(0, ctypes.CDLL(None).syscall(444, None, 0, 1))


def files(folder):
    """Tries that Landlock refuses: where it fails, and the action."""
    with open(os.path.join(folder, 'mine'), 'w', encoding='ascii') as f:
        f.write('mine')
    return ['read /etc/passwd', 'read %s/mine' % folder, 'write %s/new' % folder, 'write %s/mine' % folder,
            'remove %s/mine' % folder]


def calls(port, path, pid):
    """Tries that the list of system calls refuses; a connection is refused by both."""
    return ['connect %d' % port, 'datagram %d' % port, 'unix %s' % path, 'keys'] + (
        [] if SANITIZED else ['fork', 'code', 'kill %d' % pid])


def deadly(pid):
    """Tries that end the process."""
    return ['exec /bin/true', 'root'] + ([] if SANITIZED else ['trace %d' % pid])


def results(said):
    """{point: errno} of what the program said."""
    return {point: int(number) for point, number in re.findall(r'^inject: ([a-z0-9 ]+): (\d+)$', said, re.M)}
