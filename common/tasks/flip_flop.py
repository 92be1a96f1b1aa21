"""Remembering one bit among much else: flip-flop language modelling."""

from dataclasses import dataclass

import numpy as np

from common.checks import check_integers, check_rates, refuse
from common.tasks.task import Arrays, Task

WRITE, READ, IGNORE, ZERO, ONE = range(5)


@dataclass(frozen=True)
class FlipFlop(Task):
    """Pairs of an instruction and a bit: what is read is the bit that was last written.

    Liu et al. 2023, section 3, FFL(p): the first instruction is to write and the last to read; of
    the others each ignores its bit with probability p, and writes or reads with (1 - p) / 2. Bits
    are uniform, but those that are read. Only these can be known, and only these count. The symbols
    are 0 to write, 1 to read, 2 to ignore, 3 and 4 the bits. A batch holds:

    - `"inputs"`: int32 `(B, length)`.
    - `"targets"`: int32 `(B, length)`, at an instruction to read the bit after it, 0 elsewhere.
    - `"weights"`: float32 `(B, length)`, 1 at an instruction to read.

    Args:
        length: Symbols of a sequence, even, at least 4.
        ignore: p, of ignoring.

    Raises:
        ValueError: if an argument is out of range.
    """

    length: int = 512
    ignore: float = 0.8

    def __post_init__(self) -> None:
        check_integers(self, 4, length=self.length)
        if self.length % 2:
            refuse(self, "length", "even", self.length)
        check_rates(self, ignore=self.ignore)

    @property
    def vocabulary_size(self) -> int:
        """Three instructions and two bits."""
        return 5

    def sample(self, rng: np.random.Generator, batch_size: int, split: str) -> Arrays:
        shape = batch_size, self.length // 2
        acts = rng.random(shape) >= self.ignore
        instructions = np.where(acts, rng.integers(2, size=shape), IGNORE)
        instructions[:, 0], instructions[:, -1] = WRITE, READ
        bits = rng.integers(2, size=shape)
        # The pair that wrote last before each.
        pairs = np.where(instructions == WRITE, np.arange(shape[1]), 0)
        written = np.take_along_axis(bits, np.maximum.accumulate(pairs, axis=1), axis=1)
        reads = instructions == READ
        bits = np.where(reads, written, bits) + ZERO
        inputs = np.stack([instructions, bits], axis=-1).reshape(batch_size, self.length)
        targets = np.zeros_like(inputs)
        targets[:, ::2] = np.where(reads, bits, 0)
        weights = np.zeros(inputs.shape, np.float32)
        weights[:, ::2] = reads
        return {
            "inputs": inputs.astype(np.int32),
            "targets": targets.astype(np.int32),
            "weights": weights,
        }
