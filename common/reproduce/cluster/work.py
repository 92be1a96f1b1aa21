"""What a worker does: one run, as the same command without a cluster would do it."""

import socket
import tempfile
import time
import traceback
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from common.reproduce import provenance
from common.reproduce.cluster.files import Files, read_files, sent_when_changed, write_files
from common.reproduce.cluster.resources import pin_threads
from common.reproduce.execute.attempt import TrialError, run_one
from common.reproduce.execute.code import code_hash
from common.reproduce.execute.interrupts import Interrupted, raised
from common.reproduce.execute.plan import Plan, package_directory
from common.reproduce.execute.run import Show
from common.reproduce.execute.trial import Trial, load_trial

SHOW_EVERY_SECONDS = 0.5
PATIENCE = 30.0  # seconds: the workers of a driver that was killed end after it


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run, as it is sent to a worker.

    Attributes:
        name: of the run.
        plan: what the driver runs, with absolute paths.
        variant: name of the variant.
        seed: of the run.
        token: what is in the file `plan.root / TOKEN` of the driver.
        code: hash of the code behind the run, as the driver has it.
        files: of an unfinished run, where the worker may not see them.
    """

    name: str
    plan: Plan
    variant: str
    seed: int
    token: str
    code: str
    files: Files = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class End:
    """How a task ended.

    Attributes:
        summary: of the run, None if it is not finished.
        lines: what a user reads of it.
        files: of the run, where the worker does not see the driver's directory; else None.
        held: whether another process is at the run.
        saved: what was saved when the driver stopped the task.
        failure: why the trial failed, in a line.
        traceback: of the failure.
    """

    summary: dict[str, Any] | None = None
    lines: tuple[str, ...] = ()
    files: Files | None = None
    held: bool = False
    saved: str = ""
    failure: str = ""
    traceback: str = ""


TOKEN = ".cluster"


def work(job: Job, mailbox: Any) -> End:
    """The task. A signal, by which Ray cancels it, lets a training save first.

    Args:
        job: the run.
        mailbox: handle of a `Mailbox`.
    """
    with raised():
        plan = replace(job.plan, directory=package_directory(job.plan.paper))
        pin_threads(plan.experiment.presets[plan.preset].cpus, provenance.backend())
        _check_code(job, plan)
        trial = load_trial(plan)
        show = _shower(job.name, mailbox)
        if _sees(plan.root / TOKEN, job.token):
            return _run(job, plan, trial, show)
        with tempfile.TemporaryDirectory() as directory:
            plan = replace(plan, runs_dir=Path(directory))
            mine = plan.run_dir(job.variant, job.seed)
            mine.mkdir(parents=True)
            write_files(mine, job.files)

            def send(files: Files) -> None:
                mailbox.put.remote((job.name, "files", files))

            with sent_when_changed(mine, send):
                end = _run(job, plan, trial, show)
            return replace(end, files=read_files(mine))


def _run(job: Job, plan: Plan, trial: Trial, show: Show) -> End:
    lines: list[str] = []
    begun = time.monotonic()
    try:
        while True:
            try:
                summary = run_one(plan, trial, job.variant, job.seed, show, lines.append)
                return End(summary=summary, lines=tuple(lines))
            except BlockingIOError:
                if time.monotonic() - begun > PATIENCE:
                    return End(held=True)
                time.sleep(1)
    except Interrupted as interrupted:
        return End(saved=interrupted.saved)
    except Exception as error:
        text = str(error) if isinstance(error, TrialError) else f"{type(error).__name__}: {error}"
        return End(
            failure=text.removeprefix(f"{job.name}: "),
            traceback="".join(traceback.format_exception(error)),
            lines=tuple(lines),
        )


def _check_code(job: Job, plan: Plan) -> None:
    root = plan.directory.parents[1]
    code = code_hash(plan.experiment, plan.preset, job.variant, root)
    if code != job.code:
        raise RuntimeError(
            f"the code in {root} on {socket.gethostname()} is {code}, expected the driver's, "
            f"{job.code}"
        )


def _sees(path: Path, token: str) -> bool:
    """Whether this machine sees the driver's directory."""
    try:
        return path.read_text() == token
    except OSError:
        return False


def _shower(name: str, mailbox: Any) -> Show:
    """Tells the driver how far a run is, not too often."""
    shown = 0.0

    def show(phase: str, step: int, steps: int, values: dict[str, float]) -> None:
        nonlocal shown
        if time.monotonic() - shown >= SHOW_EVERY_SECONDS:
            shown = time.monotonic()
            mailbox.put.remote((name, "progress", (phase, step, steps, dict(values))))

    return show
