"""The command's side of a cluster: one task a run, and their results in the command's own files."""

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from rich.console import Console
from rich.progress import Progress

from common.reproduce import provenance
from common.reproduce.cluster.connect import LOCAL, check_address, connected
from common.reproduce.cluster.files import Files, read_files, write_files
from common.reproduce.cluster.mailbox import Mailbox, Message
from common.reproduce.cluster.resources import Resources, environment, resources
from common.reproduce.cluster.work import TOKEN, End, Job, work
from common.reproduce.execute.attempt import attempts_before, finished, run_name, told
from common.reproduce.execute.code import code_hash
from common.reproduce.execute.display import RunBar, make_bars, sayer, title
from common.reproduce.execute.interrupts import deferred
from common.reproduce.execute.outcome import Outcome
from common.reproduce.execute.plan import Plan, held
from common.reproduce.execute.trial import Trial, load_trial
from common.reproduce.files import write_json, write_text

FAILURE = "failure.json"
FAILURES = 2  # after which a trial has failed
LOSSES = 10  # of its worker, after which a run has failed: it may be what ends them
LOOK_EVERY_SECONDS = 0.5
SAVED_IN = 60.0  # seconds that the workers have when they are stopped


def run(plan: Plan, address: str, console: Console) -> Outcome:
    """Runs what is not finished on a cluster.

    A run whose worker is lost is started again, from its last checkpoint. One whose trial fails
    is tried once more, and the others go on.

    Args:
        plan: what to run.
        address: "local", "auto", or HOST:PORT of a cluster.
        console: where to print.

    Raises:
        ValueError: if the experiment is a timing, the address is none, Ray is missing, no cluster
            is there, its machines are too small, or the settings are not the trial's.
        FileError: if a file of an earlier run is damaged.
        RuntimeError: if another command is at the same plan on a cluster.
        Interrupted: on a signal; what is under way is saved first.
    """
    if plan.experiment.kind == "timing":
        raise ValueError(
            f"--cluster is {address!r}, expected none: {plan.experiment.name} is a timing, which "
            "has a machine for itself."
        )
    check_address(address)
    trial = load_trial(plan)
    plan = replace(
        plan,
        runs_dir=plan.runs_dir.absolute(),
        data_dir=None if plan.data_dir is None else plan.data_dir.absolute(),
    )
    outcome = Outcome()
    with _alone(plan), make_bars(console) as bars:
        driver = _Driver(plan, trial, outcome, bars)
        driver.collect_finished()
        if driver.waiting:
            variables = environment(driver.preset, provenance.backend())
            with connected(address, variables, plan.verbose) as ray:
                driver.drive(ray, address == LOCAL)
    return outcome


@contextmanager
def _alone(plan: Plan) -> Iterator[None]:
    """Keeps other commands with `--cluster` from the plan's directory."""
    try:
        with held(plan.root):
            yield
    except BlockingIOError as error:
        raise RuntimeError(f"{plan.root}: another command with --cluster is at it") from error


@dataclass
class _Run:
    """A run that is not finished.

    Attributes:
        variant: name of the variant.
        seed: of the run.
        begun: whether a task was started for it.
        failures: of its trial.
        losses: how often its worker was lost.
        bar: where it is shown.
    """

    variant: str
    seed: int
    begun: bool = False
    failures: list[End] = field(default_factory=list)
    losses: int = 0
    bar: RunBar | None = None

    @property
    def name(self) -> str:
        return run_name(self.variant, self.seed)


