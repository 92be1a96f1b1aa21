"""The whole state of a training run in one file."""

import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from common.reproduce.files import FileError, write_bytes

Row = dict[str, float]


@dataclass
class Progress:
    """What training has done so far, apart from the variables.

    Attributes:
        step: optimizer steps taken.
        history: one row an evaluation: "step", the training metrics, the evaluation's values.
        clocks: seconds by name.
        probe: losses of the first updates, by which changed code is told from the same.
        best: weights at the best row so far, None where none is kept.
        finished: whether training ended.
    """

    step: int = 0
    history: list[Row] = field(default_factory=list)
    clocks: dict[str, float] = field(default_factory=dict)
    probe: list[float] = field(default_factory=list)
    best: list[np.ndarray] | None = None
    finished: bool = False


def state_variables(model: keras.Model) -> list[Any]:
    """Every variable that training changes: weights, seeds, metrics and the optimizer's."""
    return [*model.variables, *model.metrics_variables, *model.optimizer.variables]


def save(path: Path, model: keras.Model, progress: Progress) -> None:
    """Writes `model`'s whole state and `progress` to `path` atomically."""
    arrays = {
        f"variable/{index}/{variable.path}": keras.ops.convert_to_numpy(variable)
        for index, variable in enumerate(state_variables(model))
    }
    for index, (array, weight) in enumerate(zip(progress.best or [], model.weights, strict=False)):
        arrays[f"best/{index}/{weight.path}"] = array
    arrays |= {f"generator/{index}": array for index, array in enumerate(_generators())}
    notes = {
        "step": progress.step,
        "history": progress.history,
        "clocks": progress.clocks,
        "probe": progress.probe,
        "finished": progress.finished,
        "kept": progress.best is not None,
    }
    arrays["notes"] = np.array(json.dumps(notes))
    content = io.BytesIO()
    np.savez(content, **arrays)
    write_bytes(path, content.getvalue())


def restore(path: Path, model: keras.Model) -> Progress:
    """Loads `path` into `model`, whose variables and optimizer must be built.

    Raises:
        FileError: if the checkpoint is damaged, or of another model.
    """
    variables = state_variables(model)
    try:
        with np.load(path) as file:
            arrays = dict(file)
        notes = json.loads(str(arrays["notes"]))
        saved = _numbered(arrays, "variable")
        progress = Progress(
            step=notes["step"],
            history=notes["history"],
            clocks=notes["clocks"],
            probe=notes["probe"],
            best=_numbered(arrays, "best") if notes["kept"] else None,
            finished=notes["finished"],
        )
    # NumPy's own for what is no archive, is cut short, or lacks an entry.
    except (ValueError, EOFError, zipfile.BadZipFile, KeyError, TypeError) as error:
        raise FileError(
            f"{path} is damaged ({type(error).__name__}), expected a checkpoint. Run again with "
            "--rerun."
        ) from error
    _require_shapes(path, saved, variables)
    for variable, array in zip(variables, saved, strict=True):
        variable.assign(_typed(array, variable))
    _set_generators(_numbered(arrays, "generator"))
    if progress.best is not None:
        _require_shapes(path, progress.best, model.weights)
        kept = zip(progress.best, model.weights, strict=True)
        progress.best = [_typed(array, weight) for array, weight in kept]
    return progress


def _require_shapes(path: Path, saved: list[np.ndarray], variables: list[Any]) -> None:
    shapes = [array.shape for array in saved]
    expected = [tuple(variable.shape) for variable in variables]
    if shapes != expected:
        raise FileError(
            f"{path} holds variables of the shapes {shapes}, the model has {expected}: the code "
            "changed since. Run again with --rerun."
        )


def _generators() -> list[np.ndarray]:
    """State of the backend's own generators: Keras's dropout draws from torch's, unless seeded.

    On the other backends the model's seed generators are all there is.
    """
    if keras.backend.backend() != "torch":
        return []
    import torch

    return [state.numpy() for state in (torch.get_rng_state(), *torch.cuda.get_rng_state_all())]


def _set_generators(states: list[np.ndarray]) -> None:
    if not states:
        return
    import torch

    first, *others = (torch.from_numpy(state) for state in states)
    torch.set_rng_state(first)
    torch.cuda.set_rng_state_all(others)


def _numbered(arrays: dict[str, np.ndarray], prefix: str) -> list[np.ndarray]:
    """Arrays named `<prefix>/<index>`, then maybe a path, which is for the reader of the file."""
    names = (name.split("/", 2) for name in arrays)
    found = {int(name[1]): "/".join(name) for name in names if name[0] == prefix}
    return [arrays[found[index]] for index in range(len(found))]


def _typed(array: np.ndarray, variable: Any) -> np.ndarray:
    # NumPy's files keep the bits of bfloat16 and lose its name.
    return array.view(np.dtype(variable.dtype)) if array.dtype.kind == "V" else array
