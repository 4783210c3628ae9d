"""What happens to the names of a directory, as inotify(7) tells it."""
import ctypes
import os
import struct

from .net import libc

MODIFY, MOVED_FROM, MOVED_TO = 0x2, 0x40, 0x80
CREATE, DELETE = 0x100, 0x200
OPEN = 0x20
CHANGES = MODIFY | MOVED_FROM | MOVED_TO | CREATE | DELETE
HEAD = struct.Struct('iIII')


class Names:
    def __init__(self, path, mask=CHANGES):
        self.fd = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        assert self.fd != -1 and libc.inotify_add_watch(
            self.fd, os.fsencode(path), ctypes.c_uint32(mask)) != -1

    def events(self):
        """All since the last call, as {name: [masks]}."""
        found, data = {}, b''
        try:
            while part := os.read(self.fd, 65536):
                data += part
        except BlockingIOError:
            pass
        while data:
            _, mask, _, size = HEAD.unpack_from(data)
            name = data[HEAD.size:HEAD.size + size].rstrip(b'\0').decode()
            found.setdefault(name, []).append(mask)
            data = data[HEAD.size + size:]
        return found

    def close(self):
        os.close(self.fd)
