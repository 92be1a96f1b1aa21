"""The TFDS builder of a task: splits drawn by its sampler, one config for each set of settings."""

import dataclasses
import functools
import importlib.util
import inspect
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from common.checks import check_integers
from common.tasks.checksums import builder_name, config_name, digest
from common.tasks.task import SPLITS, Arrays, FiniteTask, Task

# Of a config that gives none.
SIZES = {"train": 1024, "validation": 256, "test": 1024}


def stack(examples: Iterable[Arrays]) -> Arrays:
    """The arrays of a split from its examples."""
    examples = list(examples)
    return {name: np.stack([example[name] for example in examples]) for name in examples[0]}


@dataclasses.dataclass(kw_only=True)
class TaskConfig(tfds.core.BuilderConfig):
    """What a data set of a task holds.

    Attributes:
        task: The task.
        sizes: Number of examples of each split; `None` is all that a finite task has, or `SIZES`.
        seed: Seed of the splits' streams, of which step 0 is kept.
    """

    task: Task
    sizes: Mapping[str, int] | None
    seed: int

    @classmethod
    def of(cls, task: Task, sizes: Mapping[str, int] | None = None, seed: int = 0) -> "TaskConfig":
        """The config, named after everything that its examples depend on but the version.

        Raises:
            ValueError: if a size or the seed is out of range.
        """
        check_integers(task, 1, **(sizes or {}))
        check_integers(task, 0, seed=seed)
        return cls(
            name=config_name(task, sizes, seed),
            version=task.VERSION,
            description=f"{task!r}, seed {seed}",
            task=task,
            sizes=sizes,
            seed=seed,
        )

    def arrays(self) -> dict[str, Arrays]:
        """The arrays of each split."""
        if self.sizes is None and isinstance(self.task, FiniteTask):
            return {split: self.task.arrays(split) for split in SPLITS}
        sizes = SIZES if self.sizes is None else self.sizes
        return {
            split: self.task.batch(size, self.seed, step=0, split=split)
            for split, size in sizes.items()
        }


class TaskDataset(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Splits of a task, in the order in which they were drawn.

    The metadata hold the SHA-256 of each split's arrays. Without arguments it has the task's
    default settings: all examples of a finite task, or `SIZES` of a stream.

    Args:
        seed: Seed of the splits' streams, by default 0.
        **arguments: Settings of the task, as in `tfds.load("mqar/length=128,num_pairs=8")`; sizes
            of the splits to make, as in `tfds.load("mqar/test=3000")`; and those of
            `tfds.core.GeneratorBasedBuilder`, of which `config` may be a `TaskConfig`.

    Raises:
        ValueError: if a setting is out of range, or given beside `config`.
    """

    TASK: ClassVar[type[Task]]
    CITATION: ClassVar[str] = ""
    HOMEPAGE: ClassVar[str] = ""

    VERSION = tfds.core.Version("1.0.0")  # the config's, which is the task's, comes first

    def __init_subclass__(cls, skip_registration: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(skip_registration=skip_registration, **kwargs)
        if not skip_registration:
            cls.BUILDER_CONFIGS = [TaskConfig.of(cls.TASK())]

    def __init__(self, *, config: str | TaskConfig | None = None, **arguments: Any) -> None:
        fields = {field.name for field in dataclasses.fields(self.TASK)}
        own = {
            name: arguments.pop(name)
            for name in tuple(arguments)
            if name in fields or name in SPLITS or name == "seed"
        }
        if own:
            if config is not None:
                raise ValueError(f"`config` is {config!r}, expected none beside {sorted(own)}.")
            settings = {name: own[name] for name in own if name in fields}
            sizes = {split: own[split] for split in SPLITS if split in own}
            config = TaskConfig.of(self.TASK(**settings), sizes or None, own.get("seed", 0))
        if isinstance(config, TaskConfig):
            config = self.builder_configs.get(config.name, config)
        # TFDS's own default can't be read without TensorFlow.
        if importlib.util.find_spec("array_record"):
            arguments = {"file_format": "array_record", **arguments}
        super().__init__(config=config, **arguments)

    @functools.cached_property
    def _arrays(self) -> dict[str, Arrays]:
        return self.builder_config.arrays()

    def _info(self) -> tfds.core.DatasetInfo:
        splits = list(self._arrays.values())
        features = {
            # Raw bytes: exact for every dtype, and far faster than lists of numbers.
            name: tfds.features.Tensor(
                shape=_common_shape([arrays[name].shape[1:] for arrays in splits]),
                dtype=values.dtype,
                encoding="bytes",
            )
            for name, values in splits[0].items()
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=inspect.getdoc(self.TASK),
            citation=self.CITATION,
            homepage=self.HOMEPAGE,
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


def _common_shape(shapes: list[tuple[int, ...]]) -> tuple[int | None, ...]:
    """The shape of an example, None where splits differ: those of tests may be longer."""
    return tuple(sizes[0] if len(set(sizes)) == 1 else None for sizes in zip(*shapes, strict=True))


def builder_class(task: Task) -> type[TaskDataset]:
    """The builder of `task`; for a task that has none, one that TFDS does not know by name."""
    for known in TaskDataset.__subclasses__():
        if known.TASK is type(task):
            return known
    body = {"TASK": type(task), "name": builder_name(task)}
    return types.new_class(
        type(task).__name__, (TaskDataset,), {"skip_registration": True}, lambda it: it.update(body)
    )
