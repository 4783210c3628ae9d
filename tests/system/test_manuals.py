"""The manual pages, --help and README against the programs and their tables:
all that there is has an entry, and no entry is for something that isn't."""
import re
import subprocess

import pytest

from conftest import BUILD, TOP
from lib.mdoc import Page, options, plain

COMMAND = Page(TOP / 'man/sallyport.8')
LANGUAGE = Page(TOP / 'man/sallyport.conf.5')
PAGES = sorted((TOP / 'man').glob('*.[1-9]'))
README = (TOP / 'README.md').read_text(encoding='utf-8')
CONFIG = 'listen * 81 { remote: localhost 80; }\n'


def source(path):
    return (TOP / path).read_text(encoding='utf-8')


def known_options():
    """{long: (short or None, takes a value)} of start/options.c"""
    text = source('start/options.c')
    table = re.search(r'longs\[\] = \{(.*?)\n\};', text, re.S)[1]
    rows = re.findall(r'\{ "([\w-]+)", (no|required)_argument, NULL, '
                      r"(?:'(\w)'|\w+) \}", table)
    assert len(rows) == table.count('_argument') > 20
    found = {'--' + name: ('-' + short if short else None, value ==
                           'required') for name, value, short in rows}
    shorts = re.search(r'shorts\[\] = ":([\w:]+)"', text)[1]
    assert {'-' + m[1]: m[2] == ':' for m in
            re.finditer(r'(\w)(:?)', shorts)} == {
                short: value for short, value in found.values() if short}
    return found


def known_keywords():
    """{name: (scope, what is expected)} of relay/keyword.c"""
    text = source('relay/keyword.c')
    table = re.search(r'keywords\[KEY_COUNT\] = \{(.*?)\n\};', text, re.S)[1]
    rows = re.findall(r'\[KEY_\w+\] = \{(.*?)\}', table, re.S)
    found = {}
    for row in rows:
        texts = re.findall(r'"([^"]*)"', re.sub(r'"\s+"', '', row))
        assert len(texts) == 2, row
        found[texts[0]] = re.search(r'SCOPE_(\w+)', row)[1], texts[1]
    assert len(found) == len(rows) == table.count('[KEY_') > 10
    return found


OPTIONS, KEYWORDS = known_options(), known_keywords()


def by_name(entries, name_of):
    """{name: ([heads], all their text)}; there may be one for each form."""
    found = {}
    for head, text in entries.items():
        heads, before = found.get(name_of(head), ([], ''))
        found[name_of(head)] = [*heads, head], f'{before} {text}'
    return found


OPTION_ENTRIES = by_name(
    COMMAND.entries(r'\.It Fl ', COMMAND.section('DESCRIPTION')),
    lambda head: options(head)[-1])
KEYWORD_ENTRIES = {name: text for name, (_, text) in by_name(
    LANGUAGE.entries(r'\.It Ic ', LANGUAGE.section('Statements', 'Ss')),
    lambda head: head.split()[2]).items()}


# --- options ---

def test_each_option_has_an_entry():
    assert set(OPTION_ENTRIES) == set(OPTIONS)


@pytest.mark.parametrize('name', OPTIONS)
def test_option_entry(name):
    """Both names, and a value if the program wants one."""
    short, value = OPTIONS[name]
    for head in OPTION_ENTRIES[name][0]:
        assert options(head) == ([short] if short else []) + [name]
        assert bool(re.search(r' (Ar|Cm) ', head)) == value


def test_each_option_is_in_the_synopsis():
    text = ' '.join(COMMAND.section('SYNOPSIS'))
    named = set()
    for words in re.findall(r'Fl ((?:\S+ \| )*\S+)', text):
        for word in words.split(' | '):
            # `.Op Fl DU' is several
            named |= {'-' + word} if word.startswith('-') else \
                {'-' + letter for letter in word}
    for name, (short, _) in OPTIONS.items():
        assert {short, name} & named, name
        named -= {short, name}
    assert not named


def help_entries(box):
    done = box.run('--help', drop=False)
    assert done.returncode == 0 and done.stderr == ''
    return done.stdout, {
        m[2]: (m[1], m[3]) for m in re.finditer(
            r'^  (?:(-\w), |    )(--[\w-]+)(?: (?! )(\S+))?', done.stdout,
            re.M)}


def test_help(box):
    """Each option in a group, in 80 columns."""
    text, entries = help_entries(box)
    assert {name: (short, value is not None)
            for name, (short, value) in entries.items()} == OPTIONS
    assert all(len(line) < 80 for line in text.splitlines())
    group = None
    for line in text.splitlines():
        if not line.startswith(' '):
            group = line if line.endswith(':') else None
        assert group or not re.match(' {2,6}-', line), line


