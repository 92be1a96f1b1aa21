"""`keras-papers`: the commands of the modules under one name."""

import importlib
import runpy
import sys
from pathlib import Path

import papers

USAGE = """\
usage: keras-papers COMMAND [OPTIONS]

ledger [PAPER ...]  what papers report, what we measured, the verdicts: python -m papers
run PAPER           run a paper's experiments: python -m papers.PAPER
bench               time layers: python -m benchmarks, from a checkout
docs                build the site: python -m docs, from a checkout

--help after a command has its options."""
CHECKOUT = {"bench": "benchmarks", "docs": "docs"}
BAD = 2


def main() -> int:
    """Runs the module that the first words of the command line name, as `python -m` does.

    Returns:
        0 after --help, 2 if they name none or what it needs is not there; else the module's own
        exit code ends the process.
    """
    command, *rest = sys.argv[1:] or ["--help"]
    if command in ("-h", "--help"):
        print(USAGE)
        return 0
    try:
        module, rest = _module(command, rest)
    except ValueError as error:
        print(error, file=sys.stderr)
        return BAD
    sys.argv[1:] = rest
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    return 0


def _module(command: str, rest: list[str]) -> tuple[str, list[str]]:
    """The module of a command, and what is left of the words after it."""
    if command == "ledger":
        return "papers", rest
    if command == "run":
        name, *options = rest or [""]
        if name not in papers.list_papers():
            expected = " ".join(papers.list_papers())
            raise ValueError(f"keras-papers run: paper is {name!r}, expected one of {expected}.")
        return f"papers.{name}", options
    if command not in CHECKOUT:
        raise ValueError(
            f"keras-papers: command is {command!r}, expected ledger, run, bench or docs."
        )
    root = Path(papers.__file__).parents[1]
    if not (root / CHECKOUT[command] / "__main__.py").is_file():
        raise ValueError(
            f"keras-papers {command} needs a checkout of the repository, expected the directory "
            f"{CHECKOUT[command]} in {root}."
        )
    # An installation, even an editable one, does not bring them.
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    return CHECKOUT[command], rest
