"""RetNet: retention re-derived in NumPy, its gammas and divisors, its model, its sizes."""

import keras
import numpy as np
import pytest

from common.models import count_parameters
from papers.retnet import Retention, RetNet
from papers.retnet.model import SIZES
from tests.contract.papers import APART, HEADS, SIZE, ModelSubject, PaperContract
from tests.helpers.arrays import array, drawn

CONTRACT = PaperContract(
    kernels={
        "retnet-retention": [(1, 5, 32), (1, 5, 16), (1, 16, 8)],
    },
    models=(
        ModelSubject(
            "retnet",
            RetNet,
            {**SIZE, "num_layers": 1, "num_heads": 2, "hidden_units": 6},
            APART
            | {"num_heads": 2, "hidden_units": 6, "form": "recurrent"}
            # Its own defaults are the other ones.
            | {"norm": "rms", "tie_embeddings": False},
        ),
    ),
    other_arguments={
        "Retention": [HEADS | {"chunk_size": 2}],
    },
    corners={
        "retnet-retention": [{"num_heads": 1}],
    },
)


def turn(x, n):
    """Pairs `(x_i, x_{i + K/2})` as complex numbers, times `exp(i n theta)`."""
    half = x.shape[-1] // 2
    turned = (x[..., :half] + 1j * x[..., half:]) * np.exp(
        1j * n * 1e4 ** (-np.arange(half) / half)
    )
    return np.concatenate([turned.real, turned.imag], axis=-1)


def scores(q, k, gamma, normalised=True):
    """R of one head (eq. 5 and the score normalization of section 2.2), row by row."""
    length, size = q.shape
    R = np.zeros((length, length))
    for n in range(length):
        D = np.array([gamma ** (n - m) for m in range(n + 1)])
        for m in range(n + 1):
            R[n, m] = turn(q[n], n) @ turn(k[m], m) * D[m]
        if normalised:
            R[n] /= np.sqrt(size) * np.sqrt(D.sum())
            R[n] /= max(abs(R[n].sum()), 1)
    return R


def group_norm(x, epsilon=1e-5):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + epsilon)


@pytest.mark.parametrize("form", Retention.forms)
def test_layer_is_the_papers_equations(form):
    x = 2 * np.random.default_rng(1).standard_normal((2, 9, 5))
    layer, w = drawn(Retention(8, num_heads=2, form=form, dtype="float64"), x)
    keys, values = 4, 8
    q, k, v = np.split(x @ w["kernel"], (2 * keys, 4 * keys), axis=-1)
    gate = x @ w["gate_kernel"]
    want = np.zeros((2, 9, 16))
    divided = 0
    for b in range(2):
        for h, gamma in enumerate((31 / 32, 63 / 64)):
            of_keys, of_values = (
                slice(h * keys, (h + 1) * keys),
                slice(h * values, (h + 1) * values),
            )
            R = scores(q[b][:, of_keys], k[b][:, of_keys], gamma)
            divided += np.sum(np.isclose(abs(R.sum(-1)), 1))
            want[b][:, of_values] = group_norm(R @ v[b][:, of_values])
    assert 0 < divided < 36, "the third divisor takes both values"
    want = want * gate / (1 + np.exp(-gate)) @ w["output_kernel"]
    np.testing.assert_allclose(array(layer(x)), want, rtol=1e-8, atol=1e-10)


def test_the_group_norm_hides_the_divisors():
    """Without the three divisors the outputs are the same, up to the norm's epsilon (2.2)."""
    x = np.random.default_rng(1).standard_normal((1, 40, 5))
    layer, w = drawn(Retention(4, num_heads=1, dtype="float64"), x)
    q, k, v = np.split(x[0] @ w["kernel"], (4, 8), axis=-1)
    gate = x[0] @ w["gate_kernel"]
    read = scores(q, k, 31 / 32, normalised=False) @ v
    want = group_norm(read, 0) * gate / (1 + np.exp(-gate)) @ w["output_kernel"]
    np.testing.assert_allclose(array(layer(x))[0], want, atol=1e-3 * np.abs(want).max())


def test_positions_count_the_valid_steps_since_the_last_reset():
    layer, _ = drawn(Retention(4, 1), np.zeros((2, 6, 3)))
    inputs = np.random.default_rng(0).standard_normal((2, 6, 3))
    mask = np.array([[1, 1, 0, 1, 1, 1], [0, 0, 1, 1, 1, 1]], bool)
    reset = np.array([[0, 0, 0, 0, 1, 0], [0] * 6], bool)
    _, state = layer(inputs, mask=mask, reset=reset, return_state=True)
    np.testing.assert_array_equal(array(state["position"]), [2, 4])
    assert keras.backend.standardize_dtype(state["position"].dtype) == "int32"


def test_each_head_forgets_at_its_own_rate():
    layer = Retention(16, 4)
    np.testing.assert_allclose(np.exp(layer.log_gammas), [31 / 32, 63 / 64, 127 / 128, 255 / 256])


@pytest.mark.parametrize(("size", "published"), [("1.3B", 1.3e9), ("2.7B", 2.7e9), ("6.7B", 6.7e9)])
def test_parameters_are_the_published_number(size, published):
    """12 D^2 a block (section 3.1): 8 in the retention, 4 in the network; and the norms."""
    units, layers = SIZES[size]["units"], SIZES[size]["num_layers"]
    blocks = layers * (12 * units**2 + 4 * units) + 2 * units
    counted = count_parameters(lambda: RetNet(**SIZES[size]))
    assert counted == blocks + SIZES[size]["vocabulary_size"] * units
    # Named by two digits, and the vocabulary is not the paper's.
    assert abs(counted / published - 1) < 0.03


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Retention(6, num_heads=2), "key_dim.*3"),
        (lambda: Retention(7, num_heads=2), "units.*7"),
        (lambda: Retention(8, 2, chunk_size=48), "chunk_size.*48"),
        (lambda: Retention(8, 0), "num_heads.*0"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
