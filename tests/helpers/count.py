"""Counts the repository's Python: `python -m tests.helpers.count`.

Lines are those of the files. Statements are those of the parser, docstrings left out, so that
neither packing lines nor cutting docstrings changes their number.
"""

import ast
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("papers", "common", "benchmarks", "tests")
# What a loop over time or chunks is made of: TensorFlow's, JAX's, and one that Python unrolls.
LOOPS = ("tf.while_loop", "jax.lax.scan", "ops.unstack")


def sources(*patterns: str) -> list[Path]:
    """The files under the root that match any of `patterns`, in order."""
    return sorted({path for pattern in patterns for path in ROOT.glob(pattern)})


def statements(tree: ast.AST) -> int:
    """Statements of a module, those within others too, without docstrings."""
    return sum(isinstance(node, ast.stmt) and not _is_text(node) for node in ast.walk(tree))


def loops(tree: ast.AST) -> int:
    """How often a module names what a loop is made of."""
    return sum(
        isinstance(node, ast.Attribute) and ast.unparse(node) in LOOPS for node in ast.walk(tree)
    )


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _row(title: str, paths: Iterable[Path]) -> str:
    texts = [path.read_text(encoding="utf-8") for path in paths]
    lines = sum(len(text.splitlines()) for text in texts)
    found = sum(statements(ast.parse(text)) for text in texts)
    return f"{title:28}{len(texts):7,}{lines:9,}{found:12,}"


def main() -> None:
    """Prints a row for each count."""
    everything = [f"{package}/**/*.py" for package in PACKAGES]
    print(f"{'':28}{'files':>7}{'lines':>9}{'statements':>12}")
    print(_row("all", sources(*everything)))
    for pattern in everything:
        print(_row(f"  {pattern}", sources(pattern)))
    for name in ("paper.py", "layers.py", "model.py", "experiments.py"):
        print(_row(f"papers/*/{name}", sources(f"papers/*/{name}")))
    print(_row("gla with its test", sources("papers/gla/*.py", "tests/papers/test_gla.py")))
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sources("common/ops/**/*.py")]
    print(f"loop implementations in common/ops: {sum(map(loops, trees))}")


if __name__ == "__main__":
    main()
