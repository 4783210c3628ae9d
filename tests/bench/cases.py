"""What is measured: the load generator's case, and what becomes of its lines.

A result is a dictionary of numbers.  `rate' and `cpu' are those that ratios
are made of; COLUMNS says how each is shown.
"""
import peers

MAIN = ['direct', peers.OURS, *peers.HAPROXIES, 'nginx']
SLOW = ['rinetd', 'socat', 'socket-proxyd', 'redir']
PAIR = ['user-sandbox', 'user-bare']
FEW = ['direct', peers.OURS, 'haproxy-1', 'haproxy-2', 'nginx']
SINGLE = ['direct', 'sallyport-w1', 'haproxy-1', 'haproxy-1-splice',
          'nginx-w1']

# key: (heading, format)
COLUMNS = {
    'rate': ('{unit}', '{:.4g}'),
    'cpu': ('CPU {per}', '{:.3g}'),
    'machine': ('machine {per}', '{:.3g}'),
    'own': ('load {per}', '{:.3g}'),
    'up': ('up', '{:.3g}'),
    'down': ('down', '{:.3g}'),
    'fails': ('failed', '{:.0f}'),
    'p50': ('p50 µs', '{:.0f}'),
    'p99': ('p99 µs', '{:.0f}'),
    'p999': ('p99.9 µs', '{:.0f}'),
    'max': ('max ms', '{:.1f}'),
    'user': ('user kB each', '{:.2f}'),
    'all': ('with kernel kB each', '{:.2f}'),
    'base': ('before MB', '{:.1f}'),
    'fds': ('fds each', '{:.2f}'),
    'idle': ('idle CPU %', '{:.2f}'),
    'percent': ('CPU %', '{:.1f}'),
    'imbalance': ('imbalance %', '{:.1f}'),
    'stall_user': ('growth MB, user', '{:.2f}'),
    'stall_kernel': ('growth MB, kernel', '{:.2f}'),
    'others': ('others after/before', '{:.2f}'),
}


def _bulk(phase, _):
    up, down = phase['up'], phase['down']
    size = (up['bytes'] + down['bytes']) / 1e9
    result = {'rate': size / (up['secs'] + down['secs']),
              'up': up['bytes'] / up['secs'] / 1e9,
              'down': down['bytes'] / down['secs'] / 1e9,
              'fails': up['fails'] + down['fails']}
    for key in ('cpu', 'machine', 'own'):
        result[key] = (up[key] + down[key]) / 1e6 / size
    return result


def _each(line):
    """Rate and cost of short connections or messages."""
    result = {key: line[key] for key in ('fails', 'p50', 'p99', 'p999')}
    result['max'] = line['max'] / 1e3
    result['rate'] = line['ops'] / line['secs']
    for key in ('cpu', 'machine', 'own'):
        result[key] = line[key] / max(line['ops'], 1)
    return result


def _conns(phase, _):
    return _each(phase['conns'])


def _pingpong(phase, _):
    return _each(phase['pingpong'])


def _idle(phase, mark, n):
    before, after, idle = mark['before'], mark['open'], phase['idle']
    result = _each(phase['busy'])
    grown = [fds - before['fds'].get(pid, 0)
             for pid, fds in after['fds'].items()]
    busy = [fds for fds in grown if fds > n / 10]
    result.update({
        'user': (after['user'] - before['user']) / 1e3 / n,
        'all': (after['all'] - before['all']) / 1e3 / n,
        'base': before['all'] / 1e6,
        'fds': sum(grown) / n,
        'idle': idle['cpu'] / idle['secs'] / 1e4})
    if len(busy) > 1:
        result['imbalance'] = \
            100 * (max(busy) - min(busy)) * len(busy) / sum(busy)
    return result


def _slow(phase, _):
    line = phase['slow']
    return {**_each(line), 'percent': line['cpu'] / line['secs'] / 1e4}


