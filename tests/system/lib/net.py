"""A network namespace per test, by unshare(2) and setns(2): nothing has a
name, so nothing can be left behind.  What a test starts, threads and
programs, lives in the namespace too."""
import ctypes
import fcntl
import os
import socket
import struct
import subprocess

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x20000, 0x10000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
PR_SET_CHILD_SUBREAPER = 36

libc = ctypes.CDLL(None, use_errno=True)


def call(name, *args):
    if getattr(libc, name)(*args) == -1:
        error = ctypes.get_errno()
        raise OSError(error, f'{name}: {os.strerror(error)}')


def become_reaper():
    """Orphans become children of this process, which then can see them."""
    call('prctl', PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def own_user_namespace():
    """Lets an ordinary user have network namespaces."""
    uid, gid = os.geteuid(), os.getegid()
    call('unshare', CLONE_NEWUSER)
    for name, text in (('setgroups', 'deny'), ('uid_map', f'{uid} {uid} 1'),
                       ('gid_map', f'{gid} {gid} 1')):
        with open(f'/proc/self/{name}', 'w', encoding='ascii') as file:
            file.write(text)


class Net:
    def __init__(self):
        self.old = os.open('/proc/thread-self/ns/net', os.O_RDONLY)
        call('unshare', CLONE_NEWNET)
        self.up('lo')

    @staticmethod
    def up(name):
        with socket.socket() as sock:
            request = struct.pack('16sh14x', name.encode(), 0)
            reply = fcntl.ioctl(sock, SIOCGIFFLAGS, request)
            flags = struct.unpack('16sh14x', reply)[1] | IFF_UP
            fcntl.ioctl(sock, SIOCSIFFLAGS,
                        struct.pack('16sh14x', name.encode(), flags))

    @staticmethod
    def ip(*words):
        subprocess.run(['ip', *words], check=True, timeout=30)

    @staticmethod
    def sysctl(name, value):
        path = '/proc/sys/net/' + name.replace('.', '/')
        with open(path, 'w', encoding='ascii') as file:
            file.write(str(value))

    def leave(self):
        if os.geteuid() == 0:
            call('setns', self.old, CLONE_NEWNET)
        os.close(self.old)


def own_mounts():
    call('unshare', CLONE_NEWNS)
    call('mount', None, b'/', None, MS_REC | MS_PRIVATE, None)


def bind(path, instead, flags=0):
    call('mount', os.fsencode(instead), os.fsencode(path), None,
         MS_BIND | flags, None)


def bind_files(files):
    """For preexec_fn: in a mount namespace of its own, other files stand
    at these paths."""
    own_mounts()
    for path, instead in files.items():
        bind(path, instead)


def tmpfs(path, size):
    call('mount', b'tmpfs', os.fsencode(path), b'tmpfs', 0,
         f'size={size}'.encode())
