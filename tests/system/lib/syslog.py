"""A syslog daemon of the test's own, and a /dev for its socket."""
import socket

from . import net
from .wait import LIMIT

NODES = ('null', 'urandom', 'random', 'zero')


class Dev:
    """A directory that sallyport takes for /dev: preexec=dev.mount"""

    def __init__(self, path):
        self.path, self.log = path, path / 'log'
        path.mkdir(mode=0o755)
        for name in NODES:
            (path / name).touch()

    def mount(self):
        net.own_mounts()
        for name in NODES:
            net.bind(self.path / name, f'/dev/{name}')
        net.bind('/dev', self.path, net.MS_REC)


class Syslogd:
    def __init__(self, path):
        self.path = path
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(str(path))
        path.chmod(0o666)
        self.sock.settimeout(LIMIT)
        self.got = []

    def client(self):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sock.connect(str(self.path))
        return sock

    def next(self):
        self.got.append(self.sock.recv(4096).decode('ascii'))
        return self.got[-1]

    def wait(self, text):
        while not any(text in line for line in self.got):
            self.next()
        return next(line for line in self.got if text in line)

    def stop(self):
        self.sock.close()
        self.path.unlink(missing_ok=True)
