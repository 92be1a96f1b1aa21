"""A hash of the code that a run depends on, from the sources alone: nothing is imported.

It covers the modules that the trial and the settings name, and whatever of `papers` and `common`
these import, in turn. What counts is the syntax tree: comments, line breaks, docstrings and the
annotations of functions do not.
"""

import ast
import hashlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from common.reproduce.declare.spec import Experiment

ROOT = Path(__file__).parents[3]
PACKAGES = ("common", "papers")

_TARGET = re.compile(rf"((?:{'|'.join(PACKAGES)})(?:\.\w+)+):(\w+)")
# Fields of a syntax tree that follow from others, or that only type checkers read.
_UNSEEN = {"ctx", "kind", "returns", "type_comment", "type_ignores", "type_params"}
_TYPING = ("__future__", "collections.abc", "typing")
# Nodes that may tell what a module imports.
_TELLING = (ast.Call, ast.Constant, ast.Import, ast.ImportFrom)

Name = tuple[str, str]
"""Module and name, "" for the module itself."""


class _Module(NamedTuple):
    """A source file: hash of its code, what it imports, and where it gets its names from."""

    path: str
    is_package: bool
    digest: str
    imports: frozenset[Name]
    names: dict[str, Name]


def code_hash(experiment: Experiment, preset: str, variant: str, root: Path = ROOT) -> str:
    """Twelve hex digits of the code behind a run.

    Args:
        experiment: of a paper.
        preset: name of a preset.
        variant: name of a variant.
        root: directory that holds `common` and `papers`.

    Returns:
        The hash; it changes with any statement of a module that the run may execute.
    """
    named = _targets([experiment.trial, experiment.settings(preset, variant)])
    return _closure_hash(frozenset(named), str(root))


@cache
def _closure_hash(start: frozenset[Name], root: str) -> str:
    seen: set[Name] = set()
    files: dict[str, str] = {}
    waiting = set(start)
    while waiting:
        module, name = one = waiting.pop()
        source = None if one in seen else _read(module, root)
        if source is None:
            continue
        seen.add(one)
        if name and source.is_package:
            # A package is asked for one name: only the module that has it counts.
            inner = f"{module}.{name}"
            found = (inner, "") if _read(inner, root) else source.names.get(name)
            if found:
                waiting.add(found)
                continue
        files[source.path] = source.digest
        waiting |= source.imports
    text = "\n".join(f"{path} {digest}" for path, digest in sorted(files.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _targets(value: Any) -> Iterator[Name]:
    """The (module, name) that strings "package.module:name" in settings stand for."""
    if isinstance(value, str):
        if match := _TARGET.fullmatch(value):
            yield match[1], match[2]
    elif isinstance(value, dict | list | tuple):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _targets(one)


@cache
def _read(module: str, root: str) -> _Module | None:
    """A module below `root`, None if there is no such file."""
    *package, name = module.split(".")
    base = Path(root, *package, name)
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            is_package = path.name == "__init__.py"
            reader = _Reader(module if is_package else ".".join(package))
            reader.read(ast.parse(path.read_text(encoding="utf-8")))
            digest = hashlib.sha256(" ".join(reader.words).encode()).hexdigest()
            inside = path.relative_to(root).as_posix()
            return _Module(inside, is_package, digest, frozenset(reader.imports), reader.names)
    return None


class _Reader:
    """Walks the syntax tree of a module of `package` once: its words, and what it imports.

    The words are the same on every version of Python: fields that are empty, as those that a
    later version adds, are left out.
    """

    def __init__(self, package: str):
        self.package = package
        self.words: list[str] = []
        self.imports: set[Name] = set()
        self.names: dict[str, Name] = {}

    def read(self, node: ast.AST, parent: ast.AST | None = None) -> None:
        if isinstance(node, ast.AnnAssign) and not isinstance(parent, ast.ClassDef):
            node = ast.Assign([node.target], node.value)  # type: ignore[arg-type]
        if isinstance(node, _TELLING):
            self._collect(node)
        self.words.append(type(node).__name__)
        for name in node._fields:
            value = getattr(node, name, None)
            typing = name == "annotation" and isinstance(node, ast.arg)
            if value in (None, []) or name in _UNSEEN or typing:
                continue
            self.words.append(name)
            if isinstance(value, ast.AST):
                self.read(value, node)
            elif isinstance(value, list):
                self._read_list(value, node)
            else:
                self.words.append(ascii(value))

    def _read_list(self, nodes: list[Any], parent: ast.AST) -> None:
        self.words.append("[")
        for node in nodes:
            if not isinstance(node, ast.AST):
                self.words.append(ascii(node))
            elif not self._is_silent(node, parent):
                self.read(node, parent)
        self.words.append("]")

    def _is_silent(self, node: Any, parent: ast.AST | None) -> bool:
        """Whether nothing is computed: by a docstring, or what type checkers alone read."""
        if isinstance(node, ast.Constant):  # Python 3.12 puts an empty one into some f-strings
            return node.value == "" and isinstance(parent, ast.JoinedStr)
        if isinstance(node, ast.Expr):
            return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for one in node.body:
                self.names |= _imported(one)
            return not node.orelse
        if isinstance(node, ast.AnnAssign):
            return node.value is None and not isinstance(parent, ast.ClassDef)
        return isinstance(node, ast.ImportFrom) and node.module in _TYPING

    def _collect(self, node: ast.AST) -> None:
        """Notes what a node imports: itself, by name on first use, or by a string."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            self.imports |= set(_targets(node.value))
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "lazy_exports":
            for one in node.keywords:
                assert one.arg, "names of submodules"
                self.names[one.arg] = (f"{self.package}.{ast.literal_eval(one.value)}", one.arg)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found = _imported(node)
            self.names |= found
            self.imports |= set(found.values())


def _imported(node: ast.AST) -> dict[str, Name]:
    """Name bound to the name it comes from, of an import from our packages."""
    if isinstance(node, ast.ImportFrom):
        found = {one.asname or one.name: (node.module or "", one.name) for one in node.names}
    elif isinstance(node, ast.Import):
        found = {one.asname or one.name: (one.name, "") for one in node.names}
    else:
        found = {}
    return {name: one for name, one in found.items() if one[0].split(".")[0] in PACKAGES}
