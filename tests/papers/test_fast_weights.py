"""Fast weights: both rules re-derived in NumPy, the retrieval model and its evaluation."""

import keras
import numpy as np
import pytest

from common.tasks import KeyValueRetrieval
from papers.fast_weights import FastWeightAttention, KeyValueMemory
from papers.fast_weights.experiments import HalfSquaredError, retrieval_loss
from tests.contract.papers import COMMON, HEADS, VOCABULARY, ModelSubject, PaperContract
from tests.helpers.arrays import array, sigmoid
from tests.helpers.weights import assert_drawn_apart

CONTRACT = PaperContract(
    kernels={
        "fast_weights-delta-dpfp": [(1, 3, 22), (1, 3, 2), (1, 6, 6)],
        "fast_weights-sum-elu": [(1, 3, 22), (1, 6, 6)],
    },
    models=(
        ModelSubject(
            "fast_weights",
            KeyValueMemory,
            {"num_keys": VOCABULARY, "rule": "delta", "key_dim": 5},
            COMMON | {"feature_map": "elu", "key_dim": 5},
        ),
        ModelSubject(
            "fast_weights-sum",
            KeyValueMemory,
            {"num_keys": VOCABULARY, "rule": "sum", "key_dim": 5},
            {"nu": 2},
        ),
        ModelSubject(
            "fast_weights-softmax",
            KeyValueMemory,
            {"num_keys": VOCABULARY, "rule": "softmax", "key_dim": 5},
            {},
        ),
    ),
    other_arguments={
        "FastWeightAttention": [
            HEADS | {"rule": "sum", "feature_map": "elu", "nu": 2, "chunk_size": 2},
            HEADS | {"rule": "sum", "nu": 2, "form": "parallel"},
        ],
    },
    corners={
        "fast_weights-delta-dpfp": [{"num_heads": 1}],
        "fast_weights-sum-elu": [{"num_heads": 1}],
    },
)


def dpfp(x, nu):
    """Equation 37, element by element."""
    r = np.concatenate([np.maximum(x, 0), np.maximum(-x, 0)], -1)
    size = r.shape[-1]
    parts = [r[..., i] * r[..., (i - j) % size] for j in range(1, nu + 1) for i in range(size)]
    return np.stack(parts, -1)


def elu(x):
    return np.where(x > 0, x + 1, np.exp(x))


@pytest.mark.parametrize("feature_map", ["dpfp", "elu"])
@pytest.mark.parametrize("rule", ["delta", "sum"])
def test_rules_are_the_papers_equations(rule, feature_map):
    layer = FastWeightAttention(
        5, num_heads=1, key_dim=3, value_dim=4, rule=rule, feature_map=feature_map, nu=2,
        use_bias=True, dtype="float64",
    )  # fmt: skip
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 7, 6))
    layer.build(x.shape)
    layer.set_weights([rng.standard_normal(w.shape) for w in layer.weights])
    weights = dict(zip([w.name for w in layer.weights], layer.get_weights(), strict=True))
    phi = (lambda a: dpfp(a, 2)) if feature_map == "dpfp" else elu
    want = np.zeros((2, 7, 4))
    for b in range(2):
        size = layer.feature_dim
        memory, z = np.zeros((4, size)), np.zeros(size)  # W, V x P
        for t in range(7):
            projected = x[b, t] @ weights["kernel"] + weights["bias"]
            q, k, v = phi(projected[:3]), phi(projected[3:6]), projected[6:]
            if rule == "sum":
                memory, z = memory + np.outer(v, k), z + k
                want[b, t] = memory @ q / (z @ q + 1e-6)
            else:
                q, k = q / (q.sum() + 1e-6), k / (k.sum() + 1e-6)
                beta = sigmoid(x[b, t] @ weights["strength_kernel"] + weights["strength_bias"])
                memory = memory + beta * np.outer(v - memory @ k, k)
                want[b, t] = memory @ q
    want = want @ weights["output_kernel"] + weights["output_bias"]
    np.testing.assert_allclose(array(layer(x)), want, rtol=1e-9, atol=1e-12)


