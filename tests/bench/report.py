"""Tables, the standing against the targets, Markdown and charts."""
import pathlib
import statistics
import subprocess

import peers

SPREAD = ('rate', 'cpu', 'p99')     # shown with their spread
NAMES = {peers.OURS: '**sallyport**'}


def median(results, key):
    """Over the rounds, or None if there is no such number."""
    values = [result[key] for result in results or () if key in result]
    return statistics.median(values) if values else None


def spread(results, key):
    """Half the way from the least to the most, in % of the median."""
    values = [result[key] for result in results if key in result]
    middle = statistics.median(values)
    if len(values) < 2 or middle == 0:
        return None
    return 50 * (max(values) - min(values)) / middle


def haproxies(found):
    return [found[name] for name in peers.HAPROXIES if found.get(name)]


def best(found, key):
    """The HAProxy variant with the best rate, or lowest anything else."""
    values = [value for value in
              (median(results, key) for results in haproxies(found))
              if value is not None]
    if not values:
        return None
    return max(values) if key in ('rate', 'up', 'down') else min(values)


def best_rate_cpu(found):
    """CPU of the HAProxy variant that has the best rate."""
    all_of = [results for results in haproxies(found)
              if median(results, 'rate') is not None]
    if not all_of:
        return None
    return median(max(all_of, key=lambda r: median(r, 'rate')), 'cpu')


def ratio(one, other):
    return None if one is None or not other else one / other


def show(value, form='{:.2f}'):
    return '-' if value is None else form.format(value)


# --- tables ------------------------------------------------------------------

def table(rows):
    """Markdown that can be read as it is."""
    rows = [[str(cell) for cell in row] for row in rows]
    width = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(width[0])]
        cells += [cell.rjust(w) for cell, w in zip(row[1:], width[1:])]
        lines.append('| ' + ' | '.join(cells) + ' |')
    rule = '|' + '-' * (width[0] + 2) + '|' + \
        '|'.join('-' * (w + 1) + ':' for w in width[1:]) + '|'
    return '\n'.join([lines[0], rule, *lines[1:]])


def cell(results, key, form):
    value = median(results, key)
    if value is None:
        return '-'
    text = form.format(value)
    if key in SPREAD and (part := spread(results, key)) is not None:
        text += f' ±{part:.0f}%'
    return text


def case_table(case, found):
    from cases import COLUMNS
    with_ratio = bool(haproxies(found))
    keys = [key for key in case.show
            if any(median(results, key) is not None
                   for results in found.values())]
    head = ['', *[case.heading(key) for key in keys]]
    ratios = [key for key in ('rate', 'cpu') if key in keys] \
        if with_ratio else []
    head += [f'{"rate" if key == "rate" else "CPU"} : HAProxy'
             for key in ratios]
    if 'rate' in keys and 'direct' in found:
        head.append('rate : direct')
    rows = [head]
    for name in case.who:
        if name not in found:
            continue
        results = found[name]
        row = [NAMES.get(name, name)]
        row += [cell(results, key, COLUMNS[key][1]) for key in keys]
        row += [show(ratio(median(results, key), best(found, key)))
                for key in ratios]
        if head[-1] == 'rate : direct':
            row.append(show(ratio(median(results, 'rate'),
                                  median(found['direct'], 'rate'))))
        rows.append(row)
    return table(rows)


# --- targets -----------------------------------------------------------------

# case: (what, rate at least, CPU at most), both against the best HAProxy
TARGETS = {
    'bulk-1': ('bulk, 1 stream', 1.8, 0.5),
    'bulk-16': ('bulk, 16 streams', 1.4, 0.5),
    'veth-1': ('bulk on veth, 1 stream', 1.1, 0.9),
    'veth-16': ('bulk on veth, 16 streams', 1.1, 0.9),
    'conns': ('short connections', 1.1, 0.85),
    'pingpong-64': ('ping-pong, 64 sessions', 1.2, 0.85),
    'pingpong-1': ('ping-pong, 1 session', None, 1.0),
}


