"""keras-lmu: the cell of the Legendre memory unit, and the memory alone."""

import keras
import keras_lmu
import numpy as np
import tensorflow as tf

from tests.golden.peers.recording import draw, normal, pack, upstream_of, version, warm


def vectors():
    hidden = keras.layers.SimpleRNNCell(5, activation="tanh", use_bias=True, dtype="float64")
    unit = keras_lmu.LMUCell(
        memory_d=1,
        order=4,
        theta=20.0,
        hidden_cell=hidden,
        hidden_to_memory=True,
        memory_to_memory=True,
        input_to_hidden=True,
        dtype="float64",
    )
    yield "lmu", _record(unit, 3, warm(2, memory=(2, 4), hidden=(2, 5)))
    memory = keras_lmu.LMUCell(
        memory_d=2, order=6, theta=10.0, hidden_cell=None, kernel_initializer=None, dtype="float64"
    )
    yield "legendre-memory", _record(memory, 2, warm(3, memory=(2, 12)))


def _record(cell, width: int, state):
    inputs = normal(2, 11, width)
    cell.build(inputs[:, 0].shape)
    weights = draw(1, **{_name(v): tuple(v.shape) for v in cell.trainable_variables})
    for variable in cell.trainable_variables:
        variable.assign(weights[_name(variable)])
    with tf.GradientTape() as tape:
        x = tf.constant(inputs)
        start = {name: tf.constant(value) for name, value in state.items()}
        tape.watch([x, *start.values()])
        states, outputs = list(start.values()), []
        for x_t in tf.unstack(x, axis=1):
            y, states = cell(x_t, states)
            outputs.append(y)
        results = {"outputs": tf.stack(outputs, axis=1)}
        results |= {f"final/{n}": s for n, s in zip(start, states, strict=True)}
        upstream = upstream_of({n: r.numpy() for n, r in results.items()}, 0)
        total = tf.add_n([tf.reduce_sum(results[n] * u) for n, u in upstream.items()])
    variables = {_name(v): v.value for v in cell.trainable_variables}
    sources = {"inputs": x, **{f"state/{n}": s for n, s in start.items()}}
    sources |= {f"weights/{n}": v for n, v in variables.items()}
    grads = tape.gradient(total, sources)
    return pack(
        f"{version('keras-lmu')}: LMUCell",
        weights,
        inputs,
        state,
        {n: np.asarray(r) for n, r in results.items()},
        upstream,
        {n: np.asarray(g) for n, g in grads.items()},
    )


def _name(variable) -> str:
    """`kernel`, `recurrent_kernel`; of the hidden cell with `hidden_` before it."""
    inner = "simple_rnn_cell" in variable.path
    return f"hidden_{variable.name}" if inner else variable.name
