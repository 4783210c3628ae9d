"""The manual pages, as far as tests compare them with the programs."""
import re

# Macros whose name is not part of the text.
INLINE = {'Ar', 'Cm', 'Dq', 'Dv', 'Em', 'Ev', 'Fl', 'Ic', 'Li', 'No', 'Ns',
          'Oc', 'Oo', 'Op', 'Pa', 'Pq', 'Ql', 'Sq', 'Sy', 'Xr'}


def plain(lines):
    """Their words, without macros."""
    words = []
    for line in lines:
        if line.startswith('.') and not line.startswith('.\\"'):
            line = ' '.join(w for w in line[1:].split() if w not in INLINE)
        words += line.replace('\\&', '').replace('\\e', '\\').split()
    return re.sub(r' ([.,:;)])', r'\1', ' '.join(words))


class Page:
    def __init__(self, path):
        self.path = path
        self.lines = path.read_text(encoding='utf-8').splitlines()

    def section(self, name, macro='Sh'):
        """The lines below `.Sh name', or `.Ss name'."""
        start = self.lines.index(f'.{macro} {name}') + 1
        ends = ('.Sh ',) if macro == 'Sh' else ('.Sh ', '.Ss ')
        for n, line in enumerate(self.lines[start:], start):
            if line.startswith(ends):
                return self.lines[start:n]
        return self.lines[start:]

    def entries(self, pattern, lines):
        """Of `.It ...' lines that match: {line: its text}; the text goes on
        to the next `.It' of the same list."""
        found, depth = {}, 0
        open_at = []            # (depth, head)
        for line in lines:
            if line.startswith('.El') or line.startswith('.It'):
                open_at = [o for o in open_at if o[0] < depth]
            if line.startswith('.Bl'):
                depth += 1
            elif line.startswith('.El'):
                depth -= 1
            for _, head in open_at:
                found[head].append(line)
            if line.startswith('.It ') and re.match(pattern, line):
                assert line not in found, f'{self.path.name}: twice: {line}'
                found[line] = []
                open_at.append((depth, line))
        return {head: plain([head[4:]] + text)
                for head, text in found.items()}

    def literals(self):
        """What stands in each .Bd -literal, and behind each .Dl."""
        found, block = [], None
        for line in self.lines:
            text = line.replace('\\e', '\\').replace('\\(dq', '"')
            if line.startswith('.Bd -literal'):
                block = []
            elif line == '.Ed':
                found.append('\n'.join(block) + '\n')
                block = None
            elif line.startswith('.Dl '):
                found.append(text[4:] + '\n')
            elif block is not None:
                block.append(text.removeprefix('\\&'))
        return found


def options(head):
    """['-C', '--chroot'] of `.It Fl C Ar directory , Fl -chroot ...'."""
    return ['-' + name for name in re.findall(r'\bFl (\S+)', head)]