def verdict(value, limit, at_least=False):
    if value is None:
        return '-'
    good = value >= limit if at_least else value <= limit
    return 'met' if good else '**missed**'


def _ratio_rows(results):
    rows = []
    for name, (what, rate, cpu) in TARGETS.items():
        found = results.get(name, {})
        ours = found.get(peers.OURS)
        if not ours or not haproxies(found):
            continue
        if rate is not None:
            value = ratio(median(ours, 'rate'), best(found, 'rate'))
            rows.append([f'{what}: rate', show(value), f'≥ {rate}',
                         verdict(value, rate, True)])
        value = ratio(median(ours, 'cpu'), best_rate_cpu(found))
        lowest = ratio(median(ours, 'cpu'), best(found, 'cpu'))
        rows.append([f'{what}: CPU (against the lowest CPU: {show(lowest)})',
                     show(value), f'≤ {cpu}', verdict(value, cpu)])
        if name == 'pingpong-1':
            for key in ('p50', 'p99'):
                value = ratio(median(ours, key), best(found, key))
                rows.append([f'{what}: {key}', show(value), '≤ 1.0',
                             verdict(value, 1.0)])
    return rows


def _bound_rows(results):
    def ours(case, key, name=peers.OURS):
        return median(results.get(case, {}).get(name), key)

    rows = [(what, ours(case, key), limit, at_least)
            for what, case, key, limit, at_least in (
                ('short connections: failed', 'conns', 'fails', 0, False),
                ('idle session: kB user', 'idle-8000', 'user', 0.15, False),
                ('idle session: kB with kernel', 'idle-8000', 'all', 5.7,
                 False),
                ('idle session: fds', 'idle-8000', 'fds', 2.0, False),
                ('8,000 idle sessions: CPU %', 'idle-8000', 'idle', 0.1,
                 False),
                ('stalled client: growth MB, user', 'stall', 'stall_user', 8,
                 False),
                ('stalled client: others after/before', 'stall', 'others',
                 0.95, True))]
    user, kernel = ours('stall', 'stall_user'), ours('stall', 'stall_kernel')
    if user is not None:
        rows.append(('stalled client: growth MB with the kernel',
                     user + kernel, 8, False))
    few, many = ours('idle-100', 'cpu'), ours('idle-8000', 'cpu')
    rows.append(('CPU of a message, 8,000 : 100 sessions', ratio(many, few),
                 1.1, False))
    fair = results.get('fair', {})
    rows.append(('ping-pong p99 beside streams : HAProxy',
                 ratio(median(fair.get('sallyport-w1'), 'p99'),
                       best(fair, 'p99')), 1.0, False))
    rows.append(('imbalance of two workers, %', ours('idle-8000',
                                                     'imbalance'), 20, False))
    return [[what, show(value, '{:.3g}'), f'{"≥" if up else "≤"} {limit}',
             verdict(value, limit, up)]
            for what, value, limit, up in rows if value is not None]


def _sandbox_rows(results):
    """Both by an ordinary user; a rate may be 5 % lower, CPU 5 % higher."""
    rows = []
    for name, found in results.items():
        pair = found.get('user-sandbox'), found.get('user-bare')
        if not all(pair):
            continue
        for key, limit in (('rate', 0.95), ('cpu', 1.05)):
            value = ratio(*(median(results, key) for results in pair))
            rows.append([f'sandbox : without, {name}: {key}', show(value),
                         f'{"≥" if key == "rate" else "≤"} {limit}',
                         verdict(value, limit, key == 'rate')])
    return rows


def standing(results):
    rows = _ratio_rows(results) + _bound_rows(results) + \
        _sandbox_rows(results)
    if not rows:
        return ''
    return '## Against the targets\n\n' + table(
        [['', 'measured', 'target', ''], *rows]) + '\n\n'


