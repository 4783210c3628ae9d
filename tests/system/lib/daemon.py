"""Sallyport itself, and all that it says."""
import fcntl
import json
import os
import re
import signal
import subprocess
import threading
import time

from . import net, proc
from .wait import LIMIT, until

F_SETPIPE_SZ = 1031
DEATH = r'(killed by|died of) signal|exited with status|forbidden|denied'


class Daemon:
    """sallyport -D as a child of the test; its log comes through a pipe."""

    def __init__(self, command, files=None, stdin=subprocess.DEVNULL,
                 conf=None, preexec=None, env=None,
                 stderr=subprocess.PIPE, pass_fds=()):
        def prepare():
            if preexec is not None:
                preexec()
            if files:
                net.bind_files(files)

        self.conf = conf
        self.lines, self.strange, self.errors = [], [], []
        self.deaths_expected = False
        self.change = threading.Condition()
        self.known = {}         # every process seen, by pid
        self.popen = subprocess.Popen(
            command, stdin=stdin, stdout=subprocess.PIPE,
            stderr=stderr, env=env, pass_fds=pass_fds,
            preexec_fn=prepare if files or preexec else None)
        # lines that don't fit are lost, and this reader is slow
        fcntl.fcntl(self.popen.stdout, F_SETPIPE_SZ, 1 << 20)
        self.pid = self.popen.pid
        self.readers = [
            threading.Thread(target=self._read_log, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True)]
        self.open = len(self.readers)
        for reader in self.readers:
            reader.start()

    def _closed(self):
        with self.change:
            self.open -= 1
            self.change.notify_all()

    def _read_log(self):
        for line in self.popen.stdout:
            try:
                entry = json.loads(line)
                assert isinstance(entry['msg'], str) and entry['time']
            except (ValueError, KeyError, AssertionError):
                self.strange.append(line)
                continue
            with self.change:
                self.lines.append(entry)
                self.change.notify_all()
        self._closed()

    def _read_errors(self):
        for line in self.popen.stderr or ():
            with self.change:
                self.errors.append(line.decode(errors='replace').rstrip('\n'))
                self.change.notify_all()
        self._closed()

    def text(self):
        return '\n'.join(map(str, self.lines + self.strange + self.errors))

    # --- the log ---

    def mark(self):
        return len(self.lines)

    def find(self, message, since=0, **fields):
        """All lines whose text contains this regular expression."""
        return [e for e in self.lines[since:] if re.search(message, e['msg'])
                and all(e.get(k) == v for k, v in fields.items())]

    def wait(self, message, since=0, count=1, limit=LIMIT, **fields):
        """The count-th such line."""
        end = time.monotonic() + limit
        with self.change:
            while len(found := self.find(message, since, **fields)) < count:
                left = end - time.monotonic()
                assert left > 0 and self.open > 0, \
                    f'no line {count} {message!r} {fields}:\n{self.text()}'
                self.change.wait(left)
        return found[count - 1]

    def session(self, since=0, count=1, **fields):
        return self.wait('^session$', since, count, **fields)

    def running(self, number=1, since=0):
        self.wait(f'^generation {number} is running$', since)
        return self

    # --- signals ---

    def kill(self, sig):
        os.kill(self.pid, sig)

    def write(self, text):
        with open(self.conf, 'w', encoding='utf-8') as file:
            file.write(text)

    def reload(self, text=None):
        """The number of the generation that runs then."""
        if text is not None:
            self.write(text)
        since = self.mark()
        self.kill(signal.SIGHUP)
        line = self.wait(r'^generation \d+ is running$', since)
        return int(line['msg'].split()[1])

    def reload_refused(self, text, message):
        """message: the log line that says why."""
        since = self.mark()
        if text is not None:
            self.write(text)
        self.kill(signal.SIGHUP)
        line = self.wait(message, since)
        self.wait('^SIGHUP', since)
        assert not self.find('is running', since), self.text()
        return line

    # --- processes ---

    def processes(self, role=None, gen=None):
        """P's children now; a title shows who they are."""
        found = [p for p in proc.children(self.pid)
                 if p.title.startswith('sallyport: ')]
        self.known.update((p.pid, p) for p in found)
        return sorted((p for p in found if role in (None, p.role)
                       and gen in (None, p.gen)),
                      key=lambda p: (p.role, p.gen, p.worker))

    def wait_gone(self, gen):
        until(lambda: not self.processes(gen=gen), f'end of generation {gen}')

    # --- the end ---

    def wait_exit(self, limit=LIMIT):
        """Exit status, when all that it has written was read."""
        status = self.popen.wait(limit)
        for reader in self.readers:
            reader.join(limit)
            assert not reader.is_alive(), 'somebody still has the log open'
        return status

    def stop(self, sig=signal.SIGTERM):
        self.kill(sig)
        return self.wait_exit()

    def check(self):
        """What no test wants to see, after the end."""
        assert not self.strange, self.strange
        bad = self.find(DEATH) + [e for e in self.errors if
                                  re.search(DEATH + '|Sanitizer', e)]
        assert self.deaths_expected or not bad, bad

    def finish(self):
        """At the end of a test."""
        try:
            if self.popen.poll() is None:
                assert self.stop() == 0, self.text()
            else:
                self.wait_exit()
            self.check()
        finally:
            if self.popen.poll() is None:
                self.popen.kill()
                self.popen.wait()
