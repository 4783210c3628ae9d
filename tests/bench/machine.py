"""The machine under the benchmark: name spaces, control groups, memory.

All of it belongs to one run: network name spaces live as long as an open
file, control groups are directories that the outer process removes, and all
processes are in a process name space that ends with its first one.
"""
import contextlib
import ctypes
import os
import pathlib
import subprocess
import time

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)

PROXY, SERVER = 5000, 5001      # ports


def call(name, *args):
    if getattr(LIBC, name)(*args) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f'{name}: {os.strerror(error)}')


def die_with_parent(sig):
    LIBC.prctl(PR_SET_PDEATHSIG, sig)


# --- network -----------------------------------------------------------------

def enter(fd):
    call('setns', fd, CLONE_NEWNET)


def sysctl(name, value):
    pathlib.Path('/proc/sys/net/ipv4', name).write_text(value,
                                                        encoding='ascii')


def ip(*words):
    subprocess.run(['ip', *words], check=True, stdin=subprocess.DEVNULL)


def _new_namespace():
    call('unshare', CLONE_NEWNET)
    ip('link', 'set', 'lo', 'up')
    # With the default range every proxy is out of ports after a second.
    sysctl('ip_local_port_range', '1024 65535')
    # Or a client that is early may be given the proxy's port, and be
    # connected to itself.
    sysctl('ip_local_reserved_ports', f'{PROXY}-{SERVER}')
    sysctl('tcp_tw_reuse', '1')
    return os.open('/proc/thread-self/ns/net', os.O_RDONLY | os.O_CLOEXEC)


class Net:
    """Fresh name spaces: load and proxy in one, or at the ends of a veth."""

    def __init__(self, veth):
        old = os.open('/proc/thread-self/ns/net', os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.load = self.proxy = _new_namespace()
            self.proxy_addr = self.server_addr = '127.0.0.1'
            if veth:
                self._veth()
        finally:
            enter(old)
            os.close(old)

    def _veth(self):
        self.proxy = _new_namespace()
        ip('link', 'add', 'veth', 'mtu', '1500', 'type', 'veth', 'peer',
           'name', 'veth', 'mtu', '1500', 'netns',
           f'/proc/{os.getpid()}/fd/{self.load}')
        self.proxy_addr, self.server_addr = '10.99.0.2', '10.99.0.1'
        for fd, addr in ((self.proxy, self.proxy_addr),
                         (self.load, self.server_addr)):
            enter(fd)
            ip('addr', 'add', f'{addr}/24', 'dev', 'veth')
            ip('link', 'set', 'veth', 'up')

    def close(self):
        os.close(self.load)
        if self.proxy != self.load:
            os.close(self.proxy)


# --- control groups ----------------------------------------------------------

def mount_private(work):
    """Mounts of our own: version 2 for CPU time, wherever others have it."""
    call('unshare', CLONE_NEWNS)
    call('mount', None, b'/', None, MS_REC | MS_PRIVATE, None)
    os.mkdir(f'{work}/cgroup')
    call('mount', b'none', f'{work}/cgroup'.encode(), b'cgroup2', 0, None)


def _memory_root(work):
    """Where the memory controller is: (directory, version)"""
    root = pathlib.Path(work, 'cgroup')
    if 'memory' in (root / 'cgroup.controllers').read_text().split():
        return root, 2
    for line in pathlib.Path('/proc/self/mounts').read_text().splitlines():
        _, where, kind, options, *_ = line.split()
        if kind == 'cgroup' and 'memory' in options.split(','):
            return pathlib.Path(where), 1
    return None, 0


class Groups:
    """proxy/ and load/ below one directory in each hierarchy."""

    def __init__(self, work, name):
        self.cpu = pathlib.Path(work, 'cgroup', name)
        root, self.version = _memory_root(work)
        self.memory = root and root / name
        self.tops = [self.cpu]
        if self.version == 1:
            self.tops.append(self.memory)

    def make(self):
        for top in self.tops:
            top.mkdir()
        if self.version == 2:
            for where in (self.cpu.parent, self.cpu):
                where.joinpath('cgroup.subtree_control').write_text('+memory')
        (self.cpu / 'load').mkdir()

    def new_proxy(self, sockets):
        """A fresh group; sockets: the old controller shall count those."""
        for top in self.tops:
            with contextlib.suppress(FileNotFoundError):
                (top / 'proxy').rmdir()
            (top / 'proxy').mkdir()
        if self.version == 1 and sockets:
            (self.memory / 'proxy/memory.kmem.tcp.limit_in_bytes').write_text(
                str(1 << 40))

    def join(self, name):
        """In a child before exec."""
        for top in self.tops if name == 'proxy' else [self.cpu]:
            with open(top / name / 'cgroup.procs', 'w') as file:
                file.write('0')

    def remove(self):
        """Their processes have been killed, but may still be ending."""
        end = time.monotonic() + 10
        for top in self.tops:
            for path in (top / 'proxy', top / 'load', top):
                while path.exists():
                    try:
                        path.rmdir()
                    except OSError:
                        if time.monotonic() > end:
                            raise
                        time.sleep(0.01)

    # --- what the proxy uses ---

    def processes(self):
        text = (self.cpu / 'proxy/cgroup.procs').read_text()
        return [int(pid) for pid in text.split()]

    def kill(self):
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)

    def fds(self):
        """Open files by process."""
        found = {}
        for pid in self.processes():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found[pid] = len(os.listdir(f'/proc/{pid}/fd'))
        return found

    def used(self):
        """Bytes: (user memory, all memory with the kernel's and sockets')"""
        if self.memory is None:
            return 0, 0
        where = self.memory / 'proxy'

        def number(name):
            return int((where / name).read_text())

        stat = dict(line.split() for line in
                    (where / 'memory.stat').read_text().splitlines())
        if self.version == 2:
            return int(stat['anon']), number('memory.current')
        return int(stat['total_rss']), number('memory.usage_in_bytes') + \
            number('memory.kmem.tcp.usage_in_bytes')
