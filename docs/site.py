"""The site: its pages written to a directory, and made into HTML by MkDocs."""

import json
import logging
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from common.reproduce.judge.ledger import Book
from docs.api_pages import api_pages
from docs.benchmark_page import benchmark_page, notes_page, run_data, speeds_page
from docs.home_page import home_page, papers_page
from docs.ledger_page import ledger_page
from docs.links import sections, title_of, to_site
from docs.notebooks import notebook_page
from docs.paper_page import paper_page
from papers import get_paper, list_papers

HERE = Path(__file__).parent
ROOT = HERE.parent
SITE = ROOT / "site"

GUIDES = (
    "reuse",
    "streaming",
    "packed",
    "training",
    "generation",
    "weights",
    "export",
    "devices",
    "reproduce",
    "cluster",
    "benchmark",
    "gpu",
)
NOTEBOOKS = ("reuse_and_stream", "reproduce_a_claim")

# `{{ file: heading }}` in a guide stands for what the file has under that heading.
_SECTION = re.compile(r"\{\{ ([^:]+): (.+?) \}\}")


def build(site: Path = SITE) -> None:
    """Writes the site.

    Args:
        site: its directory.

    Raises:
        mkdocs.exceptions.Abort: if MkDocs has anything to warn of.
    """
    from mkdocs.commands.build import build as build_html
    from mkdocs.config import load_config

    log = logging.getLogger("mkdocs")
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    log.addHandler(handler)
    with tempfile.TemporaryDirectory() as directory:
        sources = Path(directory)
        write_sources(sources)
        config = load_config(
            str(HERE / "mkdocs.yml"), docs_dir=str(sources), site_dir=str(site), nav=navigation()
        )
        config.plugins.on_startup(command="build", dirty=False)
        try:
            build_html(config)
        finally:
            config.plugins.on_shutdown()
            log.removeHandler(handler)


def write_sources(directory: Path) -> None:
    """Writes all pages, as Markdown, and what they load."""
    runs = benchmark_runs()
    for name, text in pages(runs).items():
        page = directory / name
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(text, encoding="utf-8")
    shutil.copytree(HERE / "assets", directory / "assets")
    for run in runs:
        path = directory / "assets" / "benchmarks" / f"{run['name']}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(run, separators=(",", ":")), encoding="utf-8")


def benchmark_runs() -> list[dict[str, Any]]:
    """The recorded runs, the one with the most rows first."""
    directories = sorted((ROOT / "benchmarks" / "results").iterdir())
    runs = [run_data(path) for path in directories if (path / "environment.json").exists()]
    return sorted(runs, key=lambda run: -len(run["rows"]))


def pages(runs: list[dict[str, Any]]) -> dict[str, str]:
    """Path of a page to its Markdown, with `benchmark_runs` in the charts' page."""
    books = [Book(get_paper(name), ROOT / "papers" / name) for name in list_papers()]
    found = {
        "index.md": home_page(ROOT, books),
        "papers/index.md": papers_page(books),
        "ledger/index.md": ledger_page(books),
        "benchmarks/index.md": benchmark_page(runs),
        "benchmarks/speeds.md": speeds_page(),
        "benchmarks/notes.md": notes_page(ROOT),
        **api_pages(ROOT),
    }
    for book in books:
        found[f"papers/{book.paper.name}.md"] = paper_page(book)
    for source, page in (
        ("papers/README.md", "ledger/rules.md"),
        ("CONTRIBUTING.md", "guides/contributing.md"),
        ("CHANGELOG.md", "changelog.md"),
        ("tests/README.md", "tests.md"),
    ):
        found[page] = to_site((ROOT / source).read_text(encoding="utf-8"), source, page)
    for name in GUIDES:
        found[f"guides/{name}.md"] = guide_page(name)
    for name in NOTEBOOKS:
        found[f"notebooks/{name}.md"] = notebook_page(HERE / "notebooks" / f"{name}.ipynb")
    return found


def guide_page(name: str) -> str:
    """Markdown of a guide, with the sections of the repository's files that it names."""
    text = (HERE / "guides" / f"{name}.md").read_text(encoding="utf-8")

    def section(match: re.Match[str]) -> str:
        source, title = match.groups()
        found = sections((ROOT / source).read_text(encoding="utf-8"))
        return to_site(found[title], source, f"guides/{name}.md")

    return _SECTION.sub(section, text)


def navigation() -> list[Any]:
    """MkDocs's `nav`."""
    operations = sorted(path.stem for path in (ROOT / "common" / "ops").glob("[!_]*.py"))
    return [
        {"Home": "index.md"},
        {"Ledger": [{"All claims": "ledger/index.md"}, {"How it is judged": "ledger/rules.md"}]},
        {"Papers": ["papers/index.md", *({name: f"papers/{name}.md"} for name in list_papers())]},
        {
            "Benchmarks": [
                {"Charts": "benchmarks/index.md"},
                {"Reported speeds": "benchmarks/speeds.md"},
                {"Notes": "benchmarks/notes.md"},
            ]
        },
        {
            "Guides": [
                *({_title(name): f"guides/{name}.md"} for name in GUIDES),
                {"Contribute, add a paper": "guides/contributing.md"},
                {"Notebooks": [f"notebooks/{name}.md" for name in NOTEBOOKS]},
                {"Tests": "tests.md"},
                {"Changes": "changelog.md"},
            ]
        },
        {
            "API": [
                {"Layers": "api/layers.md"},
                {"Models": "api/models.md"},
                {"Tasks": "api/tasks.md"},
                {
                    "Operations": [
                        "api/ops.md",
                        *({name: f"api/ops/{name}.md"} for name in operations),
                    ]
                },
                {"Papers": [{name: f"api/papers/{name}.md"} for name in list_papers()]},
            ]
        },
    ]


def _title(guide: str) -> str:
    return title_of((HERE / "guides" / f"{guide}.md").read_text(encoding="utf-8"))