def _stall(phase, mark):
    def rate(line):
        return line['bytes'] / line['secs']

    user = mark['stalled']['user'] - mark['before']['user']
    everything = mark['stalled']['all'] - mark['before']['all']
    return {'stall_user': user / 1e6, 'stall_kernel': (everything - user) / 1e6,
            'rate': rate(phase['after']) / 1e9,
            'others': rate(phase['after']) / rate(phase['before'])}


def _fair(phase, _):
    line = phase['fair']
    return {'p50': line['p50'], 'p99': line['p99'], 'p999': line['p999'],
            'rate': line['bytes'] / line['secs'] / 1e9,
            'cpu': line['cpu'] * 1e3 / line['bytes']}


class Case:
    def __init__(self, name, title, words, evaluate, show, who, *, secs,
                 unit='', per='', veth=False, memory=False, once=False, n=1):
        self.name, self.title, self.words = name, title, words.split()
        self.evaluate, self.show, self.who = evaluate, show.split(), who
        self.secs, self.unit, self.per = secs, unit, per
        self.veth, self.memory, self.once, self.n = veth, memory, once, n

    def heading(self, key):
        return COLUMNS[key][0].format(unit=self.unit, per=self.per)


def _bulk_case(n, veth):
    where = 'veth, MTU 1500' if veth else 'loopback'
    return Case(
        f'{"veth" if veth else "bulk"}-{n}',
        f'Bulk, {n} stream{"s" * (n > 1)} each way, {where}',
        f'bulk n={n} ms=350 warm=120', _bulk,
        'rate up down cpu machine own fails',
        MAIN if veth else MAIN + SLOW + (PAIR if n == 1 else []),
        secs=0.95, unit='GB/s', per='s/GB', veth=veth)


def _pingpong_case(n):
    return Case(
        f'pingpong-{n}', f'Ping-pong, 64 B, {n} session{"s" * (n > 1)}',
        f'pingpong n={n} window={n} ms=500 warm=120', _pingpong,
        'rate cpu machine own p50 p99 p999 fails', MAIN + SLOW + PAIR,
        secs=0.65, unit='per s', per='µs')


def _idle_case(n, secs):
    return Case(
        f'idle-{n}', f'{n:,} sessions: idle, then 64 messages of 64 B at a '
        'time, all sessions in turn',
        f'idle n={n} window=64 ms=400 warm=120',
        lambda phase, mark: _idle(phase, mark, n),
        # a hundred sessions don't weigh enough to be weighed
        ('user all base fds ' if n >= 1000 else '') +
        'idle imbalance rate cpu p99 fails',
        (FEW + SLOW) if n == 1000 else FEW, secs=secs, unit='messages/s',
        per='µs/message', memory=True, once=True, n=n)


ALL = [
    _bulk_case(1, False),
    _bulk_case(16, False),
    _bulk_case(1, True),
    _bulk_case(16, True),
    Case('conns', 'Short connections: connect, 64 B each way, close',
         'conns window=64 ms=600 warm=150', _conns,
         'rate cpu machine own p50 p99 max fails', MAIN + SLOW + PAIR,
         secs=0.8, unit='per s', per='µs'),
    _pingpong_case(1),
    _pingpong_case(64),
    _idle_case(100, 1.5),
    _idle_case(1000, 1.6),
    _idle_case(8000, 2.7),
    Case('slow', '5,000 sessions, 1 byte a second on each',
         'slow n=5000 ms=1000 warm=300', _slow, 'percent cpu p50 p99 fails',
         FEW, secs=2.0, per='µs/byte', once=True, n=5000),
    Case('stall', 'A client that stops reading; four others before and after',
         'stall ms=400 warm=120', _stall,
         'stall_user stall_kernel others rate', MAIN, secs=2.4,
         unit='GB/s after', memory=True, once=True),
    Case('fair', 'Ping-pong on one session beside 4 streams, one worker',
         'fair ms=500 warm=150 chunk=65536', _fair, 'p50 p99 p999 rate cpu',
         SINGLE, secs=0.7, unit='GB/s beside', per='s/GB'),
]
