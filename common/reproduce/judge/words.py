"""A verdict in words: what the terminal and the tables of the ledger have in common."""

from collections.abc import Iterable, Sequence

from common.reproduce.declare.spec import Quantity
from common.reproduce.judge.ledger import Book
from common.reproduce.judge.verdict import GRADES, POSITIVE, Verdict

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


def note(verdict: Verdict) -> str:
    """The note on the recorded runs, and whether it is of older ones."""
    if verdict.note is None:
        return ""
    return verdict.note.text + (" (stale: there are newer runs)" if verdict.stale else "")


def notes(verdicts: Iterable[Verdict]) -> list[tuple[list[str], str]]:
    """Each note, with the claims it is of."""
    found: dict[str, list[str]] = {}
    for verdict in verdicts:
        if text := note(verdict):
            claims = found.setdefault(text, [])
            if verdict.claim.id not in claims:
                claims.append(verdict.claim.id)
    return [(claims, text) for text, claims in found.items()]


def count(number: int, noun: str) -> str:
    """`1 paper`, `2 papers`."""
    return f"{number:,} {noun}" + "s" * (number != 1)


def shares(books: Sequence[Book]) -> list[str]:
    """How many claims of all `books` hold, `2/3`, by grade."""
    found = []
    for grade in GRADES:
        verdicts = [one for book in books for one in book.main_verdicts]
        words = [one.word for one in verdicts if one.grade == grade]
        hold = sum(word in POSITIVE for word in words)
        found.append(f"{hold}/{len(words)}" if words else "–")
    return found
