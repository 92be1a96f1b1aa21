"""What a trial is given: its seed, its directory, and training that survives a kill."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from common.reproduce.files import format_csv, write_bytes, write_text

if TYPE_CHECKING:
    import keras

    from common.reproduce.execute.checkpoint import Row
    from common.reproduce.execute.training import Batch, Best

Show = Callable[[str, int, int, dict[str, float]], None]


class Probed(Exception):
    """Ends a run that only probes: it has the losses of the first updates.

    Attributes:
        losses: one an update.
    """

    def __init__(self, losses: list[float]):
        super().__init__(losses)
        self.losses = losses


class Run:
    """One (variant, seed) of an experiment.

    The runner seeds Python, NumPy and Keras with `seed` before the trial starts. A trial that was
    killed is called again from its start: whatever it does outside `train` must depend on its
    settings and seed only. Layers that draw random numbers hold a `keras.random.SeedGenerator`.

    Attributes:
        variant: name of the variant.
        preset: "smoke", "cpu" or "paper".
        seed: of this run.
        dir: directory of this run's files.
        data_dir: where evaluation sets are, or None for the default of TFDS.
        history: rows of the latest `train`, one an evaluation.
        clocks: seconds by name ("compile", "data", "train", "eval", "checkpoint"), summed over
            the calls of `train`.
        probe: losses of the first updates of the first `train`, empty before it.
    """

    def __init__(
        self,
        *,
        variant: str,
        preset: str,
        seed: int,
        dir: Path,
        data_dir: Path | None = None,
        show: Show | None = None,
        probes: bool = False,
    ):
        self.variant = variant
        self.preset = preset
        self.seed = seed
        self.dir = dir
        self.data_dir = data_dir
        self.history: list[Row] = []
        self.clocks: dict[str, float] = {}
        self.probe: list[float] = []
        self._show = show
        self._probes = probes
        self._rows: list[dict[str, Any]] = []
        self._trained: set[str] = set()
        self._board = _tensorboard(dir / "tensorboard")

    def log(self, step: int = 0, **scalars: float) -> None:
        """Adds a row to metrics.csv and to TensorBoard.

        Args:
            step: what the values are plotted against.
            **scalars: name to value.
        """
        self._add("trial", {"step": float(step), **scalars})
        self.write_metrics()

    def train(
        self,
        model: "keras.Model",
        batches: "Callable[[int], Batch]",
        *,
        steps: int,
        evaluate: Callable[[], Mapping[str, float]] | None = None,
        eval_every: int | None = None,
        stop: "Callable[[Sequence[Row]], bool] | None" = None,
        best: "Best | None" = None,
        checkpoint_every_seconds: float = 30.0,
        name: str = "train",
    ) -> dict[str, float]:
        """Trains `model`; killed and called again, it goes on from its last checkpoint.

        Args:
            model: compiled, with an optimizer and a loss; trained by its own train step.
            batches: the batch of a step, counted from 0, as (x, y), (x, y, sample_weight) or a
                mapping with these names. A pure function: the same step gives the same batch.
            steps: how many at most.
            evaluate: metric name to value; a pure function of the model's weights.
            eval_every: steps between evaluations, by default a twentieth of `steps`; there is
                always one after the last step.
            stop: given the history, whether to stop; asked after every evaluation. A pure
                function; `evaluations_since_best` helps to write it.
            best: ("min" or "max", metric): the weights of the best evaluation are put back at
                the end.
            checkpoint_every_seconds: least time between checkpoints.
            name: of this training, if a trial trains more than once.

        Returns:
            The row of the history that the model's weights stand for: the best one if `best` is
            given, else the last. It has "step", the training metrics since the evaluation before
            ("loss" and the compiled metrics) and the values of `evaluate`.

        Raises:
            ValueError: if an argument is not as described.
            Diverged: if the loss is not finite, or an evaluation no number.
            Probed: if the run only probes.
        """
        from common.reproduce.execute import training

        if name in self._trained:
            raise ValueError(f"name is {name!r}, expected another: this trial has trained it.")
        self._trained.add(name)
        plan = training.Training(
            batches=batches,
            steps=steps,
            evaluate=evaluate,
            eval_every=max(1, steps // 20) if eval_every is None else eval_every,
            stop=stop,
            best=best,
            checkpoint_every_seconds=checkpoint_every_seconds,
        )
        if self._probes:
            raise Probed(training.probe(model, plan, self.dir / f"{name}.checkpoint.npz"))
        shown: dict[str, float] = {}

        def on_progress(step: int, values: Mapping[str, float]) -> None:
            shown.update(values)
            if self._show is not None:
                self._show(name, step, steps, shown)

        def on_row(row: "Row") -> None:
            self._add(name, row)
            values = {key: value for key, value in row.items() if key != "step"}
            on_progress(int(row["step"]), values)

        try:
            progress = training.fit(
                model,
                plan,
                self.dir / f"{name}.checkpoint.npz",
                on_row,
                lambda step, loss: on_progress(step, {"loss": loss}),
            )
        finally:
            self.write_metrics()
        self.probe = self.probe or progress.probe
        self.history = progress.history
        for clock, seconds in progress.clocks.items():
            self.clocks[clock] = self.clocks.get(clock, 0.0) + seconds
        self.save(model, "model" if name == "train" else name)
        row = training.best_row(progress.history, best) if best is not None else None
        return dict(row or progress.history[-1])

    def save(self, model: "keras.Model", name: str = "model") -> None:
        """Writes `<name>.keras`, which `keras.saving.load_model` loads after `import papers`.

        `train` does so with the weights that the model is left with.

        Args:
            model: built.
            name: of the file.
        """
        with TemporaryDirectory() as directory:
            file = Path(directory) / f"{name}.keras"
            model.save(file)
            write_bytes(self.dir / file.name, file.read_bytes())

    def write_metrics(self) -> None:
        """Writes metrics.csv: one row an evaluation or `log`."""
        columns = ["phase", "step"]
        for row in self._rows:
            columns += [key for key in row if key not in columns]
        write_text(self.dir / "metrics.csv", format_csv(columns, self._rows))

    def _add(self, phase: str, row: Mapping[str, float]) -> None:
        self._rows.append({"phase": phase, **row})
        if self._board is not None:
            self._board(phase, row)


def _tensorboard(directory: Path) -> Callable[[str, Mapping[str, float]], None] | None:
    """Writes rows as scalars under `directory`; None where the backend is not TensorFlow.

    Rows restored from a checkpoint are written again, so what was there is cleared.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    shutil.rmtree(directory, ignore_errors=True)
    writer = tf.summary.create_file_writer(str(directory))
    # What tf.summary.scalar writes; that function itself needs TensorBoard to be installed.
    metadata = tf.compat.v1.SummaryMetadata(data_class="DATA_CLASS_SCALAR")
    metadata.plugin_data.plugin_name = "scalars"

    def write(phase: str, row: Mapping[str, float]) -> None:
        with writer.as_default(step=int(row["step"])):
            for key, value in row.items():
                if key != "step":
                    tf.summary.write(
                        f"{phase}/{key}", tf.constant(value, tf.float32), None, metadata
                    )
        writer.flush()

    return write