@pytest.mark.parametrize('name', OPTIONS)
def test_the_program_knows_it(box, name):
    """The built one, which getopt's table is part of."""
    value = OPTIONS[name][1]
    done = box.run('--check', name if value else name + '=x', drop=False)
    assert done.returncode == 2
    assert ('expected a value' if value else 'unknown option') in done.stderr
    if not value:
        done = box.run(name, '--bogus', drop=False)
        assert 'bogus' in done.stderr or done.returncode == 0


@pytest.mark.parametrize('name', [n for n, o in OPTIONS.items() if o[1]])
def test_option_range(box, name):
    """The numbers that the program names stand in the manual."""
    done = box.run('--check', f'{name}=0x', '-c', box.write(CONFIG),
                   drop=False)
    said = re.search(r'\d+ to \d+', done.stderr)
    if said:
        assert said[0] in OPTION_ENTRIES[name][1]
    assert said or name not in ('--workers', '--max-connections',
                                '--buffer-size', '--local-port')


@pytest.mark.parametrize('path, macro, name', [
    ('start/options.c', 'DEFAULT_CONFIG', '--config'),
    ('start/options.c', 'DEFAULT_USER', '--username'),
    ('common/logspec.h', 'LOGSPEC_DEFAULT', '--log')])
def test_option_default(box, path, macro, name):
    value = re.search(rf'#define\s+{macro}\s+"([^"]*)"', source(path))[1]
    for text in OPTION_ENTRIES[name][1], help_entries(box)[0]:
        assert re.search(rf'(?<![\w:,/]){re.escape(value)}(?![\w,/])', text)


def test_default_numbers(box):
    most = re.search(r'SESSIONS_DEFAULT\s+(\d+)', source('relay/budget.h'))[1]
    assert f'The default is {most},' in OPTION_ENTRIES['--max-connections'][1]
    done = box.run('--print-config', '-p', 81, '-r', 'localhost', '-o', 80)
    size = int(re.search(r'buffer-size: (\d+)k;', done.stdout)[1])
    assert f'The default is {size * 1024}.' in \
        OPTION_ENTRIES['--buffer-size'][1]


@pytest.mark.parametrize('page', [COMMAND, LANGUAGE],
                         ids=lambda page: page.path.name)
def test_no_other_options(page):
    """What the text says of options is of ones that there are."""
    known = set(OPTIONS) | {short for short, _ in OPTIONS.values() if short}
    for line in page.lines:
        for option in options(line):
            # `.Op Fl DU' is several
            assert option in {*known, '--name'} or all(
                '-' + letter in known for letter in option[1:]), line


