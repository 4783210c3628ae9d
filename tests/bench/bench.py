#!/usr/bin/python3
"""`make bench': sallyport beside other proxies, on this machine, now.

tests/bench/bench.py BUILD BARE LOAD

BUILD and BARE are build trees, the second without sandbox; LOAD is the load
generator.  The environment says what to measure:

PEERS=a,b     only these beside sallyport and no proxy at all; `haproxy'
              stands for all that begin so
CASES=a,b     only these cases, likewise
ROUNDS=4      how often each is measured
OUT=DIR       where to write RESULTS.md and the charts; without it a new
              directory below /tmp

Only for root.  README.md beside this file says what is measured and how.
"""
import collections
import contextlib
import json
import os
import pathlib
import platform
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cases        # noqa: E402  pylint: disable=wrong-import-position
import machine      # noqa: E402  pylint: disable=wrong-import-position
import peers        # noqa: E402  pylint: disable=wrong-import-position
import report       # noqa: E402  pylint: disable=wrong-import-position

ROUNDS = 4
LIMIT = 345             # seconds; what is not measured by then is left out
START = 0.07            # seconds for a fresh proxy and fresh name spaces
MEASUREMENT_LIMIT = 30  # one that hangs is ended


# --- one measurement ---------------------------------------------------------

class Failed(Exception):
    pass


def last_line(text):
    return (text.strip().splitlines() or [''])[-1]


class Bench:
    def __init__(self, work, groups):
        self.work, self.groups = work, groups
        self.total = collections.Counter()

    def _spawn(self, command, group, net, user=None, **more):
        def prepare():
            machine.die_with_parent(signal.SIGKILL)
            self.groups.join(group)
            machine.enter(net)
            if user is not None:
                os.setgroups([])
                os.setgid(user.pw_gid)
                os.setuid(user.pw_uid)

        return subprocess.Popen([str(word) for word in command],
                                preexec_fn=prepare, cwd=self.work, **more)

    def _talk(self, load):
        """The lines of the load generator: windows and marks."""
        phases, marks = {}, {}
        for line in load.stdout:
            if line.startswith('mark '):
                user, everything = self.groups.used()
                marks[line.split()[1]] = {
                    'user': user, 'all': everything, 'fds': self.groups.fds()}
                load.stdin.write('\n')
                load.stdin.flush()
            else:
                value = json.loads(line)
                phases[value['phase']] = value
                self.total.update({key: value[key] for key in
                                   ('secs', 'cpu', 'own', 'machine')})
        if load.wait() != 0:
            raise Failed(last_line(load.stderr.read()) or
                         f'load generator: status {load.returncode}')
        return phases, marks

    def _load(self, case, net, direct):
        port = machine.SERVER if direct else machine.PROXY
        addr = net.server_addr if direct else net.proxy_addr
        command = [f'{self.work}/load', *case.words, f'to={addr}:{port}',
                   f'at={net.server_addr}:{machine.SERVER}',
                   f'proxy={self.groups.cpu}/proxy',
                   f'own={self.groups.cpu}/load']
        load = self._spawn(command, 'load', net.load, text=True,
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE)
        signal.alarm(MEASUREMENT_LIMIT)
        try:
            with load:
                try:
                    return self._talk(load)
                finally:
                    load.kill()
        finally:
            signal.alarm(0)

    def _end(self):
        """Ends the proxy, all of it, and whoever came of it."""
        while self.groups.processes():
            self.groups.kill()
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG) != (0, 0):
                    pass
            time.sleep(0.002)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, 0):
                pass

    def foreign(self):
        """What others used of the machine in all windows, in %."""
        used = self.total['machine'] - self.total['cpu'] - self.total['own']
        return used / max(self.total['secs'], 1) / 1e4 / os.cpu_count()

    def measure(self, case, peer):
        net = machine.Net(case.veth)
        self.groups.new_proxy(case.memory)
        command = peer.command(self.work, net)
        log = open(f'{self.work}/{peer.name}.out', 'wb')
        proxy = None
        try:
            if command is not None:
                proxy = self._spawn(command, 'proxy', net.proxy, peer.user,
                                    stdin=subprocess.DEVNULL, stdout=log,
                                    stderr=log)
            phases, marks = self._load(case, net, command is None)
            return case.evaluate(phases, marks)
        except (Failed, OSError) as error:
            said = last_line(pathlib.Path(log.name).read_text())
            raise Failed(f'{error}; it said: {said or "nothing"}') from error
        finally:
            log.close()
            self._end()
            if proxy is not None:
                proxy.returncode = 0    # its status was taken by _end()
            net.close()


# --- all of them -------------------------------------------------------------

def picked(name, words):
    return not words or any(f'{name}-'.startswith(f'{word}-')
                            for word in words)


def make_plan(rounds, only_peers, only_cases):
    """(round, case, peer) in the order of measuring."""
    plan = []
    for number in range(rounds):
        for case in cases.ALL:
            if not picked(case.name, only_cases) or case.once and number > 0:
                continue
            who = [p for p in peers.ALL if p.name in case.who and
                   (p.name.split('-')[0] in ('direct', 'sallyport') or
                    picked(p.name, only_peers)) and
                   case.n <= p.most and not (p.once and number > 0)]
            # nobody is always first, or always behind the same one
            turn = number % max(len(who), 1)
            plan += [(number, case, p) for p in who[turn:] + who[:turn]]
    return plan


