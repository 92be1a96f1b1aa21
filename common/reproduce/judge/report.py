"""The ledger in words: for the terminal, as CSV, JSON and Markdown."""

import json
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from common.reproduce.declare.spec import Paper, Quantity
from common.reproduce.files import format_csv, write_text
from common.reproduce.judge.ledger import Book
from common.reproduce.judge.verdict import (
    GRADES,
    NOT_REPRODUCED,
    NOT_RUN,
    POSITIVE,
    UNDECIDED,
    Verdict,
)

_CHAIN = re.compile(r"^([\d,]+) runs? recorded, the last with digest `(\w+)`\.$", re.MULTILINE)

BEGIN = "<!-- ledger:begin -->"
END = "<!-- ledger:end -->"

WIDTH = 80
STYLES = {
    **dict.fromkeys(POSITIVE, "green"),
    NOT_REPRODUCED: "red",
    UNDECIDED: "yellow",
    NOT_RUN: "dim",
}

KEY = (
    "± of what is measured is the sample standard deviation over the seeds, (n) how many there "
    "are; k/n hold where every seed is judged alone. What is reported has its ± and (n) as "
    "published. exact: the paper's number at its setting; reduced: at a smaller one, or a timing, "
    "as another machine is another setting; ordering: an order or a bound that the paper states; "
    "static: counts and shapes. "
    "Undecided: a guard keeps the result from counting, or the 95 % interval of the seeds "
    "reaches over the bound. Post hoc: the claim is younger than its runs. "
    "Earlier settings: so many others of the same experiment, preset and variant were run before; "
    "results.csv has them, and they do not count."
)
SUMMARY_KEY = (
    "headline: whether the claims that stand for the paper's main one hold. k/n: claims that "
    "hold, of those that compare with the paper's number at its setting (exact), at a smaller "
    "one or by a timing on another machine (reduced), with an order or a bound that it states "
    "(ordering), with counts and shapes (static)."
)


def quantity(verdict: Verdict) -> str:
    """What the claim measures, e.g. `nrmse of lmu / nrmse of lstm`."""

    def name(one: Quantity) -> str:
        return f"{one.metric} of {one.variant}"

    text = " / ".join(name(one) for one in verdict.claim.quantities)
    return text if verdict.claim.aggregate == "mean" else f"{verdict.claim.aggregate} {text}"


def reported(verdict: Verdict) -> str:
    """The reported value with its unit, or what is stated without a number."""
    row = verdict.reported
    if row.value is None:
        return row.statement
    deviation = f" ± {row.deviation:.2g}" if row.deviation is not None else ""
    n = f" ({row.n})" if row.n is not None else ""
    return f"{row.value:.4g}{deviation} {row.unit}".rstrip() + n


def measured(verdict: Verdict) -> str:
    """Value ± standard deviation (seeds), e.g. `0.0123 ± 0.0004 (3)` or `0.9 ± 0.1 (2/3 hold)`."""
    found = verdict.measured
    if found is None:
        return "–"
    text = f"{found.value:.4g}"
    if found.deviation is not None:
        text += f" ± {found.deviation:.2g}"
    if found.hold is not None:
        return f"{text} ({found.hold}/{found.seeds} hold)"
    if found.seeds < verdict.expected_seeds:
        return f"{text} ({found.seeds} of {verdict.expected_seeds})"
    return f"{text} ({found.seeds})"


def tolerance(verdict: Verdict) -> str:
    """The accepted values."""
    return verdict.claim.accept.describe(verdict.reported.value)


def word(verdict: Verdict) -> str:
    """The verdict with its mark, its reason and how many earlier settings there were."""
    text = verdict.word or "no verdict at smoke"
    if verdict.post_hoc and verdict.word in POSITIVE:
        text += ", post hoc"
    text = f"{text}: {verdict.reason}" if verdict.reason else text
    if verdict.earlier:
        text += f"; {count(verdict.earlier, 'earlier setting')}"
    return text


def source(verdict: Verdict) -> str:
    """Where the reported row is from, with the name of a paper that is another one."""
    row = verdict.reported
    return f"{row.paper}, {row.location}" if row.paper else row.location


def note(verdict: Verdict) -> str:
    """The note on the recorded runs, and whether it is of older ones."""
    if verdict.note is None:
        return ""
    return verdict.note.text + (" (stale: there are newer runs)" if verdict.stale else "")


