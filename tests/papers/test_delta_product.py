"""DeltaProduct: its equations in NumPy, its two ends, a group by hand, its word problem."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from common.models import count_parameters
from common.reproduce.judge.reported import load_reported
from common.tasks.permutation_word import PermutationWord
from papers.delta_net import DeltaNet
from papers.delta_product import DeltaProduct, DeltaProductLM
from papers.delta_product.model import SIZES
from tests.contract.papers import APART, HEADS, SIZE, ModelSubject, PaperContract, without
from tests.helpers.arrays import array, convolve, sigmoid, silu, unit

CONTRACT = PaperContract(
    kernels={
        "delta_product-delta-product": [(1, 3, 36), (1, 3, 2), (1, 3, 2), (1, 6, 6)],
        "delta_product-gated-delta-product": [
            (1, 3, 50),
            (1, 3, 2),
            (1, 3, 4),
            (1, 3, 2),
            (1, 3, 6),
            (1, 6, 6),
        ],
    },
    models=(
        ModelSubject(
            "delta_product",
            DeltaProductLM,
            {**SIZE, "num_layers": 1, "num_heads": 2, "hidden_units": 6},
            without(APART, "epsilon")
            | {"num_householders": 3, "head_dim": 3, "hidden_units": 6, "kernel_size": 3}
            | {"negative_eigenvalues": False, "gated": True, "chunk_size": 4, "form": "recurrent"},
        ),
    ),
    other_arguments={
        "DeltaProduct": [
            HEADS
            | {"num_householders": 3, "kernel_size": 3, "negative_eigenvalues": False}
            | {"gated": True, "chunk_size": 2, "epsilon": 1e-2}
        ],
    },
    corners={
        "delta_product-gated-delta-product": [
            {"num_heads": 1, "num_householders": 2, "kernel_size": 2}
        ],
    },
)


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("negative_eigenvalues", [False, True])
@pytest.mark.parametrize("kernel_size", [None, 3])
def test_a_token_applies_the_product_of_its_householder_matrices(
    kernel_size, negative_eigenvalues, gated
):
    """Section 4, with the memory V x K: `S_i = a_i S_{i-1} A_i + B_i`, A_i a product."""
    heads, keys, values, n, length = 2, 3, 4, 3, 5
    layer = DeltaProduct(
        5, heads, n, kernel_size, negative_eigenvalues, gated, key_dim=keys, value_dim=values,
        use_bias=True, dtype="float64",
    )  # fmt: skip
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, length, 6))
    layer.build(x.shape)
    layer.set_weights([rng.standard_normal(w.shape) for w in layer.weights])
    w = dict(zip([w.name for w in layer.weights], layer.get_weights(), strict=True))
    projected = x[0] @ w["kernel"] + w["bias"]
    if kernel_size is not None:
        projected = convolve(projected, w["conv_kernel"])
    q, k, v = np.split(silu(projected), [heads * keys, (1 + n) * heads * keys], axis=1)
    q = unit(q.reshape(length, heads, keys)) / np.sqrt(keys)
    k = unit(k.reshape(length, n, heads, keys))
    v = v.reshape(length, n, heads, values)
    strengths = np.concatenate([w["strength_kernel"], w["further_strength_kernel"]], axis=1)
    beta = (2 if negative_eigenvalues else 1) * sigmoid(x[0] @ strengths)
    beta = beta.reshape(length, n, heads)
    want = np.zeros((length, heads, values))
    for h in range(heads):
        memory = np.zeros((values, keys))
        for t in range(length):
            product, written = np.eye(keys), np.zeros((values, keys))
            for j in range(n):
                key = k[t, j, h]
                householder = np.eye(keys) - beta[t, j, h] * np.outer(key, key)
                product = product @ householder
                written = written @ householder + beta[t, j, h] * np.outer(v[t, j, h], key)
            if gated:
                step = np.log1p(np.exp(x[0, t] @ w["decay_kernel"][:, h] + w["decay_bias"][h]))
                product *= np.exp(-np.exp(w["log_rate"][h]) * step)
            memory = memory @ product + written
            o = memory @ q[t, h]
            want[t, h] = o / np.sqrt((o * o).mean() + 1e-5) * w["norm_scale"]
    want = want.reshape(length, -1)
    if gated:
        want = want * silu(x[0] @ w["gate_kernel"])
    want = want @ w["output_kernel"] + w["output_bias"]
    for form in layer.forms:
        layer.form = form
        np.testing.assert_allclose(array(layer(x))[0], want, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("kernel_size", [None, 3])
def test_with_one_step_it_is_delta_net(kernel_size, gated):
    arguments = {"kernel_size": kernel_size, "negative_eigenvalues": True, "gated": gated}
    one, other = (
        DeltaProduct(6, 2, 1, **arguments, key_dim=4, dtype="float64"),
        DeltaNet(6, 2, **arguments, key_dim=4, dtype="float64"),
    )
    x = np.random.default_rng(0).standard_normal((2, 9, 3))
    for layer in (one, other):
        layer.build(x.shape)
    assert [w.path.split("/")[-1] for w in one.weights] == [
        w.path.split("/")[-1] for w in other.weights
    ]
    one.set_weights(other.get_weights())
    for form in one.forms:
        one.form = other.form = form
        np.testing.assert_array_equal(array(one(x)), array(other(x)))


def permuting(permutation):
    """The matrix that brings coordinate i to coordinate `permutation[i]`."""
    return np.eye(len(permutation))[:, list(permutation)]


def reflections(permutation):
    """Two vectors whose reflections, one after the other, make a permutation; zero for none."""
    swaps = {"12": [1, -1, 0], "13": [1, 0, -1], "23": [0, 1, -1]}
    words = {(0, 1, 2): [], (1, 0, 2): ["12"], (2, 1, 0): ["13"], (0, 2, 1): ["23"]}
    words |= {(1, 2, 0): ["23", "12"], (2, 0, 1): ["12", "23"]}
    vectors = [np.array(swaps[swap]) / np.sqrt(2) for swap in words[permutation]]
    return np.array([*vectors, np.zeros(3), np.zeros(3)][:2])


def test_one_layer_by_hand_tracks_s3():
    """A swap is the reflection by (1, -1, 0) or alike, a cycle is two, and so two keys of a token.

    The inputs name the permutation; the memory starts as the identity, and becomes the product.
    """
    elements = list(itertools.permutations(range(3)))
    keys = np.array([reflections(one) for one in elements])  # (6, 2, 3)
    for element, (first, second) in zip(elements, keys, strict=True):
        a, b = (np.eye(3) - 2 * np.outer(key, key) for key in (first, second))
        np.testing.assert_allclose(b @ a, permuting(element), atol=1e-15)
    grid = np.linspace(-1.2, 1.2, 100_001)  # where silu is monotone, from -0.28 on
    layer = DeltaProduct(3, 1, 2, None, dtype="float64", key_dim=3, value_dim=3)
    layer.build((None, None, 6))
    kernel = np.zeros((6, 3 + 6 + 6))  # a query, two keys, two values
    kernel[:, 3:9] = np.interp(0.25 * keys, silu(grid), grid).reshape(6, 6)
    layer.kernel.assign(kernel)
    strengths = np.where(keys.any(-1), 50.0, -50.0)
    layer.strength_kernel.assign(strengths[:, :1])
    layer.further_strength_kernel.assign(strengths[:, 1:])
    word = np.random.default_rng(0).integers(6, size=100)
    state = {"memory": np.eye(3)[None, None]}
    _, state = layer(np.eye(6)[None, word], initial_state=state, return_state=True)
    product = np.linalg.multi_dot([permuting(elements[i]) for i in word[::-1]])
    np.testing.assert_allclose(array(state["memory"])[0, 0], product, atol=0.01)


def test_parameters_of_the_authors_configurations():
    reported = load_reported(Path("papers/delta_product/reported.csv"))
    for name, size in SIZES.items():
        n, heads, units = size["num_householders"], size["num_heads"] * 128, size["units"]
        mixer = units * heads * (2 + 2 * n) + units * n * size["num_heads"]
        mixer += 4 * heads * (1 + 2 * n) + 128
        inside = -(-(8 * units // 3) // 256) * 256
        block = mixer + 3 * units * inside + 2 * units
        count = count_parameters(lambda size=size: DeltaProductLM(**size))
        assert count == 24 * block + 32000 * units + units
        assert count / 1e6 == pytest.approx(reported[f"parameters-{name}"].value, rel=0.01)


@pytest.mark.parametrize(("group", "order"), [("S3", 6), ("S4", 24), ("A5", 60), ("S5", 120)])
def test_words_are_products_of_permutations_after_a_start_symbol(group, order):
    task = PermutationWord(group, length=12)
    assert task.vocabulary_size == order + 1
    batch = task.batch(300, 0, 0)
    for name in ("inputs", "targets"):
        assert batch[name].shape == (300, 13)
        np.testing.assert_array_equal(batch[name][:, 0], order)
        assert set(np.unique(batch[name][:, 1:])) == set(range(order))
    np.testing.assert_array_equal(batch["weights"], [[0.0] + 12 * [1.0]] * 300)
    matrices = np.array([permuting(p) for p in itertools.permutations(range(int(group[1])))])
    if group == "A5":
        matrices = matrices[np.linalg.det(matrices) > 0]
    for inputs, targets in zip(batch["inputs"][:50], batch["targets"][:50], strict=True):
        product = np.eye(int(group[1]))
        for x, y in zip(inputs[1:], targets[1:], strict=True):
            product = matrices[x] @ product
            np.testing.assert_array_equal(product, matrices[y])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DeltaProduct(4, 2, 0), "num_householders.*0"),
        (lambda: DeltaProduct(4, 2, kernel_size=1), "kernel_size.*1"),
        (lambda: PermutationWord("S6"), "`group` must be one of .* got 'S6'"),
        (lambda: PermutationWord(length=0), "`length` must be a positive integer.* got 0"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
