"""The ledger on a terminal, in 80 columns, or in a pipe, a row a line."""

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
    say(console, SUMMARY_KEY)
    lines = [(book.paper.name, text) for book in books for text in book.paper.not_attempted]
    if lines:
        _print(console, "\nNot attempted:", "bold")
    for name, text in lines:
        say(console, f"{name}: {text}", indent=2)
    _print(console, "\npython -m papers NAME has the claims of a paper, --all those of all.")


def print_claims(console: Console, book: Book) -> None:
    """The claims of a paper."""
    _print(console, f"{book.paper.name}: {book.headline}", "bold")
    say(console, book.paper.headline)
    _print(console, "")
    print_table(console, book.verdicts())
    if stale := book.stale():
        say(console, f"Left out: {count(stale, 'run')} of earlier settings.")


def print_table(console: Console, verdicts: Sequence[Verdict]) -> None:
    """Verdicts, and what the signs mean.

    On a terminal a verdict takes 80 columns and two lines or more; elsewhere one line, which
    begins with the paper.
    """
    columns = ("claim", "reported", "measured", "grade")
    if console.is_terminal:
        _print(console, _row(*columns), "bold")
    else:
        paper = max([len("paper"), *(len(one.paper) for one in verdicts)])
        claim = max([len("claim"), *(len(one.claim.id) for one in verdicts)])
        _print(console, f"{'paper':<{paper}}  {_cells(claim, *columns)}  verdict")
    for one in verdicts:
        value = reported(one) if one.reported.value is not None else "stated"
        cells = (one.claim.id, value, measured(one), one.grade)
        if console.is_terminal:
            _print(console, _row(*cells))
            say(console, _about(one), indent=4, style=STYLES.get(one.word, ""))
        else:
            _print(console, f"{one.paper:<{paper}}  {_cells(claim, *cells)}  {_about(one)}")
    for claims, text in notes(verdicts):
        _print(console, "")
        say(console, f"{', '.join(claims)}: {text}")
    _print(console, "")
    say(console, KEY)


def say(console: Console, text: str, indent: int = 0, style: str = "") -> None:
    """A paragraph: in lines of 80 columns at most on a terminal, elsewhere in one."""
    margin = " " * indent
    lines = [margin + text]
    if console.is_terminal:
        lines = textwrap.wrap(
            text,
            WIDTH,
            initial_indent=margin,
            subsequent_indent=margin,
            break_long_words=False,
            break_on_hyphens=False,
        )
    _print(console, "\n".join(lines), style)


def _about(verdict: Verdict) -> str:
    """The verdict with what it stands on."""
    parts = [word(verdict), f"accepted {tolerance(verdict)}"]
    if verdict.preset:
        parts.append(f"preset {verdict.preset}")
    if verdict.reported.value is None:
        parts.append(f"stated: {verdict.reported.statement.rstrip('.')}")
    if verdict.reported.paper:
        parts.append(f"from {verdict.reported.paper}")
    return "; ".join(parts) + "."


def _row(claim: str, reported: str, measured: str, grade: str) -> str:
    """A line of the table; two where the claim's id leaves no place for the rest."""
    rest = _cells(0, "", reported, measured, grade)
    room = WIDTH - len(rest)
    return f"{claim:<{room}}{rest}" if len(claim) <= room else f"{claim}\n{rest:>{WIDTH}}"


def _cells(room: int, claim: str, reported: str, measured: str, grade: str) -> str:
    return f"{claim:<{room}} {reported:>11} {measured:>26} {grade:>8}"


def _print(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style=style), soft_wrap=True)
