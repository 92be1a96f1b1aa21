"""Digits as short curves: MNIST-1D, which is generated."""

import functools
from dataclasses import dataclass

import numpy as np

from common.checks import check_choice, check_flags, check_integers
from common.tasks.task import SPLITS, Arrays, FiniteTask

# The data set's own: a digit's height at twelve points, one row a digit; then its parameters.
TEMPLATES = np.array(
    [
        [5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5],
        [5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5],
        [5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5],
        [5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5],
        [5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5],
        [5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5],
        [5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5],
        [5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5],
        [5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5],
        [5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5],
    ]
)
SAMPLES, TRAINING = 5000, 4000
LEAST_PADDING, MOST_PADDING = 36, 60
LARGEST_SHIFT = 48
SCALES, SHEARS = 0.4, 0.75
SMOOTH_NOISE, NOISE = 0.25, 0.02
LENGTH = TEMPLATES.shape[1] + MOST_PADDING  # before it is sampled
STEPS = 40


@dataclass(frozen=True)
class Mnist1d(FiniteTask):
    """Curves that were made from templates of digits; then their digit.

    Greydanus 2020 (arXiv:2011.14439): a template is padded, stretched, scaled, shifted, put on
    smooth noise and noise, sheared and sampled at 40 points; all curves together have mean 0 and
    variance 1. With `data_seed` 42 they are, to float32, those of the author's package mnist1d.
    4,000 are for training, of which some are held out for validation, 1,000 for testing. A batch
    holds:

    - `"inputs"`: float32 `(B, 40, 1)`.
    - `"targets"`: int32 `(B,)`, from 0 to 9.

    Args:
        shuffled: Whether the points are in one random order, the same for all curves.
        held_out: Number of training curves, the last ones, that are for validation; with 0 there
            is no validation set, as in the paper.
        data_seed: Seed of the curves. The seed of `batch` only orders the examples.

    Raises:
        ValueError: if an argument is out of range, or the validation set is empty.
    """

    shuffled: bool = False
    held_out: int = 400
    data_seed: int = 42

    def __post_init__(self) -> None:
        check_flags(self, shuffled=self.shuffled)
        check_integers(self, 0, TRAINING - 1, held_out=self.held_out)
        check_integers(self, 0, data_seed=self.data_seed)

    def arrays(self, split: str = "train") -> Arrays:
        check_choice(self, SPLITS if self.held_out else ("train", "test"), split=split)
        kept = TRAINING - self.held_out
        chosen = {
            "train": slice(kept),
            "validation": slice(kept, TRAINING),
            "test": slice(TRAINING, None),
        }[split]
        curves, digits = _curves(self.data_seed, self.shuffled)
        return {"inputs": curves[chosen, :, None], "targets": digits[chosen]}


@functools.lru_cache(maxsize=2)
def _curves(seed: int, shuffled: bool) -> tuple[np.ndarray, np.ndarray]:
    """All curves, float32 `(5000, 40)`, and their digits, int32 `(5000,)`, read-only."""
    from scipy.ndimage import gaussian_filter1d

    # NumPy's legacy generator, asked in the author's order: other numbers would be other data.
    rng = np.random.RandomState(seed)
    drawn = [
        (rng.rand(), rng.rand(), rng.randint(LARGEST_SHIFT), *rng.randn(2, LENGTH), rng.rand())
        for _ in range(SAMPLES)
    ]
    paddings, scales, shifts, smooth, noise, shears = (
        np.array(values) for values in zip(*drawn, strict=True)
    )
    digits = np.repeat(np.arange(10, dtype=np.int32), SAMPLES // 10)
    templates = (TEMPLATES - TEMPLATES.mean(1, keepdims=True)) / TEMPLATES.std(1, keepdims=True)
    # What is nearly zero in a template is told from the padding, where the smooth noise goes.
    templates = (templates - templates[:, :1]) / 6 + 1e-8
    lengths = LEAST_PADDING + (paddings * (MOST_PADDING - LEAST_PADDING + 1)).astype(int)
    curves = np.stack(
        [
            np.roll(_sampled(np.pad(templates[digit], (0, length)), LENGTH), shift)
            for digit, length, shift in zip(digits, lengths, shifts, strict=True)
        ]
    )
    curves *= 1 + SCALES * (scales[:, None] - 0.5)
    background = gaussian_filter1d(SMOOTH_NOISE * smooth, 2)
    curves = np.where(curves != 0, curves, background) + NOISE * noise
    curves -= SHEARS * (shears[:, None] - 0.5) * np.linspace(-0.5, 0.5, LENGTH)
    curves = np.stack([_sampled(curve, STEPS) for curve in curves])

    order = rng.permutation(SAMPLES)
    curves, digits = curves[order], digits[order]
    if shuffled:
        curves = curves[:, rng.permutation(STEPS)]
    curves = ((curves - curves.mean()) / curves.std()).astype(np.float32)
    for values in (curves, digits):
        values.setflags(write=False)  # they are shared
    return curves, digits


def _sampled(values: np.ndarray, points: int) -> np.ndarray:
    """A curve at `points` evenly spaced points, by linear interpolation."""
    return np.interp(np.linspace(0, 1, points), np.linspace(0, 1, len(values)), values)
