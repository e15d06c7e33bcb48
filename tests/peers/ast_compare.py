"""Hold pyscan (through build/bin/pydump) against Python's own ast.

usage: ast_compare.py PYDUMP TREE...

Every *.py file below the trees: the same definitions with their decorators,
the same imports, the same calls. Prints each difference; exit 1 if any.
"""
import ast
import subprocess
import sys
import unicodedata
import warnings
from collections import Counter
from pathlib import Path

warnings.simplefilter("ignore")


def dotted(node, parens):
    """(text, line) of what is called, as pyscan tells it."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        parts, n = [node.attr], node.value
        while isinstance(n, ast.Attribute):
            parts.append(n.attr)
            n = n.value
        if isinstance(n, ast.Name) and not parens:
            return ".".join([n.id] + parts[::-1])
        return "?." + node.attr
    return "?"


class Source:
    def __init__(self, text):
        self.lines = text.split("\n")

    def skip(self, line, col):
        """Position of the next byte that is no blank, comment or line end."""
        while line <= len(self.lines):
            raw = self.lines[line - 1].encode()
            while col < len(raw):
                c = raw[col:col + 1]
                if c == b"#":
                    break
                if c == b"\\" and col == len(raw.rstrip(b"\r")) - 1:
                    break
                if c not in b" \t\r\f":
                    return c, line, col
                col += 1
            line, col = line + 1, 0
        return b"", line, 0


def name_parens(src, node):
    """Does a parenthesis close inside the dotted name `node`?"""
    n = node.value
    while isinstance(n, ast.Attribute):
        n = n.value
    m = node.value
    while True:
        if src.skip(m.end_lineno, m.end_col_offset)[0] == b")":
            return True
        if m is n:
            return False
        m = m.value


class Walk(ast.NodeVisitor):
    def __init__(self, text):
        self.src, self.out, self.stack = Source(text), [], []
        self.fixed = None

    def definition(self, node, kind):
        decs = ""
        for d in node.decorator_list:
            called, f = isinstance(d, ast.Call), d
            if called:
                f = d.func
            name = dotted(f, False)
            if "?" in name:  # an expression: only told as such
                name, called = "?", False
            decs += f" @{name}:{d.lineno}"
            decs += "()" if called else ""
            if called and any(k.arg == "trace" for k in d.keywords):
                decs += "trace"
        qual = ".".join(self.stack + [node.name])
        self.out.append(f"D {kind} {qual} {node.lineno}{decs}")
        for d in node.decorator_list:
            self.visit(d)
        self.stack.append(node.name)
        for field, value in ast.iter_fields(node):
            if field == "decorator_list":
                continue
            for v in value if isinstance(value, list) else [value]:
                if isinstance(v, ast.AST):
                    self.visit(v)
        self.stack.pop()

    def visit_FunctionDef(self, node):
        self.definition(node, "f")

    def visit_AsyncFunctionDef(self, node):
        self.definition(node, "a")

    def visit_ClassDef(self, node):
        self.definition(node, "c")

    def visit_Import(self, node):
        for a in node.names:
            self.out.append(f"I {node.lineno} 0 {a.name}  {a.asname or ''}")

    def visit_ImportFrom(self, node):
        for a in node.names:
            self.out.append(f"I {node.lineno} {node.level} "
                            f"{node.module or ''} {a.name} "
                            f"{a.asname or a.name}")

    def visit_JoinedStr(self, node):
        outer, self.fixed = self.fixed, self.fixed or node.lineno
        self.generic_visit(node)
        self.fixed = outer

    def visit_Call(self, node):
        f = node.func
        if self.fixed:
            self.out.append(f"C {self.fixed} {dotted(f, False)}")
        else:
            c, line, _ = self.src.skip(f.end_lineno, f.end_col_offset)
            if c == b")" and isinstance(f, (ast.Name, ast.Attribute)):
                self.out.append(f"C {line} ?")
            elif c == b")":
                self.out.append(f"C {line} ?")
            else:
                parens = isinstance(f, ast.Attribute) and \
                    name_parens(self.src, f)
                self.out.append(f"C {f.end_lineno} {dotted(f, parens)}")
        self.generic_visit(node)


def main():
    dump, trees = sys.argv[1], sys.argv[2:]
    files = sorted(str(p) for t in trees for p in Path(t).rglob("*.py"))
    bad = records = 0
    theirs, name = {}, None
    for i in range(0, len(files), 500):
        out = subprocess.run([dump] + files[i:i + 500], check=True,
                             capture_output=True).stdout.decode(
                                 errors="replace")
        for line in out.split("\n")[:-1]:
            if line.startswith("F "):
                name = line[2:]
                theirs[name] = Counter()
            else:
                # Python normalises identifiers, a scanner of bytes does not
                theirs[name][unicodedata.normalize("NFKC", line)] += 1
    for f in files:
        try:
            text = Path(f).read_bytes().decode()
        except UnicodeDecodeError:
            print(f"{f}: not UTF-8; left out")
            continue
        if text.startswith("\ufeff"):
            text = text[1:]
        try:
            tree = ast.parse(text)
        except SyntaxError as e:
            print(f"{f}: not Python {sys.version_info[:2]}: {e}; left out")
            bad += "fixtures" in f
            continue
        w = Walk(text)
        w.visit(tree)
        mine = Counter(w.out)
        records += sum(mine.values())
        for line in sorted((mine - theirs[f]) | (theirs[f] - mine)):
            who = "ast alone" if line in mine - theirs[f] else "pyscan alone"
            print(f"{f}: {who}: {line}")
            bad += 1
    print(f"ast_compare: {len(files)} files, {records} records, "
          f"{bad} differences")
    sys.exit(1 if bad or not files else 0)


main()
