"""Processes as /proc shows them."""
import os
import re


class Process:
    def __init__(self, pid):
        self.pid = pid
        self.title = cmdline(pid)
        match = re.fullmatch(
            r'sallyport: (\w+)(?: \[gen (\d+)(?:, (\d+)/(\d+))?\])?'
            r'(, draining)?, v([\d.]+)', self.title)
        self.role = match[1] if match else 'parent'
        self.gen = int(match[2] or 0) if match else 0
        self.worker = int(match[3] or 0) if match else 0
        self.version = match[6] if match else ''
        self.draining = bool(match and match[5])

    def __repr__(self):
        return f'<{self.pid} {self.title}>'

    def path(self, name):
        return f'/proc/{self.pid}/{name}'

    def status(self, key):
        with open(self.path('status'), encoding='ascii') as file:
            for line in file:
                if line.startswith(key + ':'):
                    return line.split(':', 1)[1].split()
        raise KeyError(key)

    def fds(self):
        """Number to what it is; only root may look."""
        found = {}
        for fd in os.listdir(self.path('fd')):
            try:
                found[int(fd)] = os.readlink(self.path('fd/' + fd))
            except FileNotFoundError:       # closed since
                pass
        return found

    def rss(self):
        return int(self.status('VmRSS')[0]) * 1024

    def cpu(self):
        """Ticks spent, in seconds."""
        fields = stat(self.pid)
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def cmdline(pid):
    try:
        with open(f'/proc/{pid}/cmdline', 'rb') as file:
            return file.read().rstrip(b'\0 ').replace(b'\0', b' ').decode()
    except (FileNotFoundError, ProcessLookupError):
        return ''


def stat(pid):
    """The fields from the third on, the state."""
    with open(f'/proc/{pid}/stat', encoding='utf-8', errors='replace') as file:
        return file.read().rpartition(')')[2].split()


def children(parent):
    found = []
    for name in os.listdir('/proc'):
        if not name.isdigit():
            continue
        try:
            state, ppid = stat(name)[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(ppid) == parent and state != 'Z':
            found.append(Process(int(name)))
    return [p for p in found if p.title]


def alive(pid):
    try:
        return stat(pid)[0] not in 'ZX'
    except (FileNotFoundError, ProcessLookupError):
        return False
