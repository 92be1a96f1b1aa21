"""The files that a batch passes, sampler to accuracy: `python -m tests.helpers.batch`.

Mamba's default experiment, one layer and one step: sampled, scored, forward, loss, gradient and
update, argmax tokens, accuracy. Only code that runs for the batch counts; the model is built.
"""

import sys
from pathlib import Path
from types import FrameType

import keras

from common.reproduce.execute.training import make_stepper, unpack
from common.tasks import InductionHeads
from common.trials import labelling
from papers.mamba import MambaLM

ROOT = Path(__file__).parents[2]


def files_passed() -> list[str]:
    """Paths from the root, in the order in which the batch comes to them."""
    task = InductionHeads(length=32)
    model = MambaLM(task.vocabulary_size, 8, 1)
    model.build((None, None))
    model.compile("adamw", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    stepper = make_stepper(model)
    passed: dict[str, None] = {}

    def note(frame: FrameType, event: str, argument: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(ROOT) and path != Path(__file__):
            passed[path.relative_to(ROOT).as_posix()] = None

    sys.setprofile(note)
    try:
        arrays = task.batch(2, seed=0, step=0)
        stepper.step(unpack(labelling._scored(arrays)))
        labelling.accuracy(labelling._predicted(model, arrays, 2), arrays)
    finally:
        sys.setprofile(None)
    return list(passed)


if __name__ == "__main__":
    files = files_passed()
    print(*files, f"{len(files)} files", sep="\n")
