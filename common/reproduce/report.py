"""The verdict table, for the terminal, as CSV and as Markdown."""

import re
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from common.reproduce.files import format_csv, write_text
from common.reproduce.spec import Quantity
from common.reproduce.verdict import NOT_REPRODUCED, NOT_RUN, REPRODUCED, Verdict

BEGIN = "<!-- ledger:begin -->"
END = "<!-- ledger:end -->"

CSV_COLUMNS = (
    "paper",
    "claim",
    "source",
    "experiment",
    "quantity",
    "reported",
    "measured",
    "deviation",
    "seeds",
    "unit",
    "tolerance",
    "preset",
    "verdict",
    "reason",
    "explanation",
)


def quantity(verdict: Verdict) -> str:
    """What the claim measures, e.g. `nrmse of lmu / nrmse of lstm`."""

    def name(one: Quantity) -> str:
        return f"{one.metric} of {one.variant}"

    text = " / ".join(name(one) for one in verdict.claim.quantities)
    return text if verdict.claim.aggregate == "mean" else f"{verdict.claim.aggregate} {text}"


def reported(verdict: Verdict) -> str:
    """The reported value with its unit."""
    if verdict.reported.value is None:
        return verdict.reported.statement
    return f"{verdict.reported.value:.4g} {verdict.reported.unit}".rstrip()


def measured(verdict: Verdict) -> str:
    """Mean ± standard deviation (number of seeds), e.g. `0.0123 ± 0.0004 (3)`."""
    if verdict.measured is None:
        return "–"
    text = f"{verdict.measured.value:.4g}"
    if verdict.measured.deviation is not None:
        text += f" ± {verdict.measured.deviation:.2g}"
    seeds = verdict.measured.seeds
    missing = seeds < verdict.expected_seeds
    return f"{text} ({seeds} of {verdict.expected_seeds})" if missing else f"{text} ({seeds})"


def tolerance(verdict: Verdict) -> str:
    """The accepted values."""
    return verdict.claim.accept.describe(verdict.reported.value)


def explanation(verdict: Verdict) -> str:
    """Why the claim is not reproduced or not run; empty where it is reproduced."""
    return verdict.note if verdict.word in (NOT_REPRODUCED, NOT_RUN) else ""


def explanations(verdicts: Sequence[Verdict]) -> dict[tuple[str, str], list[str]]:
    """Each paper's explanations, `(paper, text)`, with the claims they are of."""
    found: dict[tuple[str, str], list[str]] = {}
    for verdict in verdicts:
        if text := explanation(verdict):
            found.setdefault((verdict.paper, text), []).append(verdict.claim.id)
    return found


def _cells(verdict: Verdict) -> tuple[str, ...]:
    return (
        verdict.claim.id,
        quantity(verdict),
        reported(verdict),
        measured(verdict),
        tolerance(verdict),
        verdict.preset or "–",
        verdict.word,
    )


_HEADER = ("claim", "quantity", "reported", "measured", "tolerance", "preset", "verdict")


def make_console() -> Console:
    """A console for standard output; wide where that is a file or a pipe."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=160)


def print_table(console: Console, verdicts: Sequence[Verdict], papers: bool = False) -> None:
    """Prints the verdict table, with a column for the paper if `papers`."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in (("paper",) if papers else ()) + _HEADER:
        table.add_column(name, overflow="fold", justify="left")
    styles = {REPRODUCED: "green", NOT_REPRODUCED: "red", NOT_RUN: "dim"}
    for verdict in verdicts:
        cells = ((verdict.paper,) if papers else ()) + _cells(verdict)
        table.add_row(*cells, style=styles.get(verdict.word, ""))
    console.print(table)
    for (paper, text), claims in explanations(verdicts).items():
        of = f"{paper}: " if papers else ""
        console.print(f"{of}{', '.join(claims)}: {text}")


def to_csv(verdicts: Sequence[Verdict]) -> str:
    """CSV text, numbers in full."""
    rows = []
    for verdict in verdicts:
        result = verdict.measured
        deviation = None if result is None else result.deviation
        rows.append(
            {
                "paper": verdict.paper,
                "claim": verdict.claim.id,
                "source": verdict.reported.location,
                "experiment": verdict.claim.experiment,
                "quantity": quantity(verdict),
                "reported": verdict.reported.value,
                "measured": "" if result is None else result.value,
                "deviation": "" if deviation is None else deviation,
                "seeds": "" if result is None else result.seeds,
                "unit": verdict.reported.unit,
                "tolerance": tolerance(verdict),
                "preset": verdict.preset,
                "verdict": verdict.word,
                "reason": verdict.claim.reason,
                "explanation": explanation(verdict),
            }
        )
    return format_csv(CSV_COLUMNS, rows)


def to_markdown(verdicts: Sequence[Verdict], papers: bool = False) -> str:
    """A Markdown table, with a column for the paper if `papers`."""
    header = (("paper",) if papers else ()) + _HEADER
    lines = [_line(header), _line(("---",) * len(header))]
    for verdict in verdicts:
        paper = (f"[{verdict.paper}](papers/{verdict.paper}/README.md)",) if papers else ()
        lines.append(_line(paper + _cells(verdict)))
    lines.append("")
    for (name, text), claims in explanations(verdicts).items():
        of = f"{name}: " if papers else ""
        lines.append(f"- {of}{', '.join(f'`{claim}`' for claim in claims)}: {text}")
    return "\n".join(lines).rstrip() + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def replace_table(path: Path, table: str) -> bool:
    """Puts `table` between the ledger markers of `path`; False if it has none."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if not path.exists():
        return False
    text = path.read_text()
    if pattern.search(text) is None:
        return False
    new = pattern.sub(lambda _: f"{BEGIN}\n{table}{END}", text)
    if new != text:
        write_text(path, new)
    return True
