"""Training that can be killed at any moment and resumed to the same numbers."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import keras

from common.reproduce.execute import checkpoint
from common.reproduce.execute.checkpoint import Progress, Row
from common.reproduce.execute.interrupts import Deferral, deferred

Batch = Sequence[Any] | Mapping[str, Any]
Best = tuple[Literal["min", "max"], str]

SHOW_EVERY_SECONDS = 0.5
PROBED_UPDATES = 3


class Diverged(ArithmeticError):
    """Training met a loss, or an evaluation, that is no number.

    Attributes:
        step: the optimizer step, counted from 1.
        what: name of the metric and what it was.
    """

    def __init__(self, step: int, what: str):
        super().__init__(f"{what} at step {step}")
        self.step = step
        self.what = what


class Stepper(Protocol):
    """Takes train steps through Keras's own compiled train function."""

    def step(self, data: tuple[Any, Any, Any]) -> Any:
        """One optimizer step on (x, y, sample_weight); may return before the device is done.

        Returns:
            The training loss, the mean since the metrics were reset, a tensor still to come.
        """

    def sync(self) -> None:
        """Brings the model's variables up to date."""


class VariableStepper:
    """TensorFlow and torch: the train function updates the model's variables itself."""

    def __init__(self, model: keras.Model):
        model.make_train_function()
        self._train_function = model.train_function

    def step(self, data: tuple[Any, Any, Any]) -> Any:
        return self._train_function([data])["loss"]

    def sync(self) -> None:
        pass