def test_options_of_tcpproxy(box):
    """The same for the compatibility command: table, manual, --help."""
    table = re.findall(r'\{ "(-\w)?(?:", ")?(--[\w-]+)"(?:, "--[\w-]+")?, '
                       r'KIND_(\w+)', source('compat/tcpproxy_options.c'))
    assert len(table) > 15
    page = Page(TOP / 'man/tcpproxy.8')
    entries = page.entries(r'\.It Fl ', page.section('DESCRIPTION'))
    assert sorted(options(head) for head in entries) == sorted(
        [short, name] if short else [name] for short, name, _ in table)
    text = subprocess.run([BUILD / 'sbin/tcpproxy', '--help'], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    assert sorted(re.findall(r'^  (?:(-\w), |    )(--[\w-]+)', text, re.M)) \
        == sorted((short, name) for short, name, _ in table)
    assert all(len(line) < 80 for line in text.splitlines())


# --- keywords ---

def test_each_keyword_has_an_entry():
    assert set(KEYWORD_ENTRIES) == set(KEYWORDS)


@pytest.mark.parametrize('name', KEYWORDS)
def test_keyword_entry(name):
    """Range and place, as the program's table has them."""
    scope, expected = KEYWORDS[name]
    text = KEYWORD_ENTRIES[name]
    for numbers in re.findall(r'from \S+ to \w+', expected):
        assert numbers in text
    if expected.endswith('or none'):
        assert 'none' in text.split('.')[0]
    assert 'whole seconds' not in expected or 'whole seconds' in text
    assert ('can only stand in a stanza' in text) == (scope == 'STANZA')
    assert ('can only stand outside of stanzas' in text) == (
        scope == 'OUTSIDE')


def test_keyword_defaults(box):
    """What --print-config shows for a stanza in which nothing was said."""
    done = box.run('--print-config', '-c', box.write(CONFIG))
    assert done.returncode == 0
    values = dict(re.findall(r'([\w-]+): (.*);', done.stdout))
    assert values.pop('remote') == 'localhost 80'
    # `yes' is printed as what it stands for
    assert f'yes stands for {values["keepalive"]}' in \
        KEYWORD_ENTRIES['keepalive']
    values['keepalive'] = 'yes'
    assert set(values) <= set(KEYWORDS)
    for name, value in values.items():
        text = KEYWORD_ENTRIES[name]
        assert re.search(r'(The default(,| is) |and is the default)', text)
        said = re.search(r'The default(?:, | is:? )(\S+?)[.,:]?( |$)', text)
        assert (said[1] if said else re.search(
            r'(\w+) [^.;]*and is the default', text)[1]) == value, name


@pytest.mark.parametrize('name', KEYWORDS)
def test_the_program_knows_the_keyword(box, name):
    status, errors = box.check(f'listen * 81 {{ {name}: ; }}\n')
    assert status == 1 and 'unknown keyword' not in errors
    status, errors = box.check(f'listen * 81 {{ {name}x: ; }}\n')
    assert status == 1 and 'unknown keyword' in errors


# --- examples ---

def configurations(texts):
    return [text for text in texts
            if re.search(r'^listen \S+( \S+)?\s*\{', text, re.M)]


def readme_blocks():
    """Indented by four."""
    blocks = re.findall(r'(?:^(?:    .*)?\n)+', README, re.M)
    return [re.sub('^    ', '', b, flags=re.M).strip() + '\n' for b in blocks]


def all_configurations():
    found = []
    for page in (COMMAND, LANGUAGE):
        found += [(page.path.name, text) for text in
                  configurations(page.literals())]
    found += [('README', text) for text in configurations(
        readme_blocks() + re.findall('`(listen [^`]*})`', README))]
    text = source('dist/sallyport.conf')
    found.append(('dist', text))
    # what stands there as a comment is no less an example
    found.append(('dist, all', re.sub('^#(?=listen |[{}]|  )', '', text,
                                      flags=re.M)))
    return found


EXAMPLES = all_configurations()


@pytest.mark.parametrize('text', [e[1] for e in EXAMPLES],
                         ids=[e[0] for e in EXAMPLES])
def test_example_configuration(box, text):
    sockets = box.tmp / 'sockets'
    sockets.mkdir(mode=0o755)
    status, errors = box.check(text, *(
        ('--socket-dir', sockets) if 'listen unix:' in text else ()))
    assert status == 0 and errors == ''


def test_there_are_examples():
    assert len([e for e in EXAMPLES if e[0] == 'sallyport.conf.5']) > 2
    assert len([e for e in EXAMPLES if e[0] == 'README']) > 0


def commands():
    """Those with options of sallyport, in manuals and README."""
    texts = [t for path in PAGES for t in Page(path).literals()]
    for text in texts + readme_blocks():
        for line in text.replace('\\\n', ' ').splitlines():
            line = re.sub(r'^[#$] ', '', line)
            if re.match(r'(build/sbin/)?sallyport (?!.*\.\.\.)-', line):
                yield re.sub(r'\s+', ' ', line.split(' #')[0]).strip()


COMMANDS = sorted(set(commands()))


@pytest.mark.parametrize('line', COMMANDS)
def test_example_command(box, line):
    """With --check: it is understood, and what it describes is in order."""
    words = line.split()[1:]
    box.write(CONFIG)
    for option, value in (('-c', box.conf), ('-u', 'nobody'),
                          ('-C', box.jail), ('--socket-dir', box.tmp)):
        if option in words:
            words[words.index(option) + 1] = value
    if not {'-p', '-l', '-c'} & set(words):
        words += ['-c', box.conf]
    done = box.run('--check', *words, drop=False)
    assert done.returncode == 0 and done.stderr == ''


def test_there_are_commands():
    assert len(COMMANDS) > 5


def test_diagnostics(box):
    """The example of a message is what the program says."""
    blocks = LANGUAGE.literals()
    said, = (b for b in blocks if b.startswith('/etc/sallyport.conf:'))
    line, column = map(int, re.match(r'[^:]*:(\d+):(\d+):', said).groups())
    quoted = said.splitlines()[-2].removeprefix('    ')
    before = CONFIG.replace('}', '') + '\n' * (line - 2)
    status, errors = box.check(before + quoted + '\n}\n')
    assert status == 1 and quoted[column - 1:].startswith('5x')
    assert plain(errors.splitlines()[:-1]) == plain(said.replace(
        '/etc/sallyport.conf', str(box.conf)).splitlines()[:-1])
    assert errors.splitlines()[-1] == said.splitlines()[-1]


# --- form ---

@pytest.mark.parametrize('path', PAGES, ids=lambda path: path.name)
def test_mandoc(path):
    done = subprocess.run(['mandoc', '-Tlint', path], check=False,
                          stdout=subprocess.PIPE, text=True)
    assert not [line for line in done.stdout.splitlines()
                if 'referenced manual not found' not in line]


@pytest.mark.parametrize('path', PAGES, ids=lambda path: path.name)
def test_width(path):
    """Nothing is wider than a terminal."""
    done = subprocess.run(['mandoc', '-Tascii', '-Owidth=79', path],
                          check=True, stdout=subprocess.PIPE, text=True)
    lines = re.sub('.\b', '', done.stdout).splitlines()
    assert not [line for line in lines if len(line) > 79]
