"""The code of a paper's layers as it stands in its files: equations left, code right."""

import ast
from dataclasses import dataclass
from inspect import cleandoc
from pathlib import Path

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

_REGISTERED = "register_keras_serializable"


@dataclass(frozen=True)
class ClassSource:
    """A public class of a module.

    Attributes:
        name: of the class.
        line: at which its code begins.
        docstring: of the class, with its indentation taken away.
        code: of the class, without that docstring.
        lines: their numbers in the file.
    """

    name: str
    line: int
    docstring: str
    code: str
    lines: tuple[int, ...]


def classes_of(path: Path) -> list[ClassSource]:
    """The classes of a module that Keras can save by name, or that are public, in their order."""
    text = path.read_text(encoding="utf-8")
    rows = text.splitlines()
    found = []
    for node in ast.parse(text).body:
        if not isinstance(node, ast.ClassDef) or not ast.get_docstring(node):
            continue
        first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
        quoted = node.body[0]
        assert quoted.end_lineno is not None and node.end_lineno is not None
        taken = [
            line
            for line in range(first, node.end_lineno + 1)
            if not quoted.lineno <= line <= quoted.end_lineno
        ]
        code = "\n".join(rows[line - 1] for line in taken)
        docstring = cleandoc(ast.get_docstring(node, clean=False) or "")
        found.append(ClassSource(node.name, first, docstring, code, tuple(taken)))
    return found


def highlighted(source: ClassSource, prefix: str) -> str:
    """The code as HTML, each line with its number in the file and the anchor `<prefix>-<line>`."""
    text = highlight(source.code, PythonLexer(stripnl=False), HtmlFormatter(nowrap=True))
    rows = text.rstrip("\n").split("\n")
    lines = []
    for row, line in zip(rows, source.lines, strict=True):
        # Not a single line is given up between the pieces of a class.
        lines.append(
            f'<span id="{prefix}-{line}"><a class="line" href="#{prefix}-{line}" tabindex="-1" '
            f'aria-hidden="true" data-line="{line}"></a>{row}\n</span>'
        )
    return f'<pre class="source" tabindex="0"><code>{"".join(lines)}</code></pre>'


def described(source: ClassSource) -> str:
    """The docstring up to its arguments: what the layer is, its equations and its state."""
    text = source.docstring
    for name in ("Args:", "Returns:", "Raises:"):
        text = text.partition(f"\n{name}")[0]
    return text.strip()
