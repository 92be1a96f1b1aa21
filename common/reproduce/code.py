"""A hash of the code that a run depends on, from the sources alone: nothing is imported.

It covers a paper's own modules but for its declarations, the modules that the trial and the
settings name, and whatever of `papers` and `common` these import, in turn. Docstrings, lines of
comment and blank lines do not count.
"""

import hashlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from common.reproduce.spec import Experiment

ROOT = Path(__file__).parents[2]
PACKAGES = ("common", "papers")
# What declares or starts runs, and computes nothing in them.
DECLARATIONS = ("paper.py", "__main__.py")

_OURS = rf"(?:{'|'.join(PACKAGES)})"
_TARGET = re.compile(rf"({_OURS}(?:\.\w+)+):(\w+)")
_QUOTED = re.compile(rf'"({_OURS}(?:\.\w+)+):(\w+)"')
_IMPORT = re.compile(rf"^ *import ({_OURS}(?:\.\w+)*)(?: as (\w+))?(?: *#.*)?$", re.MULTILINE)
_FROM = re.compile(rf"^ *from ({_OURS}(?:\.\w+)*) import (\([^)]*\)|[^\n(]+)", re.MULTILINE)
_NAME = re.compile(r"(\w+)(?: as (\w+))?")
_COMMENT = re.compile(r"#.*")
_LAZY = re.compile(r"lazy_exports\(([^)]*)\)")
_KEYWORD = re.compile(r'(\w+)="(\w+)"')


class _Module(NamedTuple):
    """A source file: hash of its code, what it imports, and where it gets its names from.

    `imports` and the values of `names` are (module, name), name "" for the module itself.
    """

    digest: str
    imports: frozenset[tuple[str, str]]
    names: dict[str, tuple[str, str]]


def code_hash(
    paper: str, experiment: Experiment, preset: str, variant: str, root: Path = ROOT
) -> str:
    """Twelve hex digits of the code behind a run.

    Args:
        paper: name of the paper.
        experiment: one of its experiments.
        preset: name of a preset.
        variant: name of a variant.
        root: directory that holds `common` and `papers`.

    Returns:
        The hash; it changes with any statement of a module that the run may execute.
    """
    waiting = {
        (f"papers.{paper}.{path.stem}".removesuffix(".__init__"), "")
        for path in (root / "papers" / paper).glob("*.py")
        if path.name not in DECLARATIONS
    }
    waiting |= set(_targets([experiment.trial, experiment.settings(preset, variant)]))
    return _closure_hash(frozenset(waiting), root)


@cache
def _closure_hash(start: frozenset[tuple[str, str]], root: Path) -> str:
    seen: set[tuple[str, str]] = set()
    files: dict[str, str] = {}
    waiting = set(start)
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        module, name = one
        path = _path(module, root)
        if path is None:
            continue
        source = _read(path)
        if name and path.name == "__init__.py":
            # A package is asked for one name: only the module that has it counts.
            if _path(f"{module}.{name}", root) is not None:
                waiting.add((f"{module}.{name}", ""))
                continue
            if name in source.names:
                waiting.add(source.names[name])
                continue
        files[path.relative_to(root).as_posix()] = source.digest
        waiting |= source.imports
    text = "\n".join(f"{path} {digest}" for path, digest in sorted(files.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _targets(value: Any) -> Iterator[tuple[str, str]]:
    """The (module, name) that strings "package.module:name" in settings stand for."""
    if isinstance(value, str):
        if match := _TARGET.fullmatch(value):
            yield match[1], match[2]
    elif isinstance(value, dict):
        for one in value.values():
            yield from _targets(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _targets(one)


@cache
def _path(module: str, root: Path) -> Path | None:
    base = root.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


@cache
def _read(path: Path) -> _Module:
    code, typing = _split(path.read_text(encoding="utf-8"))
    imports = set(_imported(code))
    names = dict(imports) | dict(_imported(typing))
    for call in _LAZY.findall(code):
        package = ".".join(path.parent.parts[-2:])
        names |= {name: (f"{package}.{module}", name) for name, module in _KEYWORD.findall(call)}
    sources = {source for _, source in imports} | set(_QUOTED.findall(code))
    digest = hashlib.sha256(f"{code}\n{typing}".encode()).hexdigest()
    return _Module(digest, frozenset(sources), names)


def _split(text: str) -> tuple[str, str]:
    """The code of a source file, and what of it is for type checkers only.

    By lines, as ruff formats them, since parsing a hundred files would take most of the two
    seconds that the ledger has.
    """
    code: list[str] = []
    typing: list[str] = []
    indent = -1  # of the `if TYPE_CHECKING:` we are in
    string = docstring = False
    last = ":"  # the end of a line of code after which a string is a docstring
    for line in text.splitlines():
        stripped = line.strip()
        if not string:
            if not stripped or stripped.startswith("#"):
                continue
            docstring = last == ":" and stripped.startswith(('"""', 'r"""'))
            depth = len(line) - len(line.lstrip())
            indent = indent if depth > indent else -1
        if not docstring:
            (code if indent < 0 else typing).append(line.rstrip())
            last = stripped[-1:]
            if stripped.endswith("TYPE_CHECKING:"):
                indent = depth
        if line.count('"""') % 2:
            string = not string
        if not string and docstring:
            docstring, last = False, "."
    return "\n".join(code), "\n".join(typing)


def _imported(code: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Name bound, and the (module, name) it comes from, of imports from our packages."""
    for module, alias in _IMPORT.findall(code):
        yield alias or module, (module, "")
    for module, names in _FROM.findall(code):
        for name, alias in _NAME.findall(_COMMENT.sub("", names)):
            yield alias or name, (module, name)
