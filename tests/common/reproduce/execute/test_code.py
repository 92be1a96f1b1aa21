import ast
from pathlib import Path

import pytest

from common.reproduce.execute import code
from common.reproduce.execute.code import code_hash
from tests.common.reproduce.declare.test_spec import experiment

ROOT = Path(__file__).parents[4]

FILES = {
    "papers/__init__.py": "",
    "papers/tiny/__init__.py": """
        from common.reproduce.lazy import lazy_exports
        __getattr__ = lazy_exports(__name__, Layer="layers", Odd="odd")
        """,
    "papers/tiny/paper.py": "PAPER = 1",
    "papers/tiny/__main__.py": "RUN = 1",
    "papers/tiny/layers.py": "LAYER = 1",
    "papers/tiny/odd.py": "ODD = 1",
    "papers/tiny/experiments.py": '''
        """What is tried."""
        from common.ops import scan
        from papers.tiny import Layer

        def fit():  # a trial
            # A comment.
            return """
        # kept
        """
        ''',
    "papers/other/__init__.py": """
        from common.reproduce.lazy import lazy_exports
        __getattr__ = lazy_exports(__name__, Layer="layers", Model="model")
        """,
    "papers/other/layers.py": "LAYER = 1",
    "papers/other/model.py": "MODEL = 'none'",
    "common/__init__.py": "",
    "common/ops/__init__.py": """
        from common.ops.matmul import product
        from common.ops.scanning import scan
        """,
    "common/ops/scanning.py": """
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            from common.ops.types import Tensor
        def scan():
            from common.ops import (
                inner as helper,
            )
        DEFAULT = "common.ops.default:build"
        """,
    "common/ops/inner.py": "INNER = 1",
    "common/ops/matmul.py": "PRODUCT = 1",
    "common/ops/types.py": "TENSOR = 1",
    "common/ops/default.py": "BUILD = 1",
}


def write(root, files):
    import textwrap

    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(textwrap.dedent(text))


def hashed(root, **changes):
    for cached in (code._closure_hash, code._read):
        cached.cache_clear()
    one = experiment(variants={"a": {"model": "papers.other:Layer"}, "b": {}}, **changes)
    return code_hash(one, "paper", "a", root)


@pytest.mark.parametrize(
    "name, counts",
    [
        ("papers/tiny/experiments.py", True),
        ("papers/tiny/__init__.py", False),
        ("papers/tiny/layers.py", True),  # imported
        ("papers/tiny/odd.py", False),  # the package exports it, nobody asks for it
        ("papers/tiny/paper.py", False),
        ("papers/tiny/__main__.py", False),
        ("papers/other/layers.py", True),  # of the settings
        ("papers/other/model.py", False),
        ("common/ops/scanning.py", True),
        ("common/ops/inner.py", True),  # imported in a function
        ("common/ops/default.py", True),  # by a string in the code
        ("common/ops/matmul.py", False),  # the package exports it, nobody asks for it
        ("common/ops/types.py", False),  # for type checkers
        ("common/ops/__init__.py", False),
    ],
)
def test_what_a_run_executes_counts(tmp_path, name, counts):
    write(tmp_path, FILES)
    before = hashed(tmp_path)
    path = tmp_path / name
    path.write_text(path.read_text() + "\nMORE = 1\n")
    assert (hashed(tmp_path) != before) == counts


@pytest.mark.parametrize(
    "old, new, counts",
    [
        ('"""What is tried."""', '"""What is tried,\n\nat length.\n"""', False),
        ("# A comment.", "# Another.", False),
        ("# A comment.", "\n", False),
        ("# kept", "# changed", True),
        ("fit", "fitted", True),
    ],
)
def test_comments_and_docstrings_do_not_count(tmp_path, old, new, counts):
    write(tmp_path, FILES)
    before = hashed(tmp_path)
    path = tmp_path / "papers/tiny/experiments.py"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    assert (hashed(tmp_path) != before) == counts


SAMPLE = '''
from dataclasses import dataclass


@dataclass
class Pair:
    """Two of them."""

    first: int
    second: int = 2


def scaled(pair, by=0.5):
    total = pair.first + pair.second
    return f"{total * by:>{pair.second}} of {total!r}"
'''


def digest(directory, text):
    code._read.cache_clear()
    (directory / "sample.py").write_text(text)
    return code._read("sample", str(directory)).digest


@pytest.mark.parametrize(
    "old, new, counts",
    [
        ("def scaled(pair, by=0.5):", "def scaled(pair: Pair, by: float = 0.5) -> str:", False),
        ("pair, by=0.5", "\n    pair,\n    by=0.5,\n", False),
        ("    total = ", "    total: int = ", False),
        ("    total = ", "    total: int\n    total = ", False),
        ("from data", "from collections.abc import Sequence\nfrom data", False),
        ("\n\n@", "\nif TYPE_CHECKING:\n    from common.ops import scan\n\n@", False),
        ('"""Two of them."""', '"""A pair."""', False),
        ("    return", '    """Not the first statement."""\n    return', False),
        ("def scaled", "# A function.\ndef scaled", False),
        ("by=0.5", "by=0.25", True),
        ("first: int", "first: float", True),  # a dataclass reads it
        ("second: int = 2", "second = 2", True),
        ("from dataclasses", "from others", True),
        ("!r", "!s", True),
        ("total * by", "(total) * (by)", False),
        ("total * by", "by * total", True),
        (" of ", "of ", True),
    ],
)
def test_what_of_a_module_counts(tmp_path, old, new, counts):
    assert old in SAMPLE
    assert (digest(tmp_path, SAMPLE.replace(old, new)) != digest(tmp_path, SAMPLE)) == counts


def test_the_hash_is_the_same_on_every_version_of_python(tmp_path):
    assert digest(tmp_path, SAMPLE)[:12] == "738311c3d386"


def test_imports_are_those_of_the_parser():
    paths = sorted([*ROOT.glob("common/**/*.py"), *ROOT.glob("papers/**/*.py")])
    assert len(paths) > 100
    for path in paths:
        parts = path.relative_to(ROOT).with_suffix("").parts
        module = code._read(".".join(parts).removesuffix(".__init__"), str(ROOT))
        found = set(_parsed_imports(ast.parse(path.read_text())))
        assert found <= module.imports | set(module.names.values()), path


def _parsed_imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in code.PACKAGES:
                    yield alias.name, ""
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "our imports are absolute"
            if node.module.split(".")[0] in code.PACKAGES:
                for alias in node.names:
                    yield node.module, alias.name
