"""What is declared knows no run, and what runs knows neither cluster nor verdict."""

import ast
from pathlib import Path

import pytest

import common.reproduce

ROOT = Path(common.reproduce.__file__).parent
PACKAGES = ("declare", "execute", "cluster", "judge")


def imported(path):
    """Modules that a file imports anywhere, functions included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_one_way(package):
    later = PACKAGES[PACKAGES.index(package) + 1 :]
    for path in (ROOT / package).glob("*.py"):
        for name in imported(path):
            assert not name.startswith(tuple(f"common.reproduce.{one}" for one in later)), path


def test_every_module_has_its_line():
    lines = [line.split() for line in common.reproduce.__doc__.splitlines()]
    listed = {words[0] for words in lines if words}
    for path in ROOT.rglob("*.py"):
        if path.name != "__init__.py":
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            assert name in listed, path
