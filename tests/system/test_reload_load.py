"""Reloads while clients come by the hundred: nobody notices."""
import os
import signal
import threading

import pytest

from lib import peers
from lib.wait import LIMIT

CLIENTS, RELOADS = 6, 40


def config(n):
    """Each one a little different; port 81 is always there."""
    text = f'''listen 127.0.0.1 81 {{ name: n{n}; remote: 127.0.0.1 8080;
        backlog: {1000 + n}; }}\n'''
    if n % 2:
        text += f'listen 127.0.0.1 {100 + n} {{ remote: 127.0.0.1 8080; }}\n'
    return text


def quick_echo(sock):
    """A hundred connections a second want little from the server."""
    data = sock.recv(4096)
    if data:
        sock.sendall(data)
        peers.read_all(sock)


class Crowd:
    """Clients one after the other, in several threads."""

    def __init__(self, count):
        self.over, self.served, self.errors = threading.Event(), 0, []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(n,),
                                         daemon=True) for n in range(count)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        n = 0
        while not self.over.is_set():
            n += 1
            try:
                with peers.connect() as client:
                    assert peers.ask(client, b'%d of %d' % (n, number))
            except Exception as error:  # whatever it is, it must not be
                self.errors.append(repr(error))
            with self.lock:
                self.served += 1

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(LIMIT)
        return self.served


@pytest.mark.parametrize('workers', [1, 3])
def test_reload_under_load(box, workers):
    """None lost, none refused, in forty reloads."""
    daemon = box.start(config=config(0), workers=workers, log='stdout:3')
    box.server(quick_echo)
    crowd = Crowd(CLIENTS)
    for n in range(1, RELOADS + 1):
        before = crowd.served
        assert daemon.reload(config(n)) == n + 1
        while crowd.served < before + 20 and not crowd.errors:
            crowd.over.wait(0.001)
        assert not crowd.errors, crowd.errors[:5]
    served = crowd.stop()
    assert not crowd.errors, crowd.errors[:5]
    assert served >= 20 * RELOADS


def test_death_under_load(box):
    """A dialer dies: who waits is served by the next generation."""
    daemon = box.start(config=config(0), log='stdout:3')
    daemon.deaths_expected = True
    box.server(quick_echo)
    crowd = Crowd(CLIENTS)
    while crowd.served < 100:
        crowd.over.wait(0.001)
    os.kill(daemon.processes('dialer')[0].pid, signal.SIGKILL)
    daemon.running(2)
    before = crowd.served
    while crowd.served < before + 100:
        crowd.over.wait(0.001)
    crowd.stop()
    # only connections that were being made may have gone with the dialer
    assert len(crowd.errors) <= CLIENTS, crowd.errors


@pytest.mark.parametrize('workers', [1, 2])
def test_single_connections_while_old_ones_drain(box, workers):
    """No wake-up is swallowed by a generation that accepts no more: each of
    a thousand lonely clients is answered, without another one's help."""
    daemon = box.start(config=config(0), workers=workers, log='stdout:3')
    box.server(peers.echo)
    kept = []
    for n in range(1, 4):
        kept.append(box.connect())
        assert peers.ask(kept[-1])
        daemon.reload(config(2 * n))
    for _ in range(1000):
        assert box.served()
    assert all(map(peers.ask, kept))


def test_download_across_reloads(box):
    data = peers.noise(48 << 20)
    daemon = box.start(config=config(0), log='stdout:3')
    box.server(peers.says(data))
    client = box.connect()
    got = bytearray()
    for n in range(1, 21):
        daemon.reload(config(n))
        got += peers.read_some(client, 1 << 20)
    got += peers.read_all(client)
    assert peers.digest(got) == peers.digest(data)
