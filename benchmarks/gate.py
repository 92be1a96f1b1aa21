"""The gate: a form that computes something else than the step-by-step one is not timed."""

import keras
import numpy as np

from benchmarks.cases import Case, Implementation
from benchmarks.models import Model
from benchmarks.programs import make_program
from benchmarks.rows import BOTH

LENGTH = 96  # more than one chunk, and not a whole number of them
BATCH = 2

# Largest difference to pass, relative to the largest value: of outputs and of gradients in the
# inputs. A GPU's float32 products may be in TF32, whose mantissa has 10 bits; bfloat16 has 7.
TOLERANCES = {"float32": {"cpu": 1e-3, "gpu": 1e-2}, "bfloat16": {"cpu": 0.06, "gpu": 0.06}}


class Gate:
    """Compares the forms of a case with its references.

    Args:
        case: what is to be timed.
        device: "cpu" or "gpu".
    """

    def __init__(self, case: Case, device: str):
        self.workload = case.workload(BOTH, BATCH, LENGTH)
        self.references = case.references
        self.tolerance = TOLERANCES[self.workload.dtype][device]
        self._expected: dict[str, list[np.ndarray]] = {}

    def disagreement(self, one: Implementation, model: Model, compiler: str) -> str:
        """How `model` of a form differs from the reference; empty if it agrees, and of peers."""
        layer = one.layers[0]
        if not one.is_form or layer not in self.references:
            return ""
        if layer not in self._expected:
            of_reference = "graph" if keras.backend.backend() == "tensorflow" else compiler
            self._expected[layer] = self._values(self.references[layer](), of_reference)
        found = self._values(model, compiler)
        names = ("outputs", *["input gradients"] * len(self.workload.inputs))
        for name, got, want in zip(names, found, self._expected[layer], strict=True):
            if got.shape != want.shape:
                return f"{name} have shape {got.shape}, expected {want.shape}"
            error = float(np.max(np.abs(got - want)) / max(float(np.max(np.abs(want))), 1e-30))
            if not error <= self.tolerance:  # NaN disagrees
                said = f"{name} differ by {error:.2g} of the largest"
                return f"{said}, tolerance {self.tolerance:g}"
        return ""

    def _values(self, model: Model, compiler: str) -> list[np.ndarray]:
        """Outputs and gradients in the inputs."""
        results = make_program(model, self.workload, compiler).call()
        assert isinstance(results, list)
        kept = results[: 1 + len(self.workload.inputs)]
        return [keras.ops.convert_to_numpy(x).astype("float32") for x in kept]
