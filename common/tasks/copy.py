"""Copying bit vectors: the first task of the Neural Turing Machine."""

from dataclasses import dataclass

import numpy as np

from common.checks import check_choice, check_integers
from common.tasks.episodes import check_padding, draw_bits, draw_lengths, episode, place
from common.tasks.task import Arrays, Task


@dataclass(frozen=True)
class Copy(Task):
    """L random bit vectors, a delimiter, then L blank steps on which to emit the vectors.

    Graves et al. 2014, section 4.1; Collier and Beel 2018. A batch holds, with T time steps
    (`2 max_length + 1` if padded, else `2 L + 1`):

    - `"inputs"`: float32 `(B, T, bits + 1)`; the last channel is for the delimiter.
    - `"targets"`: float32 `(B, T, bits)`, the vectors at the L blank steps.
    - `"weights"`: float32 `(B, T)`, 1 at those steps.

    Padding stands after the blank steps, where it can't matter to a causal model. (Collier's
    `pad_to_max_seq_len`, off by default, puts it between vectors and delimiter instead.)

    Args:
        bits: Width of the vectors.
        min_length: Fewest vectors.
        max_length: Most vectors; L is uniform between the two.
        delimiter: `"ones"` is Collier's, a one in every channel; `"flag"` has only the last
            channel on, as in Graves et al.
        pad: Whether every batch has the same T, so that graphs are compiled once.
        shared_length: Whether all examples of a batch have the same L, as in Collier's code.

    Raises:
        ValueError: if an argument is out of range, or neither `pad` nor `shared_length` is set.
    """

    bits: int = 8
    min_length: int = 1
    max_length: int = 20
    delimiter: str = "ones"
    pad: bool = True
    shared_length: bool = True

    def __post_init__(self) -> None:
        check_integers(self, 1, bits=self.bits, min_length=self.min_length)
        check_integers(self, self.min_length, max_length=self.max_length)
        check_choice(self, ("ones", "flag"), delimiter=self.delimiter)
        check_padding(self, self.pad, self.shared_length)

    def sample(self, rng: np.random.Generator, batch_size: int, split: str) -> Arrays:
        length = draw_lengths(rng, self.min_length, self.max_length, batch_size, self.shared_length)
        longest = self.max_length if self.pad else int(length.max())
        vectors = draw_bits(rng, batch_size, longest, self.bits)
        time = np.arange(2 * longest + 1)[None, :]
        scored = (time > length) & (time <= 2 * length)
        inputs = np.pad(place(vectors, time, time < length), ((0, 0), (0, 0), (0, 1)))
        inputs[time == length] = 1.0 if self.delimiter == "ones" else np.eye(self.bits + 1)[-1]
        return episode(inputs, place(vectors, time - length - 1, scored), scored)
