"""The ledger on a terminal."""

import textwrap
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from common.reproduce.judge.ledger import Book
from common.reproduce.judge.verdict import (
    GRADES,
    NOT_REPRODUCED,
    NOT_RUN,
    POSITIVE,
    UNDECIDED,
    Verdict,
)
from common.reproduce.judge.words import (
    KEY,
    SUMMARY_KEY,
    count,
    measured,
    notes,
    reported,
    shares,
    tolerance,
    word,
)

WIDTH = 80
STYLES = {
    **dict.fromkeys(POSITIVE, "green"),
    NOT_REPRODUCED: "red",
    UNDECIDED: "yellow",
    NOT_RUN: "dim",
}


class _Console(Console):
    """A console that leaves it to the command what to do where nobody reads on."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def make_console() -> Console:
    """A console for standard output; plain and wide where that is a file or a pipe."""
    console = _Console(highlight=False)
    return console if console.is_terminal else _Console(highlight=False, width=160)


def print_summary(console: Console, books: Sequence[Book]) -> None:
    """One line a paper, then what was not attempted."""
    header = f"{'paper':<23}{'headline':<15}" + "".join(f"{grade:>10}" for grade in GRADES)
    _print(console, header, "bold")
    for book in books:
        name = f"{book.paper.name:<23}{book.headline:<15}"
        _print(console, name + "".join(f"{share:>10}" for share in shares([book])))
    _print(console, f"{'all':<38}" + "".join(f"{share:>10}" for share in shares(books)))
    _print(console, "")
    _print_wrapped(console, SUMMARY_KEY)
    lines = [(book.paper.name, text) for book in books for text in book.paper.not_attempted]
    if lines:
        _print(console, "\nNot attempted:", "bold")
    for name, text in lines:
        _print_wrapped(console, f"{name}: {text}", indent=2)
    _print(console, "\npython -m papers NAME has the claims of a paper, --all those of all.")


def print_claims(console: Console, book: Book) -> None:
    """The claims of a paper, two lines and more each."""
    _print(console, f"{book.paper.name}: {book.headline}", "bold")
    _print_wrapped(console, book.paper.headline)
    _print(console, "")
    print_table(console, book.verdicts())
    if stale := book.stale():
        _print_wrapped(console, f"Left out: {count(stale, 'run')} of earlier settings.")


def print_table(console: Console, verdicts: Sequence[Verdict]) -> None:
    """Verdicts in 80 columns, and what the signs mean."""
    _print(console, _row("claim", "reported", "measured", "grade"), "bold")
    for one in verdicts:
        value = reported(one) if one.reported.value is not None else "stated"
        _print(console, _row(one.claim.id, value, measured(one), one.grade))
        about = [word(one), f"accepted {tolerance(one)}"]
        if one.preset:
            about.append(f"preset {one.preset}")
        if one.reported.value is None:
            about.append(f"stated: {one.reported.statement.rstrip('.')}")
        if one.reported.paper:
            about.append(f"from {one.reported.paper}")
        _print_wrapped(console, "; ".join(about) + ".", indent=4, style=STYLES.get(one.word, ""))
    for claims, text in notes(verdicts):
        _print(console, "")
        _print_wrapped(console, f"{', '.join(claims)}: {text}")
    _print(console, "")
    _print_wrapped(console, KEY)


def _row(claim: str, reported: str, measured: str, grade: str) -> str:
    """A line of the table; two where the claim's id leaves no place for the rest."""
    rest = f" {reported:>11} {measured:>26} {grade:>8}"
    room = WIDTH - len(rest)
    return f"{claim:<{room}}{rest}" if len(claim) <= room else f"{claim}\n{rest:>{WIDTH}}"


def _print(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style=style), soft_wrap=True)


def _print_wrapped(console: Console, text: str, indent: int = 0, style: str = "") -> None:
    margin = " " * indent
    lines = textwrap.wrap(text, WIDTH, initial_indent=margin, subsequent_indent=margin)
    _print(console, "\n".join(lines), style)
