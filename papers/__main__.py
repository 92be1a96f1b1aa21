"""`python -m papers`: the ledger of all claims, from the recorded results."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from common.reproduce.arguments import parse
from common.reproduce.command import HOLD, run_command
from common.reproduce.judge import tables, terminal, words
from common.reproduce.judge.ledger import Book
from papers import get_paper, list_papers

ROOT = Path(__file__).parent


@dataclass(frozen=True)
class Options:
    """Options of `python -m papers`."""

    names: tyro.conf.Positional[tuple[str, ...]] = ()
    """Papers whose claims to print, or to probe; by default one line a paper, of all."""
    all: bool = False
    """Print the claims of all papers."""
    csv: bool = False
    """Print CSV, a row a verdict."""
    json: bool = False
    """Print JSON, an object a paper."""
    markdown: bool = False
    """Print Markdown."""
    update: bool = False
    """Write papers/LEDGER.md, and the tables between the ledger markers of the READMEs."""
    verify: bool = False
    """Check the chain of every results.csv: exit code 2 with the first row that is not as it was
    written."""
    merge: Path | None = None
    """Add the runs of another results.csv, from another machine or branch, to that of the paper
    named."""
    declare: bool = False
    """Add claims that are new, or say something else now, to declared.csv with today's date."""
    probe: bool = False
    """Add to probes.csv how training starts with the present code, where recorded runs are of
    other code."""
    verbose: bool = False
    """Show where an error comes from."""


def main() -> int:
    """Prints the ledger, or does what an option says.

    Returns:
        The exit code; 2 where a file is not as it must be.
    """
    return run_command(_main)


def _main() -> int:
    options = parse(
        Options,
        prog="python -m papers",
        description="The ledger: what papers report, what we measured, the verdicts.",
    )
    formats = [f"--{name}" for name in ("csv", "json", "markdown") if getattr(options, name)]
    if len(formats) > 1:
        raise ValueError(f"{' '.join(formats)} are given, expected one of them.")
    names = list(dict.fromkeys(options.names)) or list(list_papers())
    if options.verify:
        return _verify(names)
    if options.merge is not None:
        return _merge(options.names, options.merge)
    papers = [get_paper(name) for name in names]
    if options.declare:
        from common.reproduce.judge.upkeep import declare_claims

        for paper in papers:
            for id in declare_claims(paper, ROOT / paper.name):
                print(f"{paper.name}: {id} declared")
        return HOLD
    if options.probe:
        from common.reproduce.judge.upkeep import take_probes

        for paper in papers:
            take_probes(paper, ROOT / paper.name)
        return HOLD
    if options.update and options.names:
        raise ValueError(f"--update is given with {' '.join(names)}, expected it alone: of all.")
    books = [Book(paper, ROOT / paper.name) for paper in papers]
    if options.update:
        _update(books)
    elif options.csv:
        print(tables.to_csv(books), end="")
    elif options.json:
        print(tables.to_json(books), end="")
    elif options.markdown:
        print(tables.ledger_markdown(books), end="")
    elif options.names or options.all:
        console = terminal.make_console()
        for book in books:
            terminal.print_claims(console, book)
    else:
        terminal.print_summary(terminal.make_console(), books)
    return HOLD


def _verify(names: list[str]) -> int:
    from common.reproduce.execute.results import verify, verify_length

    lengths = tables.recorded_lengths(ROOT / "LEDGER.md")
    for name in names:
        get_paper(name)
        path = ROOT / name / "results.csv"
        verify(path)
        if name in lengths:
            verify_length(path, *lengths[name])
    print(f"{words.count(len(names), 'paper')}: every row of results.csv is as it was written")
    return HOLD


def _merge(names: tuple[str, ...], other: Path) -> int:
    from common.reproduce.execute.results import merge

    if len(names) != 1 or not other.is_file():
        raise ValueError(f"--merge is {other}, expected a file, and the name of one paper.")
    get_paper(names[0])
    added = merge(ROOT / names[0] / "results.csv", other)
    print(f"{names[0]}: {words.count(added, 'run')} added")
    return HOLD


def _update(books: list[Book]) -> None:
    from common.reproduce.files import write_text

    write_text(ROOT / "LEDGER.md", tables.ledger_markdown(books))
    written = {ROOT.parent / "README.md": tables.counts_markdown(books, "papers/{}")}
    for book in books:
        written[ROOT / book.paper.name / "README.md"] = tables.claims_markdown(book)
    for path, table in written.items():
        done = tables.replace_table(path, table)
        print(f"{path}: {'up to date' if done else 'skipped, it has no ledger markers'}")


if __name__ == "__main__":
    raise SystemExit(main())
