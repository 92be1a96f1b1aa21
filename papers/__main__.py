"""`python -m papers`: the ledger of all claims, from the recorded results."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from common.reproduce import report
from common.reproduce.command import run_command
from common.reproduce.ledger import ledger, stale
from papers import get_paper, list_papers

ROOT = Path(__file__).parent


@dataclass(frozen=True)
class Options:
    """Options of `python -m papers`."""

    csv: bool = False
    """Print CSV."""
    markdown: bool = False
    """Print Markdown."""
    update_readme: bool = False
    """Write the tables between the ledger markers of README.md and papers/*/README.md."""
    verbose: bool = False
    """Show where an error comes from."""


def main() -> int:
    """Prints the ledger or writes it into the READMEs."""
    options = tyro.cli(
        Options,
        prog="python -m papers",
        description="The ledger: every claim of every paper, reported, measured, verdict.",
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    papers = [get_paper(name) for name in list_papers()]
    verdicts = {paper.name: ledger(paper, ROOT / paper.name) for paper in papers}
    everything = [verdict for one in verdicts.values() for verdict in one]
    if options.update_readme:
        tables = {ROOT.parent / "README.md": report.to_markdown(everything, papers=True)}
        for name, one in verdicts.items():
            tables[ROOT / name / "README.md"] = report.to_markdown(one)
        for path, table in tables.items():
            done = report.replace_table(path, table)
            print(f"{path}: {'up to date' if done else 'skipped, it has no ledger markers'}")
    elif options.csv:
        print(report.to_csv(everything), end="")
    elif options.markdown:
        print(report.to_markdown(everything, papers=True), end="")
    else:
        console = report.make_console()
        report.print_table(console, everything, papers=True)
        for paper in papers:
            if count := stale(paper, ROOT / paper.name):
                console.print(f"{paper.name}: {count} recorded values of older settings left out")
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
