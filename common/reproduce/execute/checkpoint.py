"""The whole state of a training run in one file."""

import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from common.reproduce.files import FileError, write_bytes

Row = dict[str, float]

# Keras numbers names on through a process, so the numbers tell nothing of the model; and ours.
_NUMBER = re.compile(r"_\d+(?=[_/#]|$)|#\d+$")
_LISTED = 3


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
    variables = state_variables(model)
    arrays = _named("variable", variables, map(keras.ops.convert_to_numpy, variables))
    if progress.best is not None:
        arrays |= _named("best", model.weights, progress.best)
    arrays |= {f"generator/{index}": array for index, array in enumerate(_generators())}
    arrays["notes"] = np.array(json.dumps({**vars(progress), "best": None}))
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    write_bytes(path, content.getvalue())


def restore(path: Path, model: keras.Model) -> Progress:
    """Loads `path` into `model`, whose variables and optimizer must be built.

    Raises:
        FileError: if the checkpoint is damaged, or of another model.
    """
    try:
        with np.load(path) as file:
            arrays = dict(file)
        progress = Progress(**json.loads(str(arrays["notes"])))
    # NumPy's own for what is no archive, is cut short, or lacks an entry.
    except (ValueError, EOFError, zipfile.BadZipFile, KeyError, TypeError) as error:
        raise FileError(
            f"{path} is damaged ({type(error).__name__}), expected a checkpoint. Run again with "
            "--rerun."
        ) from error
    variables = state_variables(model)
    saved = _matched(path, _part(arrays, "variable"), variables)
    if best := _part(arrays, "best"):
        progress.best = _matched(path, best, model.weights)
    for variable, array in zip(variables, saved, strict=True):
        variable.assign(array)
    _set_generators(list(_part(arrays, "generator").values()))
    return progress


def _named(
    prefix: str, variables: Sequence[Any], arrays: Iterable[np.ndarray]
) -> dict[str, np.ndarray]:
    """`arrays` by the paths of their variables."""
    names = _distinct(variable.path for variable in variables)
    return {f"{prefix}/{name}": array for name, array in zip(names, arrays, strict=True)}


def _part(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """What is named `<prefix>/<name>`, by name, in the order in which it was saved."""
    names = [name for name in arrays if name.startswith(f"{prefix}/")]
    return {name.removeprefix(f"{prefix}/"): arrays[name] for name in names}


def _distinct(names: Iterable[str]) -> list[str]:
    """`names`, a second one of the same with #2 behind it, a third one with #3."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(f"{name}#{seen[name]}" if seen[name] > 1 else name)
    return found


def _unnumbered(names: Iterable[str]) -> list[str]:
    """`names` by which the variables of two processes are matched: numbered among the same."""
    return _distinct(_NUMBER.sub("", name) for name in names)


def _matched(
    path: Path, saved: dict[str, np.ndarray], variables: Sequence[Any]
) -> list[np.ndarray]:
    """The saved arrays of `variables`.

    Raises:
        FileError: with the variables that are missing, unexpected or of another shape.
    """
    paths = [variable.path for variable in variables]
    theirs = dict(zip(_unnumbered(saved), saved.items(), strict=True))
    ours = dict(zip(_unnumbered(paths), variables, strict=True))
    missing = [variable.path for name, variable in ours.items() if name not in theirs]
    unexpected = [full for name, (full, _) in theirs.items() if name not in ours]
    shapes = [
        f"{ours[name].path} {array.shape}, expected {tuple(ours[name].shape)}"
        for name, (_, array) in theirs.items()
        if name in ours and array.shape != tuple(ours[name].shape)
    ]
    differences = {"lacks": missing, "unexpected": unexpected, "of another shape": shapes}
    said = [f"{what}: {_listed(found)}" for what, found in differences.items() if found]
    if said:
        raise FileError(
            f"{path} is of another model ({'; '.join(said)}): the code changed since. Run again "
            "with --rerun."
        )
    return [_typed(theirs[name][1], variable) for name, variable in ours.items()]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


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


def _typed(array: np.ndarray, variable: Any) -> np.ndarray:
    # NumPy's files keep the bits of bfloat16 and lose its name.
    return array.view(np.dtype(variable.dtype)) if array.dtype.kind == "V" else array