# --- Markdown ----------------------------------------------------------------

def text(all_cases, results, notes, about):
    versions = {}
    for name, version in about['versions'].items():
        if version:
            versions.setdefault(version, []).append(name)
    lines = [
        '# Results of one run', '',
        f'* {about["date"]}, {about["seconds"]:.0f} s',
        f'* {about["cores"]} × {about["cpu"]}, Linux {about["kernel"]}, '
        f'congestion control {about["congestion"]}',
        f'* load average before the run {about["load"]}; while measuring, '
        f'{max(about["foreign"], 0):.0f} % of the machine',
        '  went to others than proxy and load generator',
        *[f'* {", ".join(names)}: {version}'
          for version, names in versions.items()], '',
        'Each number is the median of the rounds; ± is half the way from '
        'the least to\nthe most. `: HAProxy` is the ratio to the best of its '
        'variants in that column,\nwhich need not be the same one for rate '
        'and CPU. CPU is that of all processes\nof a proxy, '
        '"machine" that of everything, "load" that of the load generator.',
        '']
    body = [f'## {case.title}\n\n`{case.name}`\n\n'
            f'{case_table(case, results[case.name])}\n'
            for case in all_cases if case.name in results]
    if notes:
        body.append('## Not measured\n\n' +
                    '\n'.join(f'* {note}' for note in notes) + '\n')
    return '\n'.join(lines) + '\n' + standing(results) + '\n'.join(body)


# --- charts ------------------------------------------------------------------

# file: title, key, unit, cases
CHARTS = {
    'bulk.svg': ('Bulk: GB/s', 'rate',
                 ('bulk-1', 'bulk-16', 'veth-1', 'veth-16')),
    'bulk-cpu.svg': ('Bulk: CPU seconds per GB', 'cpu',
                     ('bulk-1', 'bulk-16', 'veth-1', 'veth-16')),
    'conns.svg': ('Short connections and messages per second', 'rate',
                  ('conns', 'pingpong-1', 'pingpong-64')),
    'conns-cpu.svg': ('CPU µs per short connection and message', 'cpu',
                      ('conns', 'pingpong-1', 'pingpong-64')),
    'idle.svg': ('Memory of an idle session with the kernel, kB', 'all',
                 ('idle-8000',)),
}

GNUPLOT = """set terminal svg size 860,380 background rgb 'white'
set output '{path}'
set title "{title}"
set style data histograms
set style histogram clustered gap 1
set style fill solid 0.85 border -1
set boxwidth 0.9
set yrange [0:*]
set grid ytics
set key outside right top
set xtics nomirror rotate by -30 scale 0
set datafile missing '-'
$data << END
{data}
END
plot {plots}
"""


def chart(path, title, key, names, results):
    names = [name for name in names if name in results]
    # a process for each connection would dwarf the others' CPU
    who = [peer.name for peer in peers.ALL if peer.user is None and
           not (peer.once and key == 'cpu') and peer.name != 'direct' and
           any(median(results[name].get(peer.name), key) is not None
               for name in names)]
    if not who:
        return
    rows = [' '.join([name, *[show(median(results[case].get(name), key),
                                   '{:.6g}') for case in names]])
            for name in who]
    plots = ', '.join(f"$data using {i}:xtic(1) title '{name}'"
                      for i, name in enumerate(names, 2))
    subprocess.run(['gnuplot'], check=True, text=True,
                   input=GNUPLOT.format(path=path, title=title, plots=plots,
                                        data='\n'.join(rows)))


def write(out, content, all_cases, results):
    out = pathlib.Path(out)
    made = []
    for name, (title, key, names) in CHARTS.items():
        chart(out / name, title, key, names, results)
        if (out / name).exists():
            made.append(f'![{title}]({name})')
    (out / 'RESULTS.md').write_text(content + ('\n## Charts\n\n' +
                                    '\n\n'.join(made) + '\n' if made else ''))
