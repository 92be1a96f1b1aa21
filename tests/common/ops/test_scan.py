"""The loop over time, against a Python loop and closed forms."""

import keras
import numpy as np
import pytest
from keras import ops

from common.ops.scan import scan
from tests.helpers.gradients import gradients

MODES = {"tensorflow": ("eager", "graph", "xla"), "jax": ("xla",), "torch": ("eager",)}
MODES = MODES[keras.backend.backend()]


def body(carry, x):
    """A carry of two ranks and an emitted nest, coupled through both."""
    memory = 0.9 * carry["memory"] + x["a"][:, :, None] * x["b"][:, None, :]
    vector = ops.sigmoid(carry["vector"] + ops.sum(memory, axis=-1))
    return {"memory": memory, "vector": vector}, (vector, {"trace": ops.sum(memory, axis=(1, 2))})


def arrays(length):
    rng = np.random.default_rng(length)
    shapes = [(2, length, 3), (2, length, 4), (2, 3, 4), (2, 3)]
    return [rng.standard_normal(shape) for shape in shapes]


def with_scan(a, b, memory, vector):
    return scan(body, {"memory": memory, "vector": vector}, {"a": a, "b": b})


def with_python(a, b, memory, vector):
    carry, emitted = {"memory": memory, "vector": vector}, []
    for t in range(a.shape[1]):
        carry, y = body(carry, {"a": a[:, t], "b": b[:, t]})
        emitted.append(y)
    vectors = ops.stack([v for v, _ in emitted], axis=1)
    traces = ops.stack([n["trace"] for _, n in emitted], axis=1)
    return carry, (vectors, {"trace": traces})


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("length", [1, 2, 20])
def test_nested_structures_against_a_python_loop(mode, length):
    args = arrays(length)
    shapes = [(None, None, 3), (None, None, 4), (None, 3, 4), (None, 3)]
    got = gradients(with_scan, args, mode, shapes if mode == "graph" else None)
    want = gradients(with_python, args)
    for a, b in zip(got[0] + got[1], want[0] + want[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_complex_carry_against_the_closed_form(mode):
    """A rotation: z_t = e^{i w} z_{t-1} + x_t has z_T = sum_t e^{i w (T - t)} x_t."""
    angle, length = 0.3, 12
    rotation = np.exp(1j * angle)

    def run(x):
        start = ops.cast(ops.zeros_like(x[:, 0]), "complex128")

        def step(z, x):
            z = z * ops.convert_to_tensor(rotation, "complex128") + ops.cast(x, "complex128")
            return z, ops.real(z)

        z, trace = scan(step, start, x)
        return ops.real(z), ops.imag(z), trace

    x = np.random.default_rng(0).standard_normal((2, length, 3))
    (real, imaginary, trace), (gradient,) = gradients(run, [x], mode)
    powers = rotation ** np.arange(length - 1, -1, -1)
    want = np.einsum("t,btd->bd", powers, x)
    np.testing.assert_allclose(real, want.real, atol=1e-12)
    np.testing.assert_allclose(imaginary, want.imag, atol=1e-12)
    np.testing.assert_allclose(trace[:, -1], want.real, atol=1e-12)
    assert np.all(np.isfinite(gradient)) and np.any(gradient)


def test_integer_and_boolean_carries_pass_through():
    def step(carry, x):
        count, seen = carry
        return (count + 1, ops.logical_or(seen, x[:, 0] > 2)), count

    x = np.arange(8.0).reshape(2, 4, 1)
    start = (ops.zeros((2,), "int32"), ops.zeros((2,), "bool"))
    (count, seen), counts = scan(step, start, ops.convert_to_tensor(x))
    np.testing.assert_array_equal(ops.convert_to_numpy(count), [4, 4])
    np.testing.assert_array_equal(ops.convert_to_numpy(seen), [True, True])
    np.testing.assert_array_equal(ops.convert_to_numpy(counts), [[0, 1, 2, 3]] * 2)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="counts graph nodes")
def test_the_graph_does_not_grow_with_the_length():
    import tensorflow as tf

    def size(length):
        specs = [tf.TensorSpec(x.shape, x.dtype) for x in arrays(length)]
        graph = tf.function(with_scan, autograph=False).get_concrete_function(*specs).graph
        inner = graph.as_graph_def().library.function
        return len(graph.get_operations()) + sum(len(f.node_def) for f in inner)

    assert size(10) == size(1000)