def cost(plan):
    return sum(case.secs + START for _, case, _ in plan)


def run_all(bench, plan, end):
    """results[case][peer]: list of results; notes: what went wrong"""
    results, notes = {}, []
    for i, (number, case, peer) in enumerate(plan):
        if time.monotonic() > end:
            notes.append(f'{len(plan) - i} of {len(plan)} measurements were '
                         'left out: time was up')
            break
        print(f'\r{i + 1}/{len(plan)} round {number + 1} {case.name} '
              f'{peer.name}'.ljust(60), end='', file=sys.stderr, flush=True)
        try:
            result = bench.measure(case, peer)
        except (Failed, KeyError, ValueError) as error:
            notes.append(f'{case.name}, {peer.name}: {error}')
            continue
        results.setdefault(case.name, {}).setdefault(peer.name, []) \
            .append(result)
    print('\r'.ljust(60), end='\r', file=sys.stderr)
    return results, notes


def describe(plan):
    cpu = next((line.split(':')[1].strip() for line in
                pathlib.Path('/proc/cpuinfo').read_text().splitlines()
                if line.startswith('model name')), platform.machine())
    used = {peer.name: peer for _, _, peer in plan}
    return {
        'date': time.strftime('%Y-%m-%d %H:%M %z'),
        'cpu': cpu, 'cores': os.cpu_count(),
        'kernel': platform.release(),
        'congestion': pathlib.Path('/proc/sys/net/ipv4/tcp_congestion_control')
        .read_text().strip(),
        'load': '%.2f %.2f %.2f' % os.getloadavg(),
        'versions': {name: peer.version() for name, peer in used.items()},
    }


def words_of(name):
    return os.environ.get(name, '').replace(',', ' ').split()


def on_alarm(_sig, _frame):
    raise TimeoutError(f'not done after {MEASUREMENT_LIMIT} s')


def inner(work, name, out):
    """In the process name space: measures and writes."""
    began = time.monotonic()
    signal.signal(signal.SIGALRM, on_alarm)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rounds = os.environ.get('ROUNDS') or str(ROUNDS)
    if not rounds.isdigit() or not 0 < int(rounds) <= 1000:
        sys.exit('bench: ROUNDS is a number from 1 to 1000')
    rounds = int(rounds)
    plan = make_plan(rounds, words_of('PEERS'), words_of('CASES'))
    if not plan:
        sys.exit('bench: nothing to measure; cases: ' +
                 ' '.join(case.name for case in cases.ALL))
    about = describe(plan)
    print(f'{len(plan)} measurements in {rounds} rounds, about '
          f'{cost(plan):.0f} s; load average before: {about["load"]}',
          flush=True)
    bench = Bench(work, machine.Groups(work, name))
    results, notes = run_all(bench, plan, began + LIMIT)
    about['seconds'] = time.monotonic() - began
    about['foreign'] = bench.foreign()
    text = report.text(cases.ALL, results, notes, about)
    print(text)
    report.write(out, text, cases.ALL, results)
    print(f'\nwritten: {out}/RESULTS.md and charts')


# --- outside -----------------------------------------------------------------

def copy_trees(work, build, bare, load):
    """An ordinary user must be able to start them, wherever this tree is."""
    for name, tree in (('build', build), ('bare', bare)):
        for part in ('sbin', 'libexec'):
            shutil.copytree(f'{tree}/{part}', f'{work}/{name}/{part}')
    shutil.copy(load, f'{work}/load')
    os.mkdir(f'{work}/jail', 0o755)


def outer(build, bare, load):
    out = os.environ.get('OUT')
    if out:
        os.makedirs(out, exist_ok=True)
    else:
        out = tempfile.mkdtemp(prefix='sallyport-results.')
        os.chmod(out, 0o755)
    name = f'sallyport-bench.{os.getpid()}'
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with contextlib.ExitStack() as clean:
        clean.callback(lambda: os.listdir(out) or os.rmdir(out))
        work = tempfile.mkdtemp(prefix='sallyport-bench.')
        clean.callback(shutil.rmtree, work, ignore_errors=True)
        os.chmod(work, 0o755)
        copy_trees(work, build, bare, load)
        machine.mount_private(work)
        clean.callback(os.rmdir, f'{work}/cgroup')
        clean.callback(subprocess.run, ['umount', f'{work}/cgroup'])
        groups = machine.Groups(work, name)
        clean.callback(groups.remove)
        groups.make()
        # whatever happens, its processes end with it
        child = subprocess.Popen(
            ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc',
             sys.executable, os.path.abspath(__file__), '--inner', work,
             name, os.path.abspath(out)], stdin=subprocess.DEVNULL,
            preexec_fn=lambda: machine.die_with_parent(signal.SIGKILL))
        clean.callback(child.wait)
        clean.callback(child.kill)
        try:
            return child.wait()
        except KeyboardInterrupt:
            return 130


if __name__ == '__main__':
    if len(sys.argv) == 5 and sys.argv[1] == '--inner':
        with contextlib.suppress(KeyboardInterrupt):
            inner(*sys.argv[2:])
            sys.exit(0)
        sys.exit(130)
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    if os.geteuid() != 0:
        sys.exit('bench: only root can make name spaces and control groups')
    sys.exit(outer(*sys.argv[1:]))
