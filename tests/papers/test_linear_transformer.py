"""The linear transformer: its layer re-derived in NumPy, its model, its training."""

import sys

import numpy as np
import pytest

from common.reproduce import Run
from papers.linear_transformer import LinearAttention, LinearTransformer
from papers.linear_transformer.memory import memory
from papers.linear_transformer.model import sinusoids
from tests.contract.papers import COMMON, HEADS, SIZE, ModelSubject, PaperContract
from tests.helpers.arrays import array

CONTRACT = PaperContract(
    kernels={
        "linear_transformer-linear-attention": [(1, 3, 22), (1, 6, 6)],
    },
    models=(
        ModelSubject(
            "linear_transformer",
            LinearTransformer,
            {**SIZE, "num_layers": 2, "num_heads": 2, "max_length": 30},
            COMMON | {"attention": "softmax", "hidden_units": 5, "form": "recurrent"},
        ),
        ModelSubject(
            "linear_transformer-softmax",
            LinearTransformer,
            {**SIZE, "num_layers": 1, "num_heads": 2, "max_length": 30, "attention": "softmax"},
            {},
        ),
    ),
    other_arguments={
        "LinearAttention": [HEADS | {"chunk_size": 2, "epsilon": 0.1}],
    },
    corners={
        "linear_transformer-linear-attention": [{"num_heads": 1}],
    },
)


@pytest.mark.parametrize("form", LinearAttention.forms)
def test_attention_is_the_papers_equation_nine(form):
    layer = LinearAttention(
        6, num_heads=2, key_dim=3, value_dim=5, use_bias=True, form=form, dtype="float64"
    )
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 9, 4))
    layer.build(x.shape)
    layer.set_weights([rng.standard_normal(w.shape) for w in layer.weights])
    weights = dict(zip([w.name for w in layer.weights], layer.get_weights(), strict=True))

    projected = x @ weights["kernel"] + weights["bias"]
    q, k, v = np.split(projected, [6, 12], axis=-1)
    phi = lambda a: np.where(a > 0, a + 1, np.exp(a))  # noqa: E731
    heads = []
    for h in range(2):
        qh, kh, vh = phi(q[..., 3 * h : 3 * h + 3]), phi(k[..., 3 * h : 3 * h + 3]), v[..., 5 * h :]
        out = np.zeros((2, 9, 5))
        for i in range(9):
            similarity = np.einsum("bk,bjk->bj", qh[:, i], kh[:, : i + 1])
            weighted = np.einsum("bj,bjv->bv", similarity, vh[:, : i + 1, :5])
            out[:, i] = weighted / (similarity.sum(-1, keepdims=True) + 1e-6)
        heads.append(out)
    want = np.concatenate(heads, -1) @ weights["output_kernel"] + weights["output_bias"]
    np.testing.assert_allclose(array(layer(x)), want, rtol=1e-10, atol=1e-12)


def test_parameters_of_the_papers_model():
    model = LinearTransformer(11, 256, num_layers=4, num_heads=8, max_length=128)
    model.build((None, 128))
    # A block: attention 4 (256^2 + 256), network 2 x 256 x 1024 + 1024 + 256, norms 4 x 256.
    block = 4 * (256**2 + 256) + 2 * 256 * 1024 + 1024 + 256 + 4 * 256
    assert model.count_params() == 11 * 128 + 4 * block + 2 * 256 + 256 * 11 + 11


def test_positions_are_sinusoids():
    table = sinusoids(5, 4)
    np.testing.assert_allclose(table[3], [np.sin(3), np.cos(3), np.sin(0.03), np.cos(0.03)], 1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"attention": "sparse"}, "attention.*sparse"),
        ({"vocabulary_size": 0}, "vocabulary_size.*0"),
        ({"units": 7}, "units.*7"),
        ({"num_heads": 3}, "num_heads.*units.*3"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    good = {"vocabulary_size": 4, "units": 8, "num_layers": 1, "num_heads": 2, "max_length": 8}
    with pytest.raises(ValueError, match=message):
        LinearTransformer(**{**good, **arguments})


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is Linux's")
def test_memory_is_that_of_what_attention_holds(tmp_path):
    """Softmax attention holds T x T weights at least, linear attention none."""
    run = Run(variant="softmax", preset="cpu", seed=0, dir=tmp_path)
    lengths = {"softmax": [512, 1024, 2048], "linear": [512, 1024, 2048]}
    softmax, linear = (
        memory(run, attention=name, lengths=lengths, units=16, num_heads=1) for name in lengths
    )
    weights = 4 * 2048**2 / 1e6
    assert weights < softmax["megabytes"] < 8 * weights
    assert linear["megabytes"] < weights / 2
    assert softmax["exponent"] > 1.0
