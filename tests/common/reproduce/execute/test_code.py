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
    "papers/tiny/experiments.py": '''
        """What is tried."""
        from common.ops import scan

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
    for cached in (code._closure_hash, code._path, code._read):
        cached.cache_clear()
    one = experiment(variants={"a": {"model": "papers.other:Layer"}, "b": {}}, **changes)
    return code_hash("tiny", one, "paper", "a", root)


@pytest.mark.parametrize(
    "name, counts",
    [
        ("papers/tiny/experiments.py", True),
        ("papers/tiny/__init__.py", True),
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


def test_the_lines_hold_what_the_parser_finds():
    """Reading by lines finds the imports and the statements that Python's parser finds."""
    paths = sorted([*ROOT.glob("common/**/*.py"), *ROOT.glob("papers/**/*.py")])
    assert len(paths) > 100
    compared = 0
    for path in paths:
        tree = ast.parse(path.read_text())
        lines, typing = code._split(path.read_text())
        found = {source for part in (lines, typing) for _, source in code._imported(part)}
        assert found == set(_parsed_imports(tree)), path
        try:
            split = ast.parse(lines)
        except SyntaxError:  # a docstring, or an import for type checkers, was a whole body
            continue
        if not typing:
            assert _without_docstrings(split) == _without_docstrings(tree), path
            compared += 1
    assert compared > 80


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


def _without_docstrings(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node, clean=False
        ):
            node.body = node.body[1:]
    return ast.dump(tree)
