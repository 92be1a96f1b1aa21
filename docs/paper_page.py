"""A paper's page: its README, its claims drawn, its layers' equations beside their code."""

import json
import re

from common.reproduce.judge.ledger import Book
from common.reproduce.judge.tables import BEGIN, END
from docs.badges import bar, counted, headline_badge
from docs.claims import claims_markdown
from docs.links import title_of, to_site
from docs.sources import ClassSource, classes_of, described, highlighted


def paper_page(book: Book) -> str:
    """Markdown of the page `papers/<name>.md`."""
    name = book.paper.name
    source = f"papers/{name}/README.md"
    text = (book.directory / "README.md").read_text(encoding="utf-8")
    text = to_site(text, source, f"papers/{name}.md")
    title = json.dumps(title_of(text), ensure_ascii=False)  # there may be a colon in it
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    before = re.sub(r"^# .*\n", lambda match: match[0] + "\n" + _summary(book), before, count=1)
    results = "" if "\n## Results" in before else "## Results\n\n"
    return "\n".join(
        [
            f"---\ntitle: {title}\nhide: [navigation]\n---\n",
            before.rstrip() + "\n",
            results + claims_markdown(book),
            layers_markdown(book),
            after.strip() + "\n",
        ]
    )


def _summary(book: Book) -> str:
    paper = book.paper
    counts = counted(book.main_verdicts)
    return (
        f'<div class="headline"><p>{paper.headline} {headline_badge(book.headline)}</p>'
        f"{bar(counts, key=True)}</div>\n"
    )


def layers_markdown(book: Book) -> str:
    """Each layer of the paper: what its docstring says, beside its code."""
    name = book.paper.name
    parts = [
        "## Layers\n",
        f"The equations as the code has them, beside `papers/{name}/layers.py`; "
        f"[arguments and methods](../api/papers/{name}.md).\n",
    ]
    for one in classes_of(book.directory / "layers.py"):
        parts.append(_layer(one))
    return "\n".join(parts)


def _layer(source: ClassSource) -> str:
    return (
        f"### {source.name} {{#layer-{source.name}}}\n\n"
        '<div class="beside" markdown="block">\n'
        f'<div class="equations" markdown="block">\n\n{described(source)}\n\n</div>\n'
        f'<div class="code highlight" markdown="0">{highlighted(source, source.name)}</div>\n'
        "</div>\n"
    )
