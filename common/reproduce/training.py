"""Training that can be killed at any moment and resumed to the same numbers."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import keras

from common.reproduce import checkpoint
from common.reproduce.checkpoint import Progress, Row

Batch = Sequence[Any] | Mapping[str, Any]
Best = tuple[Literal["min", "max"], str]

SHOW_EVERY_SECONDS = 0.5


class Stepper(Protocol):
    """Takes train steps through Keras's own compiled train function."""

    def step(self, data: tuple[Any, Any, Any]) -> None:
        """One optimizer step on (x, y, sample_weight); may return before the device is done."""

    def sync(self) -> None:
        """Brings the model's variables up to date."""


class VariableStepper:
    """TensorFlow and torch: the train function updates the model's variables itself."""

    def __init__(self, model: keras.Model):
        model.make_train_function()
        self._train_function = model.train_function

    def step(self, data: tuple[Any, Any, Any]) -> None:
        self._train_function([data])

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

    def step(self, data: tuple[Any, Any, Any]) -> None:
        if self._values is None:
            self._values = tuple([variable.value for variable in group] for group in self._groups)
        _, self._values = self._train_function(self._values, iter([data]))

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
    """
    if model.steps_per_execution != 1:
        raise ValueError(f"steps_per_execution is {model.steps_per_execution!r}, expected 1.")
    resumes = path.exists()
    progress = Progress()
    with _clock(progress, "compile"):
        # Builds model, optimizer and metrics and compiles the step. When resuming, the variables
        # it changes are all overwritten by the checkpoint.
        model.train_on_batch(*unpack(training.batches(0)))
    compiled = progress.clocks["compile"]
    progress.step = 1
    if resumes:
        progress = checkpoint.restore(path, model)
        progress.clocks["compile"] += compiled
    for row in progress.history:
        on_row(row)
    if not progress.finished:
        _continue(model, training, path, progress, on_row, on_progress)
    if progress.best is not None:
        model.set_weights(progress.best)
    return progress


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
    while not progress.finished:
        last = progress.history[-1]["step"] if progress.history else 0
        due = min(int(last) + training.eval_every, training.steps)
        _advance(model, stepper, training, progress, due, saved, on_progress)
        if progress.step == due:
            row = _evaluate(model, training, progress)
            on_row(row)
            stopped = training.stop is not None and training.stop(progress.history)
            progress.finished = stopped or progress.step >= training.steps
        if progress.finished or time.monotonic() - saved >= training.checkpoint_every_seconds:
            with _clock(progress, "checkpoint"):
                checkpoint.save(path, model, progress)
            saved = time.monotonic()


def _advance(
    model: keras.Model,
    stepper: Stepper,
    training: Training,
    progress: Progress,
    due: int,
    saved: float,
    on_progress: Callable[[int, float], None],
) -> None:
    """Trains up to step `due`, or until a checkpoint is due; the variables are then in sync."""
    shown = time.monotonic()
    clocks = progress.clocks
    while progress.step < due:
        start = time.perf_counter()
        data = unpack(training.batches(progress.step))
        sampled = time.perf_counter()
        stepper.step(data)
        progress.step += 1
        clocks["data"] = clocks.get("data", 0.0) + sampled - start
        clocks["train"] = clocks.get("train", 0.0) + time.perf_counter() - sampled
        now = time.monotonic()
        if now - shown >= SHOW_EVERY_SECONDS:
            with _clock(progress, "train"):
                stepper.sync()
                loss = float(model.get_metrics_result()["loss"])
            on_progress(progress.step, loss)
            shown = now
            if now - saved >= training.checkpoint_every_seconds:
                break
    stepper.sync()


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
