"""A process for one seed of a plan."""

import subprocess
import sys

from common.reproduce.declare.overrides import override_words
from common.reproduce.execute.interrupts import Interrupted
from common.reproduce.execute.plan import Plan


class ProcessError(RuntimeError):
    """The process of a seed ended early, and has said why.

    Attributes:
        code: its exit code.
    """

    def __init__(self, code: int):
        super().__init__(f"exit code {code}")
        self.code = code


def run_process(plan: Plan) -> int:
    """Runs a plan of one seed in a process of its own, and waits for it.

    Returns:
        Its exit code.

    Raises:
        Interrupted: on a signal, when the process has ended too.
    """
    process = subprocess.Popen(command(plan), stdout=subprocess.DEVNULL)
    try:
        code = process.wait()
    except Interrupted:
        process.terminate()
        process.wait()
        raise
    if code > 128:
        raise Interrupted(code - 128)
    return code


def command(plan: Plan) -> list[str]:
    """The command line of a plan."""
    options = {
        "--experiment": [plan.experiment.name],
        "--preset": [plan.preset],
        "--variant": plan.variants,
        "--seeds": [str(seed) for seed in plan.seeds],
        "--runs-dir": [str(plan.runs_dir)],
        "--data-dir": [] if plan.data_dir is None else [str(plan.data_dir)],
    }
    words = [word for name, values in options.items() if values for word in (name, *values)]
    words += [word for one in override_words(plan.overrides) for word in ("--set", one)]
    flags = [name for name in ("record", "rerun", "verbose") if getattr(plan, name)]
    module = f"papers.{plan.paper.name}"
    return [sys.executable, "-m", module, *words, *(f"--{name}" for name in flags)]
