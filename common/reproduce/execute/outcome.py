"""What became of the runs of a plan, and their rows in results.csv."""

from dataclasses import dataclass, field
from typing import Any

from common.reproduce.execute import results
from common.reproduce.execute.attempt import run_name
from common.reproduce.execute.plan import DIVERGED, Plan


@dataclass
class Outcome:
    """What became of a plan.

    Attributes:
        runs: those that are finished.
        held: names of the runs that another process is at.
        diverged: names of the runs that diverged.
        failed: names of the runs whose trial failed, to the reason.
    """

    runs: list[results.Result] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    diverged: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, plan: Plan, summary: dict[str, Any]) -> None:
        """Adds a finished run, to the paper's results.csv too if the plan records."""
        variant, seed = summary["variant"], summary["seed"]
        if summary["status"] == DIVERGED:
            self.diverged.append(f"{run_name(variant, seed)} at step {summary['diverged_at']:,}")
        self.runs.append(results.read_row(_row(summary)))
        if plan.record:
            results.record(plan.directory / "results.csv", _row(summary))


def _row(summary: dict[str, Any]) -> dict[str, Any]:
    """The row of results.csv for one finished run."""
    origin = summary["provenance"]
    versions = origin["versions"]
    whole = ("experiment", "preset", "variant", "seed", "status", "probe", "settings")
    diverged = summary["status"] == DIVERGED
    averages = [*origin["load_average"], *origin["load_average_end"]]
    return {
        **{name: summary[name] for name in (*whole, "fingerprint", "backend")},
        **{name: origin[name] for name in ("commit", "dirty", "command", "hardware")},
        **{name: origin[name] for name in ("process", "threads", "xla_flags", "code")},
        **{name: versions[name] for name in ("keras", "python", "numpy")},
        "metrics": {"diverged_at": summary["diverged_at"]} if diverged else summary["metrics"],
        "backend_version": versions[summary["backend"]],
        "seconds": f"{summary['seconds']['total']:.1f}",
        "load": " ".join(f"{one:.2f}" for one in averages),
        "date": origin["end"],
    }
