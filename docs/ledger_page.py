"""The ledger as one table that filters and sorts."""

from collections.abc import Iterable, Sequence
from html import escape

from common.reproduce.judge import words
from common.reproduce.judge.ledger import Book
from common.reproduce.judge.tables import source
from common.reproduce.judge.verdict import GRADES, Verdict
from docs.badges import SIGNS, badge, bar, counted
from docs.claims import anchor

COLUMNS = ("paper", "claim", "reported", "measured", "accepted", "kind", "verdict")


def ledger_page(books: Sequence[Book]) -> str:
    """Markdown of `ledger/index.md`."""
    verdicts = [one for book in books for one in book.verdicts()]
    rows = "\n".join(row for book in books for row in _rows(book))
    heads = "".join(
        f'<th scope="col" aria-sort="none"><button type="button" data-column="{i}">{name}'
        '<span aria-hidden="true"></span></button></th>'
        for i, name in enumerate(COLUMNS)
    )
    return (
        "---\ntitle: Ledger\nhide: [navigation, toc]\nscripts: [ledger.js]\n"
        "search: {exclude: true}\n---\n\n"
        "# Ledger\n\n"
        "Every claim of every paper: what it reports, what was measured, the verdict. "
        "[How it is judged](rules.md). A claim that was run at two presets has two rows.\n\n"
        f"{bar(counted(verdicts), key=True)}\n\n"
        '<form class="filters" id="filters" role="search" aria-label="Filter the claims">'
        f"{_select('paper', [book.paper.name for book in books])}"
        f"{_select('verdict', SIGNS)}"
        f"{_select('kind', GRADES)}"
        '<label>text<input type="search" name="text" placeholder="claim, metric, source"></label>'
        '<button type="reset" class="md-button">clear</button>'
        f'<output aria-live="polite"><b>{len(verdicts)}</b> of {len(verdicts)}</output></form>\n\n'
        f'<div class="ledger-scroll"><table class="ledger" id="claims"><thead><tr>{heads}</tr>'
        f"</thead><tbody>\n{rows}\n</tbody></table></div>\n\n"
        f'<p class="key">{escape(words.KEY)}</p>\n'
    )


def _select(name: str, options: Iterable[str]) -> str:
    items = "".join(f'<option value="{one}">{one}</option>' for one in options)
    return (
        f'<label>{name}<select name="{name}"><option value="">all</option>{items}</select></label>'
    )


def _rows(book: Book) -> list[str]:
    seen: set[str] = set()
    rows = []
    for verdict in book.verdicts():
        id = verdict.claim.id
        rows.append(_row(verdict, anchor(verdict, id not in seen)))
        seen.add(id)
    return rows


def _row(verdict: Verdict, id: str) -> str:
    row, found = verdict.reported, verdict.measured
    preset = f" ({verdict.preset})" if verdict.preset else ""
    why = words.word(verdict).removeprefix(verdict.word).lstrip(":;, ")
    link = f"../papers/{verdict.paper}/#{id}"
    page = f"../papers/{verdict.paper}/"
    measured = found.value if found and found.value == found.value else None
    cells = (
        (f'<a href="{page}">{verdict.paper}</a>', verdict.paper),
        (
            f'<a href="{link}"><code>{verdict.claim.id}</code></a>'
            f"<small>{escape(words.quantity(verdict))}</small>",
            verdict.claim.id,
        ),
        (
            f'{escape(words.reported(verdict))}<small><a href="{escape(row.url, quote=True)}">'
            f"{escape(source(verdict))}</a></small>",
            row.value,
        ),
        (escape(words.measured(verdict)), measured),
        (escape(words.tolerance(verdict)), words.tolerance(verdict)),
        (f"{verdict.grade}{preset}", GRADES.index(verdict.grade)),
        (f"{badge(verdict.word)}<small>{escape(why)}</small>", list(SIGNS).index(verdict.word)),
    )
    text = "".join(
        f'<td data-label="{name}" data-value="{"" if value is None else escape(str(value))}">'
        f"<div>{html}</div></td>"
        for name, (html, value) in zip(COLUMNS, cells, strict=True)
    )
    return (
        f'<tr data-paper="{verdict.paper}" data-verdict="{verdict.word}" '
        f'data-kind="{verdict.grade}">{text}</tr>'
    )