class FunctionalStepper:
    """JAX: the train function maps the values of the variables to their next values."""

    def __init__(self, model: keras.Model):
        model.make_train_function()
        self._train_function = model.train_function
        self._groups = (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
        self._values: Any = None

    def step(self, data: tuple[Any, Any, Any]) -> Any:
        if self._values is None:
            self._values = tuple([variable.value for variable in group] for group in self._groups)
        logs, self._values = self._train_function(self._values, iter([data]))
        return logs["loss"]

    def sync(self) -> None:
        if self._values is None:
            return
        for group, values in zip(self._groups, self._values, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)
        # The next step donates the buffers it reads, so it must read them from the variables.
        self._values = None


def make_stepper(model: keras.Model) -> Stepper:
    """The stepper of the current backend for a compiled and built `model`."""
    if keras.backend.backend() == "jax":
        return FunctionalStepper(model)
    return VariableStepper(model)


def unpack(batch: Batch) -> tuple[Any, Any, Any]:
    """(x, y, sample_weight) of a batch given as a tuple of up to three or as a mapping.

    Raises:
        ValueError: if it is neither.
    """
    if isinstance(batch, Mapping):
        unknown = set(batch) - {"x", "y", "sample_weight"}
        if "x" not in batch or unknown:
            raise ValueError(
                f"batches returned the keys {sorted(batch)}, expected x and maybe y, sample_weight."
            )
        return batch["x"], batch.get("y"), batch.get("sample_weight")
    if not isinstance(batch, tuple | list) or not 1 <= len(batch) <= 3:
        raise ValueError(
            f"batches returned a {type(batch).__name__}, expected (x, y) or (x, y, sample_weight)."
        )
    x, y, sample_weight = (*batch, None, None)[:3]
    return x, y, sample_weight


def best_row(history: Sequence[Row], best: Best) -> Row | None:
    """The first row with the lowest ("min") or highest ("max") value; NaN never wins."""
    direction, metric = best
    sign = 1.0 if direction == "min" else -1.0
    rows = [row for row in history if row[metric] == row[metric]]
    return min(rows, key=lambda row: sign * row[metric], default=None)


def evaluations_since_best(history: Sequence[Row], best: Best) -> int:
    """How many evaluations ago the best row came, for `stop`; all of them if none is a number."""
    row = best_row(history, best)
    steps = [one["step"] for one in history]
    return len(steps) if row is None else len(steps) - 1 - steps.index(row["step"])


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a model is trained; `Run.train` documents the fields."""

    batches: Callable[[int], Batch]
    steps: int
    evaluate: Callable[[], Mapping[str, float]] | None
    eval_every: int
    stop: Callable[[Sequence[Row]], bool] | None
    best: Best | None
    checkpoint_every_seconds: float

    def __post_init__(self) -> None:
        for name in ("steps", "eval_every"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is {value!r}, expected a positive integer.")
        if self.best is not None and self.best[0] not in ("min", "max"):
            raise ValueError(f"best is {self.best!r}, expected ('min' or 'max', metric).")


def fit(
    model: keras.Model,
    training: Training,
    path: Path,
    on_row: Callable[[Row], None],
    on_progress: Callable[[int, float], None],
) -> Progress:
    """Trains `model` from the checkpoint in `path`, or from the start.

    Args:
        model: compiled; need not be built.
        training: what to do.
        path: the checkpoint, written while training and at its end.
        on_row: called with every row of the history, those restored included.
        on_progress: called with the step and the training loss, now and then.

    Returns:
        The finished progress; the model holds the best weights if `training.best` asks for them.

    Raises:
        Diverged: at the first loss that is not finite, or evaluation that is no number.
        Interrupted: after a signal, once the checkpoint is written.
    """
    if model.steps_per_execution != 1:
        raise ValueError(f"steps_per_execution is {model.steps_per_execution!r}, expected 1.")
    resumes = path.exists()
    progress = Progress()
    with _clock(progress, "compile"):
        # Builds model, optimizer and metrics and compiles the step. When resuming, the variables
        # it changes are all overwritten by the checkpoint.
        first = model.train_on_batch(*unpack(training.batches(0)))
    compiled = progress.clocks["compile"]
    progress.step = 1
    progress.probe = [float(first[0] if isinstance(first, list) else first)]
    if resumes:
        progress = checkpoint.restore(path, model)
        progress.clocks["compile"] += compiled
    for row in progress.history:
        on_row(row)
    if not progress.finished:
        _require_finite("loss", progress.probe[0], 1)
        _continue(model, training, path, progress, on_row, on_progress)
    if progress.best is not None:
        model.set_weights(progress.best)
    return progress


def probe(model: keras.Model, training: Training, path: Path) -> list[float]:
    """The losses of the first updates, as a run records them."""
    steps = min(training.steps, PROBED_UPDATES)
    short = replace(training, steps=steps, eval_every=steps, evaluate=None, stop=None, best=None)
    return fit(model, short, path, lambda row: None, lambda step, loss: None).probe


def _continue(
    model: keras.Model,
    training: Training,
    path: Path,
    progress: Progress,
    on_row: Callable[[Row], None],
    on_progress: Callable[[int, float], None],
) -> None:
    stepper = make_stepper(model)
    saved = time.monotonic()
    with deferred() as deferral:
        while not progress.finished and not deferral.number:
            last = progress.history[-1]["step"] if progress.history else 0
            due = min(int(last) + training.eval_every, training.steps)
            pause = saved + training.checkpoint_every_seconds
            _advance(model, stepper, training, progress, due, pause, deferral, on_progress)
            if progress.step == due:
                row = _evaluate(model, training, progress)
                on_row(row)
                stopped = training.stop is not None and training.stop(progress.history)
                progress.finished = stopped or progress.step >= training.steps
            if progress.finished or deferral.number or time.monotonic() >= pause:
                with _clock(progress, "checkpoint"):
                    checkpoint.save(path, model, progress)
                saved = time.monotonic()
                deferral.saved = f"{path} holds step {progress.step:,}"


def _advance(
    model: keras.Model,
    stepper: Stepper,
    training: Training,
    progress: Progress,
    due: int,
    pause: float,
    deferral: Deferral,
    on_progress: Callable[[int, float], None],
) -> None:
    """Trains up to step `due`, until a signal comes or, where it shows its loss, time `pause`.

    The variables are then in sync. Losses are read where they are shown: a device is never waited
    for in order to look at one.
    """
    shown = time.monotonic()
    clocks = progress.clocks
    means: list[Any] = []  # of the losses since the last reset, one a step not looked at yet
    while progress.step < due and not deferral.number:
        start = time.perf_counter()
        data = unpack(training.batches(progress.step))
        sampled = time.perf_counter()
        before = _losses(model) if len(progress.probe) < PROBED_UPDATES else None
        means.append(stepper.step(data))
        progress.step += 1
        clocks["data"] = clocks.get("data", 0.0) + sampled - start
        clocks["train"] = clocks.get("train", 0.0) + time.perf_counter() - sampled
        if before is not None:
            stepper.sync()
            total, count = (now - then for now, then in zip(_losses(model), before, strict=True))
            progress.probe.append(total / count)
        if time.monotonic() - shown >= SHOW_EVERY_SECONDS:
            with _clock(progress, "train"):
                stepper.sync()
                loss = _finite_mean(means, progress.step)
            means.clear()
            on_progress(progress.step, loss)
            shown = time.monotonic()
            if shown >= pause:
                break
    with _clock(progress, "train"):
        stepper.sync()
        if means:
            _finite_mean(means, progress.step)


def _finite_mean(means: Sequence[Any], step: int) -> float:
    """The last of the means after the latest steps, the last of which is `step`.

    Once a loss is not finite, neither is any mean after it.
    """
    last = float(means[-1])
    if not math.isfinite(last):
        for index, mean in enumerate(means):
            _require_finite("loss", float(mean), step - len(means) + index + 1)
    return last


def _require_finite(name: str, value: float, step: int) -> None:
    if not math.isfinite(value):
        raise Diverged(step, f"{name} is {value}")


def _losses(model: keras.Model) -> tuple[float, float]:
    """Sum and count of the losses that Keras keeps since the metrics' last reset."""
    (tracker,) = (metric for metric in model.metrics if metric.name == "loss")
    return float(tracker.total), float(tracker.count)


def _evaluate(model: keras.Model, training: Training, progress: Progress) -> Row:
    with _clock(progress, "train"):  # reading the metrics waits for the steps under way
        row = {"step": float(progress.step)}
        row |= {name: float(value) for name, value in model.get_metrics_result().items()}
    values = {}
    if training.evaluate is not None:
        with _clock(progress, "eval"):
            values = {name: float(value) for name, value in training.evaluate().items()}
    model.reset_metrics()  # after evaluate, which may have used them
    clash = sorted(set(values) & set(row))
    if clash:
        raise ValueError(f"evaluate returned {clash}, names that the training metrics have.")
    row |= values
    for name, value in row.items():
        if math.isnan(value):
            raise Diverged(progress.step, f"{name} is {value}")
    if training.best is not None and training.best[1] not in row:
        raise ValueError(f"best is {training.best!r}, expected a metric of {sorted(row)}.")
    progress.history.append(row)
    if training.best is not None and best_row(progress.history, training.best) is row:
        progress.best = model.get_weights()
    return row


@contextmanager
def _clock(progress: Progress, name: str) -> Iterator[None]:
    start = time.perf_counter()
    try:
        yield
    finally:
        progress.clocks[name] = progress.clocks.get(name, 0.0) + time.perf_counter() - start
