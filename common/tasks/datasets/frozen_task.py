"""The TFDS builder of frozen task splits: one builder, one config for each set of settings."""

import dataclasses
import functools
import hashlib
import json
import operator
import re
from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from common.tasks.task import Arrays, Task


def digest(arrays: Arrays) -> str:
    """SHA-256 of the names, dtypes, shapes and contents of `arrays`, in hexadecimal."""
    sha = hashlib.sha256()
    for name in sorted(arrays):
        values = arrays[name]
        sha.update(f"{name} {values.dtype.str} {values.shape} ".encode())
        sha.update(values.tobytes())
    return sha.hexdigest()


@dataclasses.dataclass(kw_only=True)
class FrozenTaskConfig(tfds.core.BuilderConfig):
    """What a frozen data set holds.

    Attributes:
        task: The task.
        split: The task's split.
        size: Number of examples.
        seed: Seed of the split's stream, of which step 0 is frozen.
    """

    task: Task
    split: str
    size: int
    seed: int

    @classmethod
    def of(cls, task: Task, split: str, size: int, seed: int) -> "FrozenTaskConfig":
        """The config, named after everything that its examples depend on but `task.VERSION`."""
        settings = json.dumps(dataclasses.asdict(task), sort_keys=True, default=operator.index)
        short = hashlib.sha256(settings.encode()).hexdigest()[:12]
        kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(task).__name__).lower()
        return cls(
            name=f"{kind}-{short}-{split}-{size}-seed{seed}",
            version=task.VERSION,
            description=f"{type(task).__name__} {settings}",
            task=task,
            split=split,
            size=size,
            seed=seed,
        )


class FrozenTask(tfds.core.GeneratorBasedBuilder):
    """One split of a task, in the order in which it was drawn.

    The metadata of the data set hold the digest of its arrays.
    """

    VERSION = tfds.core.Version("1.0.0")  # the config's, which is the task's, comes first

    @functools.cached_property
    def _arrays(self) -> Arrays:
        config = self.builder_config
        return config.task.batch(config.size, config.seed, step=0, split=config.split)

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            # Raw bytes: exact for every dtype, and far faster than lists of numbers.
            name: tfds.features.Tensor(shape=values.shape[1:], dtype=values.dtype, encoding="bytes")
            for name, values in self._arrays.items()
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.builder_config.description,
            features=tfds.features.FeaturesDict(features),
            metadata=tfds.core.MetadataDict(sha256=digest(self._arrays)),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        return {self.builder_config.split: self._generate_examples()}

    def _generate_examples(self) -> Iterator:
        for index in range(len(self._arrays["inputs"])):
            yield index, {name: values[index] for name, values in self._arrays.items()}