def counts(book: Book) -> dict[str, tuple[int, int]]:
    """Grade to how many of the paper's claims hold, and how many there are."""
    verdicts = [book.main_verdict(claim) for claim in book.paper.claims]
    found = {}
    for grade in GRADES:
        of_grade = [one for one in verdicts if one.grade == grade]
        found[grade] = sum(one.word in POSITIVE for one in of_grade), len(of_grade)
    return found


class _Console(Console):
    """A console that leaves it to the command what to do where nobody reads on."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def count(number: int, noun: str) -> str:
    """`1 paper`, `2 papers`."""
    return f"{number:,} {noun}" + "s" * (number != 1)


def make_console() -> Console:
    """A console for standard output; plain and wide where that is a file or a pipe."""
    console = _Console(highlight=False)
    return console if console.is_terminal else _Console(highlight=False, width=160)


def print_summary(console: Console, books: Sequence[Book]) -> None:
    """One line a paper, then what was not attempted."""
    header = f"{'paper':<23}{'headline':<15}" + "".join(f"{grade:>10}" for grade in GRADES)
    _print(console, header, "bold")
    for book in books:
        found = counts(book)
        cells = "".join(f"{_share(found[grade]):>10}" for grade in GRADES)
        _print(console, f"{book.paper.name:<23}{book.headline:<15}{cells}")
    total = _total(books)
    _print(console, f"{'all':<38}" + "".join(f"{_share(total[grade]):>10}" for grade in GRADES))
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
    for claims, text in _notes(verdicts):
        _print(console, "")
        _print_wrapped(console, f"{', '.join(claims)}: {text}")
    _print(console, "")
    _print_wrapped(console, KEY)


def record_of(verdict: Verdict) -> dict[str, Any]:
    """A verdict as plain values, numbers in full, None where there is nothing."""
    row, found, claim = verdict.reported, verdict.measured, verdict.claim
    low, high = (found.interval if found and found.interval else None) or (None, None)
    return {
        "paper": verdict.paper,
        "claim": claim.id,
        "grade": verdict.grade,
        "verdict": verdict.word,
        "reason": verdict.reason,
        "post_hoc": verdict.post_hoc,
        "earlier_settings": verdict.earlier,
        "experiment": claim.experiment,
        "preset": verdict.preset,
        "quantity": quantity(verdict),
        "reported": row.value,
        "reported_deviation": row.deviation,
        "reported_n": row.n,
        "statistic": row.statistic,
        "statement": row.statement,
        "unit": row.unit,
        "source": row.paper,
        "arxiv": row.arxiv,
        "location": row.location,
        "url": row.url,
        "measured": found.value if found else None,
        "deviation": found.deviation if found else None,
        "low": low,
        "high": high,
        "seeds": found.seeds if found else 0,
        "expected_seeds": verdict.expected_seeds,
        "hold": found.hold if found else None,
        "tolerance": tolerance(verdict),
        "tolerance_reason": claim.reason,
        "controls": " ".join(claim.controls),
        "note": verdict.note.text if verdict.note else "",
        "note_stale": verdict.stale,
    }


def to_csv(books: Sequence[Book]) -> str:
    """CSV text, a row a verdict."""
    rows = [record_of(one) for book in books for one in book.verdicts()]
    blank = [{key: "" if value is None else value for key, value in row.items()} for row in rows]
    return format_csv(list(rows[0]) if rows else ["paper"], blank)


def to_json(books: Sequence[Book]) -> str:
    """JSON text, an object a paper."""
    papers = [
        {
            "paper": book.paper.name,
            "headline": book.paper.headline,
            "holds": book.headline,
            "headline_claims": book.paper.headline_claims,
            "not_attempted": book.paper.not_attempted,
            "claims": [
                # JSON has no NaN, which is what a seed without a value leaves.
                {key: None if value != value else value for key, value in record_of(one).items()}
                for one in book.verdicts()
            ],
        }
        for book in books
    ]
    return json.dumps(papers, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def summary_markdown(books: Sequence[Book], link: str) -> str:
    """A Markdown table, a line a paper; `link` is formatted with its name."""
    lines = [_line(("paper", "headline", "holds", *GRADES)), _line(("---",) * (3 + len(GRADES)))]
    for book in books:
        found = counts(book)
        name = f"[{book.paper.name}]({link.format(book.paper.name)})"
        shares = [_share(found[grade]) for grade in GRADES]
        lines.append(_line((name, book.paper.headline, book.headline, *shares)))
    total = _total(books)
    lines.append(_line(("all", "", "", *(_share(total[grade]) for grade in GRADES))))
    return "\n".join([*lines, "", SUMMARY_KEY]) + "\n"


def claims_markdown(book: Book) -> str:
    """A Markdown table of a paper's claims, then its notes and what was not attempted."""
    paper = book.paper
    lines = [f"Headline: {paper.headline} **{book.headline}**.", ""]
    header = ("claim", "quantity", "reported", "measured", "accepted", "grade", "verdict")
    lines += [_line(header), _line(("---",) * len(header))]
    for one in book.verdicts():
        preset = f" ({one.preset})" if one.preset else ""
        lines.append(
            _line(
                (
                    f"`{one.claim.id}`",
                    quantity(one),
                    f"{reported(one)} ([{source(one)}]({one.reported.url}))",
                    measured(one),
                    tolerance(one),
                    one.grade + preset,
                    word(one),
                )
            )
        )
    lines += ["", KEY, ""]
    for claims, text in _notes(book.verdicts()):
        lines.append(f"- {', '.join(f'`{claim}`' for claim in claims)}: {text}")
    lines += [f"- Not attempted: {text}" for text in paper.not_attempted]
    return "\n".join(lines).rstrip() + "\n"


