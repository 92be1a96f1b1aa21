"""Copying bit vectors several times: the second task of the Neural Turing Machine."""

from dataclasses import dataclass

import numpy as np

from common.checks import check_integers
from common.tasks.episodes import check_padding, draw_bits, draw_lengths, episode, place
from common.tasks.task import Arrays, Task


@dataclass(frozen=True)
class RepeatCopy(Task):
    """L random bit vectors, a delimiter with the repeat count N, then N L blank steps.

    Graves et al. 2014, section 4.2, in the form of Collier and Beel's code: the delimiter is one
    in every channel but the last, which holds `N / count_scale`; no end marker is asked for
    (Graves et al. normalise the count to mean 0 and variance 1 and do ask for one). A batch
    holds, with T time steps (`max_length (max_repeats + 1) + 1` if padded, else
    `L (N + 1) + 1`):

    - `"inputs"`: float32 `(B, T, bits + 2)`.
    - `"targets"`: float32 `(B, T, bits)`, the vectors, N times over, at the blank steps.
    - `"weights"`: float32 `(B, T)`, 1 at those steps.

    Args:
        bits: Width of the vectors.
        min_length: Fewest vectors.
        max_length: Most vectors; L is uniform between the two.
        min_repeats: Fewest repeats.
        max_repeats: Most repeats; N is uniform between the two.
        count_scale: What the count is divided by. Keep it at the training value when testing on
            more repeats.
        pad: Whether every batch has the same T, so that graphs are compiled once.
        shared_length: Whether all examples of a batch have the same L and N, as in Collier's
            code.

    Raises:
        ValueError: if an argument is out of range, or neither `pad` nor `shared_length` is set.
    """

    bits: int = 8
    min_length: int = 1
    max_length: int = 10
    min_repeats: int = 1
    max_repeats: int = 10
    count_scale: int = 10
    pad: bool = True
    shared_length: bool = True

    def __post_init__(self) -> None:
        check_integers(
            self,
            1,
            bits=self.bits,
            min_length=self.min_length,
            min_repeats=self.min_repeats,
            count_scale=self.count_scale,
        )
        check_integers(self, self.min_length, max_length=self.max_length)
        check_integers(self, self.min_repeats, max_repeats=self.max_repeats)
        check_padding(self, self.pad, self.shared_length)

    def sample(self, rng: np.random.Generator, batch_size: int, split: str) -> Arrays:
        shared = self.shared_length
        length = draw_lengths(rng, self.min_length, self.max_length, batch_size, shared)
        repeats = draw_lengths(rng, self.min_repeats, self.max_repeats, batch_size, shared)
        longest = self.max_length if self.pad else int(length.max())
        most = self.max_repeats if self.pad else int(repeats.max())
        vectors = draw_bits(rng, batch_size, longest, self.bits)
        time = np.arange(longest * (most + 1) + 1)[None, :]
        scored = (time > length) & (time <= length * (repeats + 1))
        inputs = np.pad(place(vectors, time, time < length), ((0, 0), (0, 0), (0, 2)))
        inputs[time == length] = 1.0
        inputs[..., -1] *= repeats / self.count_scale
        return episode(inputs, place(vectors, (time - length - 1) % length, scored), scored)
