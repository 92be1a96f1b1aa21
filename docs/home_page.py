"""The first page: what this is, how much of each paper holds, where to go on."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from common.reproduce.judge.ledger import Book
from docs.badges import bar, counted, headline_badge
from docs.links import sections, title_of, to_site

CARDS = (
    ("Use a layer", "guides/reuse.md", "In Sequential, functional and subclassed models."),
    ("Read the ledger", "ledger/index.md", "Every claim: reported, measured, verdict."),
    ("See the speeds", "benchmarks/index.md", "Every form beside other libraries' layers."),
    ("Add a paper", "guides/contributing.md", "A directory, and the suites test it."),
)


def home_page(root: Path, books: Sequence[Book]) -> str:
    """Markdown of `index.md`; what it says of the project is the README's."""
    readme = (root / "README.md").read_text(encoding="utf-8")
    parts = sections(readme)
    about = parts[""].removeprefix(f"# {title_of(readme)}").strip()
    cards = "".join(f"-   **[{title}]({page})**\n\n    {text}\n\n" for title, page, text in CARDS)
    return (
        "---\ntitle: keras-papers\nhide: [navigation, toc]\n---\n\n"
        f"# {title_of(readme)}\n\n"
        f"{to_site(about, 'README.md', 'index.md')}\n\n"
        f'<div class="grid cards" markdown>\n\n{cards}</div>\n\n'
        "## What holds of each paper\n\n"
        f"{_papers(books, 'papers/')}\n"
    )


def papers_page(books: Sequence[Book]) -> str:
    """Markdown of `papers/index.md`."""
    return f"---\nhide: [navigation, toc]\n---\n\n# Papers\n\n{_papers(books, '')}"


def _papers(books: Sequence[Book], base: str) -> str:
    counts = [counted(book.main_verdicts) for book in books]
    whole = sum(counts, Counter[str]())
    items = "".join(
        f'<li><a href="{base}{book.paper.name}/"><b>{book.paper.name}</b> '
        f"<span>{book.paper.authors.split(',')[0].split()[-1]} {book.paper.year}</span></a>"
        f"<p>{book.paper.headline} {headline_badge(book.headline)}</p>{bar(count)}</li>\n"
        for book, count in zip(books, counts, strict=True)
    )
    return (
        f"{sum(whole.values())} claims of {len(books)} papers, by their verdicts. A badge says "
        "whether the claims hold that stand for a paper's main one.\n\n"
        f'<div class="headline">{bar(whole, key=True)}</div>\n\n<ul class="papers">\n{items}</ul>\n'
    )
