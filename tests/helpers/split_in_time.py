"""`python -m tests.helpers.split_in_time CASES`: layers split over 8 devices beside whole ones.

Prints JSON: for each case how far outputs and gradients are apart, relative to the largest.
"""

import json
import sys

import jax
import keras
import numpy as np

from common.sequence_parallel import sequence_parallel
from tests.contract.subjects import all_subjects

BATCH, STEPS, DEVICES = 2, 64, 8
MESH = jax.make_mesh((DEVICES,), ("sequence",))
BOTH = jax.make_mesh((BATCH, DEVICES // BATCH), ("data", "sequence"))


def apart(subject, memory, mesh=MESH, batch_axis=None, gates=None):
    """How far both are apart, with documents that end in some parts and go on over others.

    `gates` is the deviation of an mLSTM's gates' weights, which start at zero.
    """
    layer, rng = subject.layer(subject.forms[0]), np.random.default_rng(0)
    if gates is not None:
        layer.gate_kernel.assign(gates * rng.standard_normal(layer.gate_kernel.shape))
    x = subject.inputs(BATCH, STEPS)
    upstream = rng.standard_normal((BATCH, STEPS, layer.output_dim))
    reset = np.zeros((BATCH, STEPS), bool)
    reset[0, 21] = reset[1, [5, 40]] = True
    weights = [variable.value for variable in layer.trainable_variables]

    def differentiated(function):
        def loss(weights, x):
            mapping = list(zip(layer.trainable_variables, weights, strict=True))
            with keras.StatelessScope(state_mapping=mapping):
                outputs = function(x, reset=reset)
            return (outputs * upstream).sum(), outputs

        return jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))(weights, x)

    (_, outputs), gradients = differentiated(layer)
    (_, parts), others = differentiated(
        sequence_parallel(layer, mesh, memory, batch_axis=batch_axis)
    )
    wanted, got = (jax.tree.leaves(x) for x in ((outputs, gradients), (parts, others)))
    pairs = zip(map(np.asarray, wanted), map(np.asarray, got), strict=True)
    # NumPy's maximum keeps NaN.
    return float(np.max([np.abs(want - part).max() / np.abs(want).max() for want, part in pairs]))


def is_nan(subject, memory, values=1.0):
    """Whether outputs are, of a memory that is of another kind, however small its `values`."""
    layer = subject.layer(subject.forms[0])
    if values != 1:
        start, end = np.cumsum(layer._split_sizes)[1:3]
        kernel = np.array(layer.kernel)
        kernel[:, start:end] *= values
        layer.kernel.assign(kernel)
    outputs = sequence_parallel(layer, MESH, memory)(subject.inputs(BATCH, STEPS))
    return bool(np.isnan(np.asarray(outputs)).all())


if __name__ == "__main__":
    asked, subjects = json.loads(sys.argv[1]), {one.name: one for one in all_subjects()}
    told = {
        "apart": {name: apart(subjects[name], kind) for name, kind in asked["apart"].items()},
        "batch too": {
            name: apart(subjects[name], kind, BOTH, "data") for name, kind in asked["batch"].items()
        },
        "steep": {
            name: apart(subjects[name], kind, gates=100) for name, kind in asked["steep"].items()
        },
        "small": {
            name: is_nan(subjects[name], kind, 1e-10) for name, kind in asked["small"].items()
        },
        "nan": {name: is_nan(subjects[name], kind) for name, kind in asked["nan"].items()},
    }
    print(json.dumps(told))
