#!/usr/bin/python3
"""Thousands of peers in a process of their own, which has descriptors of its
own, too.

crowd.py serve PORT          an echo server for as many as come
crowd.py connect NUMBER PORT...   so many clients to each of these ports; when
                             each has got an answer it says so, a line
                             `N served'; ends with its standard input
"""
import resource
import select
import socket
import sys


def raise_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def serve(port):
    listener = socket.create_server(('127.0.0.1', port), backlog=4096)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    peers = {}
    while True:
        for fd, _ in poll.poll():
            if fd == listener.fileno():
                sock, _ = listener.accept()
                peers[sock.fileno()] = sock
                poll.register(sock, select.EPOLLIN)
                continue
            try:
                data = peers[fd].recv(65536)
                peers[fd].sendall(data)
            except ConnectionError:
                data = b''
            if not data:
                poll.unregister(fd)
                peers.pop(fd).close()


def connect(number, ports):
    socks = []
    for port in ports:
        for _ in range(number):
            sock = socket.create_connection(('127.0.0.1', port))
            sock.sendall(b'x')
            socks.append(sock)
    for sock in socks:
        assert sock.recv(1) == b'x'
    print(f'{len(socks)} served', flush=True)
    sys.stdin.read()


raise_limit()
if sys.argv[1] == 'serve':
    serve(int(sys.argv[2]))
else:
    connect(int(sys.argv[2]), list(map(int, sys.argv[3:])))