def ledger_markdown(books: Sequence[Book]) -> str:
    """The whole ledger as a Markdown file."""
    parts = [
        "# The ledger\n\nEvery claim of every paper: what it reports, what we measured, the "
        "verdict. Generated by `python -m papers --update`; do not edit. `python -m papers "
        "--verify` checks the chain of rows behind it.\n",
        summary_markdown(books, "#{}"),
    ]
    for book in books:
        paper: Paper = book.paper
        title = f"[{paper.title}]({paper.url}), {paper.authors}, {paper.venue} {paper.year}."
        rows = len(book.recorded)
        chain = f"{count(rows, 'run')} recorded"
        if rows:
            chain += f", the last with digest `{book.recorded[-1].digest}`"
        parts.append(f"## {paper.name}\n\n{title}\n\n{claims_markdown(book)}\n{chain}.\n")
    return "\n".join(parts)


def recorded_lengths(path: Path) -> dict[str, tuple[int, str]]:
    """Paper to the number of its recorded runs and the digest of the last, by a LEDGER.md."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    found = {}
    for section in text.split("\n## ")[1:]:
        if match := _CHAIN.search(section):
            found[section.split("\n", 1)[0]] = int(match[1].replace(",", "")), match[2]
    return found


def replace_table(path: Path, table: str) -> bool:
    """Puts `table` between the ledger markers of `path`; False if it has none."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if not path.exists():
        return False
    text = path.read_text(encoding="utf-8")
    if pattern.search(text) is None:
        return False
    new = pattern.sub(lambda _: f"{BEGIN}\n{table}{END}", text)
    if new != text:
        write_text(path, new)
    return True


def _notes(verdicts: Iterable[Verdict]) -> list[tuple[list[str], str]]:
    """Each note, with the claims it is of."""
    found: dict[str, list[str]] = {}
    for verdict in verdicts:
        if text := note(verdict):
            claims = found.setdefault(text, [])
            if verdict.claim.id not in claims:
                claims.append(verdict.claim.id)
    return [(claims, text) for text, claims in found.items()]


def _row(claim: str, reported: str, measured: str, grade: str) -> str:
    """A line of the table; two where the claim's id leaves no place for the rest."""
    rest = f" {reported:>11} {measured:>26} {grade:>8}"
    room = WIDTH - len(rest)
    return f"{claim:<{room}}{rest}" if len(claim) <= room else f"{claim}\n{rest:>{WIDTH}}"


def _share(count: tuple[int, int]) -> str:
    return f"{count[0]}/{count[1]}" if count[1] else "–"


def _total(books: Sequence[Book]) -> Mapping[str, tuple[int, int]]:
    of_each = [counts(book) for book in books]
    return {
        grade: (sum(one[grade][0] for one in of_each), sum(one[grade][1] for one in of_each))
        for grade in GRADES
    }


def _print(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style=style), soft_wrap=True)


def _print_wrapped(console: Console, text: str, indent: int = 0, style: str = "") -> None:
    margin = " " * indent
    lines = textwrap.wrap(text, WIDTH, initial_indent=margin, subsequent_indent=margin)
    _print(console, "\n".join(lines), style)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
