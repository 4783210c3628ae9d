"""Clients and servers: sockets with a time limit, servers in threads."""
import hashlib
import os
import random
import socket
import struct
import threading

from .wait import LIMIT


def family_of(host):
    """Of an address, or of the path of a unix socket."""
    if '/' in host:
        return socket.AF_UNIX
    return socket.AF_INET6 if ':' in host else socket.AF_INET


def listen(host='127.0.0.1', port=8080, backlog=1024, sndbuf=0, rcvbuf=0):
    sock = socket.socket(family_of(host), socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if sndbuf:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, sndbuf)
    if rcvbuf:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    if sock.family == socket.AF_UNIX:
        sock.bind(host)
        os.chmod(host, 0o666)       # the dialer is nobody
    else:
        sock.bind((host, port))
    sock.listen(backlog)
    sock.settimeout(LIMIT)
    return sock


def connect(host='127.0.0.1', port=81, rcvbuf=0, source=None):
    sock = socket.socket(family_of(host), socket.SOCK_STREAM)
    sock.settimeout(LIMIT)
    if rcvbuf:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    if source:
        sock.bind((source, 0))
    sock.connect(host if sock.family == socket.AF_UNIX else (host, port))
    return sock


def accept(listener):
    sock, _ = listener.accept()
    sock.settimeout(LIMIT)
    return sock


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack('ii', 1, 0))
    sock.close()


def read_all(sock):
    """Until the end of the stream."""
    parts = []
    while part := sock.recv(65536):
        parts.append(part)
    return b''.join(parts)


def read_some(sock, size):
    data = b''
    while len(data) < size:
        part = sock.recv(size - len(data))
        assert part, f'the stream ended after {len(data)} of {size} bytes'
        data += part
    return data


def is_reset(sock):
    """Waits until the peer ends; was it by a reset?"""
    try:
        read_all(sock)
    except ConnectionResetError:
        return True
    return False


def cut_off(host='127.0.0.1', port=81):
    """Connects; is that all that comes of it, and a reset?"""
    try:
        with connect(host, port) as sock:
            return is_reset(sock)
    except ConnectionResetError:
        return True             # so early that connect(2) tells it


def ask(sock, text=b'ping'):
    """One question to an echo server."""
    sock.sendall(text)
    return read_some(sock, len(text)) == text


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


def digest(data):
    return hashlib.sha256(data).hexdigest()


class Server:
    """A thread per connection, each running handler(socket)."""

    def __init__(self, handler, host='127.0.0.1', port=8080):
        self.handler, self.listener = handler, listen(host, port)
        self.listener.settimeout(None)
        self.failures, self.count = [], 0
        self.open = set()
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.settimeout(LIMIT)
            with self.lock:
                self.count += 1
                self.open.add(sock)
            threading.Thread(target=self.serve, args=(sock,),
                             daemon=True).start()

    def serve(self, sock):
        try:
            self.handler(sock)
        except (ConnectionError, TimeoutError):
            pass
        except OSError as error:
            if sock.fileno() != -1:
                self.failures.append(error)
        finally:
            with self.lock:
                self.open.discard(sock)
            sock.close()

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(LIMIT)
        self.listener.close()
        with self.lock:
            for sock in self.open:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        assert not self.failures, self.failures


def echo(sock):
    while data := sock.recv(65536):
        sock.sendall(data)


def says(text):
    """A server that says this and hangs up."""
    def handler(sock):
        sock.sendall(text)
        sock.shutdown(socket.SHUT_WR)
        read_all(sock)
    return handler
