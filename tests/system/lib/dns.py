"""A small name server (UDP) whose answers a test can change."""
import ipaddress
import socket
import struct
import threading

A, AAAA = 1, 28


class Dns:
    """names: {name: [addresses]}; a name that is missing does not exist.
    With `silent' nothing is answered at all, with `broken' SERVFAIL."""

    def __init__(self, host='127.0.0.53'):
        self.names, self.silent, self.broken = {}, False, False
        self.asked = []         # (name, type)
        self.change = threading.Condition()
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((host, 53))
        self.running = True
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while self.running:
            query, peer = self.sock.recvfrom(4096)
            if len(query) < 17:
                continue
            reply = self.answer(query)
            if reply is not None:
                self.sock.sendto(reply, peer)

    def answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        name = '.'.join(labels)
        kind, = struct.unpack('>H', query[at + 1:at + 3])
        with self.change:
            self.asked.append((name, kind))
            silent, broken = self.silent, self.broken
            addrs = self.names.get(name)
            self.change.notify_all()
        if silent:
            return None
        records = []
        for addr in map(ipaddress.ip_address, addrs or ()):
            if kind == (A if addr.version == 4 else AAAA):
                data = addr.packed
                records.append(b'\xc0\x0c' + struct.pack(
                    '>HHIH', kind, 1, 1, len(data)) + data)
        code = 2 if broken else 3 if addrs is None else 0
        head = query[:2] + struct.pack('>HHHHH', 0x8180 | code, 1,
                                       len(records), 0, 0)
        return head + query[12:at + 5] + b''.join(records)

    def set(self, name, *addrs):
        with self.change:
            self.names[name] = list(addrs)

    def drop(self, name):
        with self.change:
            self.names.pop(name, None)

    def mark(self):
        with self.change:
            return len(self.asked)

    def wait_asked(self, name, since, limit=30):
        """Until the name was asked for again."""
        with self.change:
            assert self.change.wait_for(
                lambda: any(n == name for n, _ in self.asked[since:]),
                limit), f'{name} is not asked for: {self.asked}'

    def stop(self):
        self.running = False
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b'', self.sock.getsockname())
        self.thread.join(30)
        self.sock.close()