class _Driver:
    """Starts the tasks of a plan and takes what comes back."""

    def __init__(self, plan: Plan, trial: Trial, outcome: Outcome, bars: Progress):
        self.plan = plan
        self.kept = replace(plan, rerun=False)
        self.preset = plan.experiment.presets[plan.preset]
        self.trial = trial
        self.outcome = outcome
        self.bars = bars
        self.say = sayer(bars.console)
        self.total = len(plan.variants) * len(plan.seeds)
        self.overall = bars.add_task(title(plan), total=self.total, values="")
        self.waiting: list[_Run] = []
        self.running: dict[Any, _Run] = {}  # by the reference of the task
        self.held: list[_Run] = []
        self.stopping = False
        self.saved = 0
        self.token = uuid.uuid4().hex

    def collect_finished(self) -> None:
        """Takes what is finished, and leaves the others waiting."""
        for variant in self.plan.variants:
            for seed in self.plan.seeds:
                one, summary = _Run(variant, seed), None
                if not self.plan.rerun:
                    summary = finished(self.plan, self.trial, variant, seed)
                if summary is None:
                    self.waiting.append(one)
                else:
                    self.say(f"{one.name}: finished before, {told(summary)}")
                    self._add(summary)

    def drive(self, ray: Any, local: bool) -> None:
        """Runs what is waiting; a first signal lets the workers save."""
        self.ray, self.local = ray, local
        needed = self._resources([node["Resources"] for node in ray.nodes() if node["Alive"]])
        self.task = ray.remote(**needed.options(), max_retries=0)(work)
        self.mailbox = (
            ray.remote(Mailbox).options(num_cpus=0, max_restarts=-1, max_task_retries=-1).remote()
        )
        self.mail = self.mailbox.take.remote()
        write_text(self.plan.root / TOKEN, self.token)
        with deferred() as deferral:
            while (self.waiting or self.running) and not deferral.number:
                waiting, self.waiting = self.waiting, []
                for one in waiting:
                    self._start(one)
                self._look()
            if deferral.number:
                deferral.saved = self._stop()
            (self.plan.root / TOKEN).unlink(missing_ok=True)
        self.outcome.held = [one.name for one in self.held]

    def _resources(self, machines: list[Mapping[str, float]]) -> Resources:
        needed = resources(self.preset, machines)
        if not any(needed.fit(machine) for machine in machines):
            text = f"a run takes {needed}, and no machine of the cluster has them"
            if self.local:
                raise ValueError(f"--cluster is {LOCAL!r}: {text}.")
            self.say(f"{text}: waiting for one")
        return needed

    def _start(self, one: _Run) -> None:
        plan = self.kept if one.begun else self.plan
        one.begun = True
        directory = plan.run_dir(one.variant, one.seed)
        # Where another process holds it, the worker waits for a while, and says so.
        with suppress(BlockingIOError), held(directory):
            attempts_before(plan, self.trial, one.variant, one.seed, self.say)
            (directory / FAILURE).unlink(missing_ok=True)
        root = plan.directory.parents[1]
        job = Job(
            name=one.name,
            plan=self.kept,
            variant=one.variant,
            seed=one.seed,
            token=self.token,
            code=code_hash(plan.experiment, plan.preset, one.variant, root),
            files=read_files(directory),
        )
        mark = plan.experiment.fingerprint(plan.preset, one.variant)
        name = f"{plan.paper.name} {one.name} {mark}"  # as `ps` and `ray list tasks` show it
        self.running[self.task.options(name=name).remote(job, self.mailbox)] = one

    def _look(self) -> None:
        """Takes what has come, or waits for it a little."""
        refs = [*self.running, self.mail]
        ready, _ = self.ray.wait(refs, num_returns=len(refs), timeout=LOOK_EVERY_SECONDS)
        for ref in ready:
            if ref == self.mail:
                with suppress(self.ray.exceptions.RayError):
                    names = {one.name: one for one in self.running.values()}
                    for message in self.ray.get(ref):
                        self._read(message, names)
                self.mail = self.mailbox.take.remote()
        for ref in ready:
            if ref in self.running:
                one = self.running.pop(ref)
                if one.bar is not None:
                    one.bar.remove()
                    one.bar = None
                self._end(one, ref)

    def _read(self, message: Message, runs: Mapping[str, _Run]) -> None:
        name, kind, content = message
        if (one := runs.get(name)) is None:
            return
        if kind == "files":
            with suppress(BlockingIOError):
                self._write(one, content)
            return
        if one.bar is None:
            one.bar = RunBar(self.bars, name)
        one.bar.show(*content)

    def _end(self, one: _Run, ref: Any) -> None:
        errors = self.ray.exceptions
        try:
            end = self.ray.get(ref)
        except errors.OutOfMemoryError as error:
            end = End(failure="its machine ran out of memory", traceback=str(error))
        except errors.RayTaskError as error:
            cause = error.cause
            end = End(failure=f"{type(cause).__name__}: {cause}", traceback=str(error))
        except errors.RayError as error:
            self._lose(one, error)  # or it never began, where the driver stops its tasks
            return
        try:
            if end.files is not None:
                self._write(one, end.files)
        except BlockingIOError:
            end = End(held=True)
        for line in end.lines:
            self.say(line)
        if end.summary is not None:
            self._add(end.summary)
            # What was held may be free, or finished, now that another one is.
            self.waiting, self.held = self.waiting + self.held, []
        elif end.held:
            self.held.append(one)
        elif end.failure:
            self._fail(one, end)
        elif self.stopping:
            self.saved += bool(end.saved)
        else:
            self._lose(one, RuntimeError("a signal ended it"))

    def _lose(self, one: _Run, error: Exception) -> None:
        if self.stopping:
            return
        one.losses += 1
        if one.losses == LOSSES:
            reason = f"it lost its worker {LOSSES} times: {type(error).__name__}"
            self._give_up(one, End(failure=reason, traceback=str(error)))
        else:
            self.say(f"{one.name}: lost its worker, goes on from its last checkpoint")
            self.waiting.append(one)

    def _fail(self, one: _Run, end: End) -> None:
        one.failures.append(end)
        if len(one.failures) == FAILURES:
            self._give_up(one, end)
        else:
            self.say(f"{one.name}: failed, {end.failure}; it is tried once more")
            self.waiting.append(one)

    def _give_up(self, one: _Run, end: End) -> None:
        record = {"date": provenance.now(), "reason": end.failure, "traceback": end.traceback}
        write_json(self.plan.run_dir(one.variant, one.seed) / FAILURE, record)
        self.outcome.failed[one.name] = end.failure
        self.bars.advance(self.overall)

    def _write(self, one: _Run, files: Files) -> None:
        directory = self.plan.run_dir(one.variant, one.seed)
        with held(directory):
            write_files(directory, files)

    def _add(self, summary: dict[str, Any]) -> None:
        self.outcome.add(self.plan, summary)
        self.bars.advance(self.overall)

    def _stop(self) -> str:
        """Lets the workers save: what they did."""
        self.stopping = True
        for ref in self.running:
            self.ray.cancel(ref)
        until = time.monotonic() + SAVED_IN
        while self.running and time.monotonic() < until:
            self._look()
        done = f"{len(self.outcome.runs)} of {self.total} runs are finished"
        return f"{done}, {self.saved} under way saved"
