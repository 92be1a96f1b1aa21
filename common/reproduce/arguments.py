"""The command line of our commands: an error is one line, and help is plain text."""

import contextlib
import io
import re
import sys
from collections.abc import Sequence
from typing import TypeVar

import tyro

T = TypeVar("T")

_RULE = re.compile(r"^\s*-{3,}\s*$", re.MULTILINE)


def parse(
    options: type[T],
    prog: str,
    description: str,
    args: Sequence[str] | None = None,
) -> T:
    """Reads the command line.

    Args:
        options: a dataclass.
        prog: the command.
        description: what it does, for --help.
        args: by default those of the process.

    Raises:
        ValueError: if they are none of its options, in one line.
        SystemExit: after --help.
    """
    # Where it writes to no terminal, tyro draws neither boxes nor colours.
    out, errors = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            return tyro.cli(
                options,
                prog=prog,
                description=description,
                args=args,
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as stop:
        if stop.code:
            raise ValueError(f"{_message(errors.getvalue())}; see {prog} --help.") from None
        for line in out.getvalue().splitlines():
            print(line.rstrip())
        sys.stdout.flush()
        raise


def _message(text: str) -> str:
    """What an error of tyro says: a title, the message and what may help, with rules between."""
    parts = _RULE.split(text)
    said = " ".join(parts[min(1, len(parts) - 1)].split())
    return said.partition(" Got errors:")[0].rstrip(".")
