"""Tasks whose sequences are of unequal lengths: each padded, or several packed into a row."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from common.checks import check_integers, check_strings, given, refuse
from common.tasks.task import SPLITS, Arrays, FiniteTask

if TYPE_CHECKING:
    from common.tasks.marked_batches import MarkedBatches


@dataclass(frozen=True)
class SequenceTask(FiniteTask):
    """Recorded sequences of unequal lengths; a subclass implements `sequences`.

    They stand in rows of one length, so that one compiled program takes every batch: each in a row
    of its own, or packed one after another. A batch holds, besides the subclass's `"inputs"` and
    `"targets"`:

    - `"mask"`: bool `(B, T)`, false where a step is padding.
    - `"reset"`: bool `(B, T)`, true at the first step of each sequence; only if packed.
    - `"weights"`: float32 `(B, T)`, 1 where a target stands; not if there is one target a row.

    What belongs to a sequence as a whole, such as its class, stands at its last step if packed.

    Args:
        packed: Steps of a row into which sequences are packed, as few rows as are easily found; 0
            is a row a sequence, of as many steps as the longest of the split has.
        data_dir: Root directory of the data; `None` is that of TFDS, `~/tensorflow_datasets`.

    Raises:
        ValueError: if an argument is out of range.
    """

    packed: int = 0
    data_dir: str | None = None

    def __post_init__(self) -> None:
        check_integers(self, 0, packed=self.packed)
        check_strings(self, **given(data_dir=self.data_dir))

    def sequences(self, split: str) -> Sequence[Arrays]:
        """All sequences of a split: `"inputs"` `(T, ...)` and `"targets"` `(T, ...)` or `()`.

        They are asked for again and again, so they should be kept.
        """
        raise NotImplementedError

    def rows(self, split: str) -> tuple[list[list[int]], int]:
        """The sequences that stand in each row, by number, and the steps of a row.

        Raises:
            ValueError: if a sequence is longer than `packed`.
        """
        lengths = [len(one["inputs"]) for one in self.sequences(split)]
        if not self.packed:
            return [[number] for number in range(len(lengths))], max(lengths)
        if self.packed < max(lengths):
            refuse(self, "packed", f"0 or at least {max(lengths)}, the longest", self.packed)
        return pack(lengths, self.packed), self.packed

    def arrays(self, split: str = "train") -> Arrays:
        rows, length = self.rows(split)
        return self._fill(rows, length, split)

    def steps_per_epoch(self, batch_size: int, split: str = "train") -> int:
        return math.ceil(len(self.rows(split)[0]) / batch_size)

    def batch(self, batch_size: int, seed: int, step: int, split: str = "train") -> Arrays:
        self._check_batch(batch_size, seed, step, split)
        rows, length = self.rows(split)
        epoch, position = divmod(step, self.steps_per_epoch(batch_size, split))
        order = np.arange(len(rows))
        if split == "train":
            np.random.default_rng([seed, SPLITS.index(split), epoch]).shuffle(order)
        chosen = order[position * batch_size : (position + 1) * batch_size]
        return self._fill([rows[number] for number in chosen], length, split)

    def dataset(  # type: ignore[override]
        self,
        batch_size: int,
        steps: int | None = None,
        seed: int = 0,
        split: str = "train",
        **kwargs: Any,
    ) -> "MarkedBatches":
        """Batches for the `fit` and `evaluate` of `common.models.marked`'s models.

        Their inputs are `{"inputs": ..., "mask": ...}`, and `"reset"` if packed.

        Args:
            batch_size: Number of rows of a batch.
            steps: Batches of an epoch; `None` is once through the split.
            seed: Of the order.
            split: `"train"`, `"validation"` or `"test"`.
            **kwargs: Arguments of `keras.utils.PyDataset`, such as `workers`, which make batches
                ahead.

        Raises:
            ValueError: if an argument is out of range.
        """
        from common.tasks.marked_batches import MarkedBatches

        self._check_batch(batch_size, seed, 0, split)
        check_integers(self, 1, **given(steps=steps))
        steps = self.steps_per_epoch(batch_size, split) if steps is None else steps
        return MarkedBatches(self, batch_size, steps, seed, split, **kwargs)

    def _fill(self, rows: Sequence[Sequence[int]], length: int, split: str) -> Arrays:
        sequences = self.sequences(split)
        shape = (len(rows), length)
        inputs, targets = (
            np.zeros(shape + sequences[0][name].shape[1:], sequences[0][name].dtype)
            for name in ("inputs", "targets")
        )
        mask, reset, scored = np.zeros((3, *shape), bool)
        for row, numbers in enumerate(rows):
            start = 0
            for number in numbers:
                one = sequences[number]
                end = start + len(one["inputs"])
                inputs[row, start:end] = one["inputs"]
                mask[row, start:end] = True
                reset[row, start] = True
                begin = end - 1 if one["targets"].ndim == 0 else start
                targets[row, begin:end] = one["targets"]
                scored[row, begin:end] = True
                start = end
        arrays = {"inputs": inputs, "mask": mask}
        if self.packed:
            arrays["reset"] = reset
        elif sequences[0]["targets"].ndim == 0:
            return arrays | {"targets": targets[scored]}
        return arrays | {"targets": targets, "weights": scored.astype(np.float32)}


def pack(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Puts items into boxes of `size`, the longest first, each into the first one that has room.

    Args:
        lengths: Of the items, at most `size`.
        size: Of a box.

    Returns:
        The numbers of the items in each box.
    """
    boxes: list[list[int]] = []
    left: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda item: -lengths[item]):
        length = lengths[number]
        box = next((box for box, room in enumerate(left) if room >= length), len(boxes))
        if box == len(boxes):
            boxes.append([])
            left.append(size)
        boxes[box].append(number)
        left[box] -= length
    return boxes


def trimmed(batch: Arrays) -> Arrays:
    """Cuts the padding that no row of a batch needs, down to a power of two of steps.

    For a loop over batches, where short ones should take less time: there are few lengths, so few
    programs are compiled. `fit` wants all batches of one length.

    Args:
        batch: Of a `SequenceTask`.

    Returns:
        The same arrays, those with a `"mask"`'s axis of time cut.
    """
    steps = batch["mask"].shape[1]
    needed = int(np.max(np.nonzero(batch["mask"].any(0))[0])) + 1
    kept = min(steps, 1 << (needed - 1).bit_length())
    return {
        name: values[:, :kept] if values.shape[1:2] == (steps,) else values
        for name, values in batch.items()
    }
