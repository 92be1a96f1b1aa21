"""The TFDS builder of recorded data: from a file that is downloaded, or that the user has put."""

import hashlib
import importlib.util
import inspect
import io
import os
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from common.reproduce.files import FileError, locked
from common.tasks.checksums import digest
from common.tasks.sources import Source, reachable
from common.tasks.task import Arrays

Root = str | os.PathLike | None
Examples = dict[str, Sequence[Arrays]]


class FileDataset(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Splits of recorded data, in their published order.

    The file is the one in TFDS's manual directory, `<data_dir>/downloads/manual`, or else it is
    downloaded. Either way its SHA-256 must be the known one. The metadata hold the SHA-256 of each
    split's examples. A subclass states the source and the features and reads the file.

    Args:
        **kwargs: Arguments of `tfds.core.GeneratorBasedBuilder`.
    """

    SOURCE: ClassVar[Source]
    CITATION: ClassVar[str]
    HOMEPAGE: ClassVar[str]

    VERSION = tfds.core.Version("1.0.0")

    # For subclasses to define.

    @classmethod
    def features(cls) -> dict[str, Any]:
        """TFDS's features of an example, by name."""
        raise NotImplementedError

    def examples(self, path: Path) -> Examples:
        """The examples of each split of the file."""
        raise NotImplementedError

    # Provided by the base.

    def __init__(self, **kwargs: Any) -> None:
        # TFDS's own default can't be read without TensorFlow.
        if importlib.util.find_spec("array_record"):
            kwargs = {"file_format": "array_record", **kwargs}
        super().__init__(**kwargs)

    @classmethod
    def read(cls, split: str, data_dir: Root = None) -> list[Arrays]:
        """All examples of a split, prepared if they are not there yet.

        Args:
            split: Its name.
            data_dir: Root directory of the data; `None` is that of TFDS, `$TFDS_DATA_DIR` or
                `~/tensorflow_datasets`.

        Raises:
            MissingFile: if the file is not there and can't be downloaded.
            FileError: if it is another file, or what was read is not what was written.
            OSError: if nothing can be written.
        """
        root = Path(data_dir or tfds.core.constants.DATA_DIR).expanduser()
        builder = cls(data_dir=root)
        if not Path(builder.data_dir).is_dir():
            root.mkdir(parents=True, exist_ok=True)
            noise = io.StringIO()
            # TFDS draws a temporary name from the generator that seeds Keras's initializers.
            generator = random.getstate()
            try:
                # The second of two processes finds the work done.
                with locked(root), redirect_stdout(noise), redirect_stderr(noise):
                    builder.download_and_prepare()
            finally:
                random.setstate(generator)
        examples = [
            {name: np.asarray(value) for name, value in example.items()}
            for example in builder.source(split)
        ]
        found, expected = builder.digest(examples), builder.info.metadata["sha256"][split]
        if found != expected:
            raise FileError(
                f"{builder.data_dir} holds data with the SHA-256 {found}, expected {expected}: the "
                "files were changed. Delete the directory to read the data anew."
            )
        return examples

    def source(self, split: Any) -> Iterable[dict[str, Any]]:
        """The examples of a split as arrays and numbers."""
        if self.info.file_format == tfds.core.FileFormat.ARRAY_RECORD:
            return self.as_data_source(split=split)
        return tfds.as_numpy(self.as_dataset(split=split))

    @staticmethod
    def digest(examples: Sequence[Arrays]) -> str:
        """SHA-256 of examples whose arrays may be of unequal lengths, in hexadecimal."""
        digests = " ".join(digest(one) for one in examples)
        return hashlib.sha256(digests.encode()).hexdigest()

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=inspect.getdoc(type(self)),
            citation=self.CITATION,
            homepage=self.HOMEPAGE,
            features=tfds.features.FeaturesDict(self.features()),
            metadata=tfds.core.MetadataDict(),
            disable_shuffling=True,
        )

    def _as_dataset(self, split: Any, **kwargs: Any) -> Any:
        # TFDS makes no tf.data pipeline of array_record files; these data sets fit in memory.
        if self.info.file_format != tfds.core.FileFormat.ARRAY_RECORD:
            return super()._as_dataset(split=split, **kwargs)
        import tensorflow as tf

        source = self.as_data_source(split=split)
        signature = self.info.features.get_tensor_spec()
        data = tf.data.Dataset.from_generator(lambda: iter(source), output_signature=signature)
        return data.apply(tf.data.experimental.assert_cardinality(len(source)))

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        examples = self.examples(self._file(dl_manager))
        self.info.metadata["sha256"] = {split: self.digest(one) for split, one in examples.items()}
        return {split: self._generate_examples(one) for split, one in examples.items()}

    def _generate_examples(self, examples: Sequence[Arrays]) -> Iterator:
        yield from enumerate(examples)

    def _file(self, dl_manager: Any) -> Path:
        # `dl_manager.manual_dir` raises where nothing lies there, and doesn't say where.
        manual = Path(dl_manager._manual_dir or Path(dl_manager.download_dir) / "manual")
        if found := self.SOURCE.find(manual):
            return found
        # TFDS itself tries an unreachable host again and again, for minutes.
        if not reachable(self.SOURCE.url):
            self.SOURCE.refuse(manual)
        try:
            path = Path(dl_manager.download(self.SOURCE.url))
        except (OSError, tfds.download.DownloadError) as error:
            self.SOURCE.refuse(manual, f"can't be downloaded ({error})")
        self.SOURCE.check(path)
        return path
