"""The TFDS builder of a task: splits drawn by its sampler, one config for each set of settings."""

import dataclasses
import functools
import hashlib
import json
import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from common.tasks.task import SPLITS, Arrays, FiniteTask, Task

SIZES = {"train": 1024, "validation": 256, "test": 1024}


def digest(arrays: Arrays) -> str:
    """SHA-256 of the names, dtypes, shapes and contents of `arrays`, in hexadecimal."""
    sha = hashlib.sha256()
    for name in sorted(arrays):
        values = arrays[name]
        sha.update(f"{name} {values.dtype.str} {values.shape} ".encode())
        sha.update(values.tobytes())
    return sha.hexdigest()


def stack(examples: Iterable[Arrays]) -> Arrays:
    """The arrays of a split from its examples."""
    examples = list(examples)
    return {name: np.stack([example[name] for example in examples]) for name in examples[0]}


@dataclasses.dataclass(kw_only=True)
class TaskConfig(tfds.core.BuilderConfig):
    """What a data set of a task holds.

    Attributes:
        task: The task.
        sizes: Number of examples of each split; `None` is all that a finite task has.
        seed: Seed of the splits' streams, of which step 0 is kept.
    """

    task: Task
    sizes: Mapping[str, int] | None
    seed: int

    @classmethod
    def of(cls, task: Task, sizes: Mapping[str, int], seed: int) -> "TaskConfig":
        """The config, named after everything that its examples depend on but the version."""
        settings = json.dumps(dataclasses.asdict(task), sort_keys=True, default=operator.index)
        short = hashlib.sha256(settings.encode()).hexdigest()[:12]
        splits = "-".join(f"{split}-{size}" for split, size in sizes.items())
        return cls._make(f"{short}-{splits}-seed{seed}", task, sizes, seed)

    @classmethod
    def default(cls, task: Task) -> "TaskConfig":
        """The config `"default"`: all examples of a finite task, or `SIZES` of a stream."""
        sizes = None if isinstance(task, FiniteTask) else SIZES
        return cls._make("default", task, sizes, 0)

    @classmethod
    def _make(
        cls, name: str, task: Task, sizes: Mapping[str, int] | None, seed: int
    ) -> "TaskConfig":
        return cls(
            name=name,
            version=task.VERSION,
            description=f"{task!r}, seed {seed}",
            task=task,
            sizes=sizes,
            seed=seed,
        )

    def arrays(self) -> dict[str, Arrays]:
        """The arrays of each split."""
        if self.sizes is None:
            assert isinstance(self.task, FiniteTask), "only a finite task has a number of examples"
            return {split: self.task.arrays(split) for split in SPLITS}
        return {
            split: self.task.batch(size, self.seed, step=0, split=split)
            for split, size in self.sizes.items()
        }


class TaskDataset(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Splits of a task, in the order in which they were drawn.

    The metadata hold the SHA-256 of each split's arrays. A subclass has its task's default
    settings as the config `"default"`; other settings take a config of their own, as in
    `tfds.load("mqar", builder_kwargs={"config": TaskConfig.of(MQAR(length=32), sizes, seed)})`.
    """

    VERSION = tfds.core.Version("1.0.0")  # the config's, which is the task's, comes first

    @functools.cached_property
    def _arrays(self) -> dict[str, Arrays]:
        return self.builder_config.arrays()

    def _info(self) -> tfds.core.DatasetInfo:
        first = next(iter(self._arrays.values()))
        features = {
            # Raw bytes: exact for every dtype, and far faster than lists of numbers.
            name: tfds.features.Tensor(shape=values.shape[1:], dtype=values.dtype, encoding="bytes")
            for name, values in first.items()
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.builder_config.description,
            features=tfds.features.FeaturesDict(features),
            metadata=tfds.core.MetadataDict(
                sha256={split: digest(arrays) for split, arrays in self._arrays.items()}
            ),
            disable_shuffling=True,
        )

    def _as_dataset(self, split: Any, **kwargs: Any) -> Any:
        # TFDS makes no tf.data pipeline of array_record files; these data sets fit in memory.
        if self.info.file_format != tfds.core.FileFormat.ARRAY_RECORD:
            return super()._as_dataset(split=split, **kwargs)
        import tensorflow as tf

        return tf.data.Dataset.from_tensor_slices(stack(self.as_data_source(split=split)))

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        return {split: self._generate_examples(arrays) for split, arrays in self._arrays.items()}

    def _generate_examples(self, arrays: Arrays) -> Iterator:
        for index in range(len(arrays["inputs"])):
            yield index, {name: values[index] for name, values in arrays.items()}
