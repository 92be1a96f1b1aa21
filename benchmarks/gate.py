"""The gate: a form that computes something else than the step-by-step one is not timed."""

import keras
import numpy as np

from benchmarks.models import Model
from benchmarks.programs import Work, make_program

LENGTH = 96  # more than one chunk, and not a whole number of them
BATCH = 2

# Largest difference to pass, relative to the largest value: of outputs and of gradients in the
# inputs. A GPU's float32 products may be in TF32, whose mantissa has 10 bits; bfloat16 has 7.
TOLERANCES = {"float32": {"cpu": 1e-3, "gpu": 1e-2}, "bfloat16": {"cpu": 0.06, "gpu": 0.06}}


def reference(model: Model, width: int, compiler: str, dtype: str) -> list[np.ndarray]:
    """Outputs and gradient in the inputs of a recurrent form, for the others to agree with."""
    work = Work("forward+backward", compiler, BATCH, LENGTH, dtype)
    results = make_program(model, width, work).call()
    assert isinstance(results, list)
    return [keras.ops.convert_to_numpy(x).astype("float32") for x in results[:2]]


def disagreement(
    model: Model,
    expected: list[np.ndarray],
    width: int,
    compiler: str,
    dtype: str,
    device: str,
) -> str:
    """How the form of `model` differs from `expected`; empty if it agrees."""
    tolerance = TOLERANCES[dtype][device]
    found = reference(model, width, compiler, dtype)
    for name, got, want in zip(("outputs", "input gradients"), found, expected, strict=True):
        if got.shape != want.shape:
            return f"{name} have shape {got.shape}, recurrent {want.shape}"
        error = float(np.max(np.abs(got - want)) / max(float(np.max(np.abs(want))), 1e-30))
        if not error <= tolerance:  # NaN disagrees
            return f"{name} differ by {error:.2g} of the largest, tolerance {tolerance:g}"
    return ""