def test_model_reads_what_the_layer_s_rule_writes():
    """The delta rule over a short sequence, written out, gives the model's answer."""
    keras.utils.set_random_seed(0)
    model = KeyValueMemory(5, "delta", "dpfp", nu=1, key_dim=4, dtype="float64")
    batch = KeyValueRetrieval(5, replacement=True).batch(3, seed=0, step=0)
    got = array(model({"inputs": batch["inputs"], "query": batch["query"]}))
    embedding = array(model.embedding.embeddings)
    dense = lambda layer, x: x @ array(layer.kernel) + array(layer.bias)  # noqa: E731
    for b in range(3):
        memory = np.zeros((5, 8))
        for key, value in batch["inputs"][b]:
            v = np.eye(5)[value]
            pair = np.concatenate([v, embedding[key]])
            k = dpfp(dense(model.key, pair), 1)
            k = k / (k.sum() + 1e-6)
            beta = sigmoid(dense(model.strength, pair))
            memory = memory + beta * np.outer(v - memory @ k, k)
        q = dpfp(dense(model.query, embedding[batch["query"][b, 0]]), 1)
        np.testing.assert_allclose(got[b, 0], memory @ (q / (q.sum() + 1e-6)), atol=1e-6)


@pytest.mark.parametrize("rule", ["sum", "softmax"])
def test_projections_start_apart(rule):
    assert_drawn_apart(lambda: KeyValueMemory(20, rule), None)


def test_loss_is_half_the_squared_distance():
    got = HalfSquaredError(reduction="none")(np.array([[1]]), np.array([[[0.5, 0.5, 0.0]]]))
    assert array(got).item() == pytest.approx(0.5 * (0.25 + 0.25))


def test_a_memory_of_zeros_scores_a_half():
    class Zeros:
        def predict(self, inputs, **_):
            return np.zeros((*inputs["query"].shape, 40), "float32")

    test = KeyValueRetrieval(40).batch(20, seed=0, step=0, split="test")
    assert retrieval_loss(Zeros(), test) == pytest.approx(0.5)


def test_sizes_of_the_official_model():
    model = KeyValueMemory(100, "delta")
    model.build(None)
    width = 100 + 220
    want = 100 * 220 + (width + 1) * 64 + (220 + 1) * 64 + width + 1
    assert model.count_params() == want


def test_delta_rule_overwrites_where_the_sum_rule_adds():
    """The same key twice with beta near 1: delta reads the second value, sum a mixture."""
    reads = {}
    for rule in ("delta", "sum"):
        layer = FastWeightAttention(2, 1, key_dim=2, rule=rule, feature_map="elu", dtype="float64")
        layer.build((None, None, 3))
        kernel = np.zeros((3, 6))
        kernel[0, [0, 2]] = -50.0  # q and k: (0, 1) after elu + 1
        kernel[1, 4] = kernel[2, 5] = 1.0  # v: the other two inputs
        layer.kernel.assign(kernel)
        layer.output_kernel.assign(np.eye(2))
        if rule == "delta":
            layer.strength_bias.assign([50.0])
        x = np.array([[[1.0, 1, 0], [1.0, 0, 1]]])
        reads[rule] = array(layer(x))[0, 1]
    np.testing.assert_allclose(reads["delta"], [0, 1], atol=1e-5)
    np.testing.assert_allclose(reads["sum"], [0.5, 0.5], atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rule": "max"}, "rule.*max"),
        ({"feature_map": "relu"}, "feature_map.*relu"),
        ({"nu": 0}, "nu.*0"),
        ({"chunk_size": 0}, "chunk_size.*0"),
        ({"rule": "delta", "form": "parallel"}, "form.*parallel"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        FastWeightAttention(4, 2, **arguments)
