"""Every text that the programs can log stands in the manual."""
import re
import subprocess

from conftest import TOP

# who writes log lines, or a part of one
CALLS = re.compile(r'\b(?:log_(?:words|text|warnx?|error|begin)|fatalx?|'
                   r'target_warnx|gen_kill|dial_lost|name_text)\(')
LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"(?:\s*"((?:[^"\\]|\\.)*)")*')
CONVERSION = re.compile(r'%[-.*0-9lz]*[a-zA-Z]')
# files whose texts reach a log in other ways
WHOLE = {'priv/reader.c': r'return \(("[^;]*)\);|why = ("[^;]*);',
         'common/conf_file.c': r'why = ("[^;]*);',
         'relay/report.c': r'\] = ("[^"]*"),',
         'helpers/log_target.c': r'sizeof\(text\), t->error([^;]*);',
         'helpers/dial_names.c': r'return \(("[^;]*)\);'}


def uncommented(source):
    return re.sub(r'/\*.*?\*/', ' ', source, flags=re.S)


def arguments(source, start):
    """From behind an opening parenthesis to the closing one."""
    depth, at = 1, start
    while depth:
        if literal := LITERAL.match(source, at):
            at = literal.end()
            continue
        depth += {'(': 1, ')': -1}.get(source[at], 0)
        at += 1
    return source[start:at]


def literals(text):
    """Neighbours are one."""
    for match in LITERAL.finditer(text):
        parts = re.findall(r'"((?:[^"\\]|\\.)*)"', match[0])
        yield ''.join(parts).replace('\\n', '').replace('\\"', '"')


def texts():
    """File and text."""
    for directory in ('priv', 'relay', 'helpers', 'common'):
        for path in sorted((TOP / directory).glob('*.c')):
            name, source = str(path.relative_to(TOP)), uncommented(
                path.read_text(encoding='ascii'))
            for call in CALLS.finditer(source):
                for text in literals(arguments(source, call.end())):
                    yield name, text
            for match in re.finditer(WHOLE.get(name, r'$^'), source):
                for text in literals(match[0]):
                    yield name, text


def manual():
    page = subprocess.run(
        ['mandoc', '-Tascii', '-Owidth=1000', TOP / 'man/sallyport.8'],
        check=True, stdout=subprocess.PIPE, text=True).stdout
    return re.sub('.\b', '', page)


def test_manual():
    page = ' '.join(manual().split())
    missing = []
    for name, text in texts():
        pieces = [piece.strip() for piece in CONVERSION.split(text)]
        if not re.search('[a-z][ -][a-z]|[a-z]: *$', text):
            continue            # only values, or the name of a call
        pattern = '.{1,60}?'.join(map(re.escape, filter(None, pieces)))
        if not re.search(pattern, page):
            missing.append(f'{name}: {text}')
    assert not missing, '\n'.join(missing)
