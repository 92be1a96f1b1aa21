"""Predicting the Mackey-Glass series: the chaotic time series of the LMU paper."""

import functools
from collections import deque
from dataclasses import dataclass

import numpy as np

from common.checks import check_choice, check_integers, refuse
from common.tasks.task import Arrays, FiniteTask


@dataclass(frozen=True)
class MackeyGlass(FiniteTask):
    """Mackey-Glass series in, the same series `horizon` steps later out.

    Voelker et al. 2019, section 4.3. With the default settings these are, to float32, the very
    numbers of the authors' `mackey-glass.ipynb` (branch `fix-mackey-glass`):
    `dx/dt = 0.2 x(t - tau) / (1 + x(t - tau)^10) - 0.1 x(t)` in Euler steps of a tenth, every
    tenth of them kept (the notebook's `delta_t=1` is never passed on to its generator, whose
    default of 10 applies), a history drawn uniformly from 1.1 to 1.3, `tanh(x - 1)`, and the mean
    over all series subtracted. The first series starts from 1.2 and each other one from where the
    series before it ended, with a new history. They take about a second to compute, once.

    The first quarter of the series is for training, the second for validation (Keras'
    `validation_split=0.5`), the second half for testing. A batch holds:

    - `"inputs"`: float32 `(B, length, 1)`.
    - `"targets"`: float32 `(B, length, 1)`.

    Args:
        series: Number of series, a multiple of 4.
        length: Steps of each series.
        horizon: How many steps ahead the target lies.
        tau: Delay of the equation in steps; 17 is mildly chaotic.
        substeps: Euler steps for each step.
        washout: Steps dropped from the start of each series.
        data_seed: Seed of the histories. The seed of `batch` only orders the examples.

    Raises:
        ValueError: if an argument is out of range.
    """

    series: int = 128
    length: int = 5000
    horizon: int = 15
    tau: int = 17
    substeps: int = 10
    washout: int = 100
    data_seed: int = 0

    def __post_init__(self) -> None:
        check_integers(
            self,
            1,
            series=self.series,
            length=self.length,
            horizon=self.horizon,
            tau=self.tau,
            substeps=self.substeps,
        )
        check_integers(self, 0, washout=self.washout, data_seed=self.data_seed)
        if self.series % 4:
            refuse(self, "series", "a multiple of 4", self.series)

    def arrays(self, split: str = "train") -> Arrays:
        check_choice(self, ("train", "validation", "test"), split=split)
        quarter = self.series // 4
        chosen = {
            "train": slice(quarter),
            "validation": slice(quarter, 2 * quarter),
            "test": slice(2 * quarter, None),
        }[split]
        values = _centred_series(self)[chosen, :, None]
        return {"inputs": values[:, : -self.horizon], "targets": values[:, self.horizon :]}


@functools.lru_cache(maxsize=4)
def _centred_series(task: MackeyGlass) -> np.ndarray:
    """All series, float32 `(series, length + horizon)`, read-only."""
    # The generator of the notebook, NumPy's legacy one: other numbers would be other data.
    uniform = np.random.RandomState(task.data_seed).rand(task.series, task.tau * task.substeps)
    histories = 1.2 + 0.2 * (uniform - 0.5)
    steps = task.washout + task.length + task.horizon
    values = np.empty((task.series, steps))
    # Each series starts where the last one ended, so they can't be stepped side by side; plain
    # floats are several times as fast as NumPy's here. The order of the operations is the
    # notebook's: the series are chaotic, and rounding alone would lead elsewhere.
    x, substeps = 1.2, task.substeps
    for row, history in zip(values, histories, strict=True):
        past = deque(history.tolist())
        pop, push = past.popleft, past.append
        for step in range(steps):
            for _ in range(substeps):
                delayed = pop()
                push(x)
                x += (0.2 * delayed / (1.0 + delayed**10) - 0.1 * x) / substeps
            row[step] = x
    values = np.tanh(values[:, task.washout :] - 1.0)
    values = (values - values.mean()).astype(np.float32)
    values.setflags(write=False)
    return values
