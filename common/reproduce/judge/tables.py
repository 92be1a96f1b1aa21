"""The ledger as CSV, JSON and Markdown."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.reproduce.files import format_csv, write_text
from common.reproduce.judge.ledger import Book
from common.reproduce.judge.verdict import (
    AGREES,
    GRADES,
    NOT_REPRODUCED,
    NOT_RUN,
    REDUCED,
    REPRODUCED,
    UNDECIDED,
    Verdict,
)
from common.reproduce.judge.words import (
    KEY,
    SUMMARY_KEY,
    count,
    measured,
    notes,
    quantity,
    reported,
    shares,
    tolerance,
    word,
)

_CHAIN = re.compile(r"^([\d,]+) runs? recorded, the last with digest `(\w+)`\.$", re.MULTILINE)
BEGIN = "<!-- ledger:begin -->"
END = "<!-- ledger:end -->"
WORDS = (REPRODUCED, REDUCED, AGREES, NOT_REPRODUCED, UNDECIDED, NOT_RUN)


def source(verdict: Verdict) -> str:
    """Where the reported row is from, with the name of a paper that is another one."""
    row = verdict.reported
    return f"{row.paper}, {row.location}" if row.paper else row.location


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
    return verdicts_csv([one for book in books for one in book.verdicts()])


def verdicts_csv(verdicts: Sequence[Verdict]) -> str:
    """CSV text of these verdicts."""
    rows = [record_of(one) for one in verdicts]
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
        name = f"[{book.paper.name}]({link.format(book.paper.name)})"
        lines.append(_line((name, book.paper.headline, book.headline, *shares([book]))))
    lines.append(_line(("all", "", "", *shares(books))))
    return "\n".join([*lines, "", SUMMARY_KEY]) + "\n"


def counts_markdown(books: Sequence[Book], link: str) -> str:
    """A narrow Markdown table, a line a paper: how many claims have which verdict."""
    header = ("paper", "main claim holds", *WORDS)
    lines = [_line(header), _line(("---",) * len(header))]
    for book in books:
        name = f"[{book.paper.name}]({link.format(book.paper.name)})"
        lines.append(_line((name, book.headline, *_counts([book]))))
    lines.append(_line(("all", "", *_counts(books))))
    return "\n".join(lines) + "\n"


def _counts(books: Sequence[Book]) -> list[str]:
    """How many claims of all `books` have each of `WORDS`, an empty cell for none."""
    words = [one.word for book in books for one in book.main_verdicts]
    return [str(words.count(word) or "") for word in WORDS]


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
    for claims, text in notes(book.verdicts()):
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
        paper = book.paper
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


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
