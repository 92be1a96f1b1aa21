"""PaTH attention: re-derived in NumPy, its special cases, its theorem, its task."""

import itertools

import numpy as np
import pytest
from keras import ops
from keras.optimizers import schedules

from common.layers import SoftmaxAttention
from common.ops.path_attention import chunkwise_path_attention, parallel_path_attention
from papers.path_attention import ForgettingAttention, PaTH, PaTHAttention
from papers.path_attention.experiments import LinearDecay
from tests.common.ops.agreement import MODES
from tests.contract.papers import APART, HEADS, SIZE, ModelSubject, PaperContract, without
from tests.helpers.arrays import array, drawn, sigmoid
from tests.helpers.gradients import gradients

CONTRACT = PaperContract(
    kernels={
        "path_attention-path-attention": [
            (1, 3, 22),
            (1, 6, 6),
            (1, 3, 2),
            (1, 3, 3),
            (1, 3, 8),
            (1, 3, 2),
        ],
        "path_attention-forgetting-attention": [(1, 3, 22), (1, 6, 6), (1, 3, 2)],
    },
    models=(
        ModelSubject(
            "path",
            PaTH,
            {**SIZE, "num_layers": 1, "num_heads": 2, "window": 6, "hidden_units": 6},
            without(APART, "epsilon")
            | {"attention": "path-fox", "num_heads": 2, "hidden_units": 6}
            | {"chunk_size": 4, "form": "recurrent"},
        ),
    ),
    other_arguments={
        "PaTHAttention": [
            HEADS
            | {"window": 3, "forget_gate": True, "rank": None, "kernel_size": 4, "chunk_size": 2}
        ],
        "ForgettingAttention": [HEADS | {"window": 3, "chunk_size": 2}],
    },
    corners={
        "path_attention-path-attention": [
            {"num_heads": 1, "forget_gate": False},
            {"kernel_size": None, "rank": None, "window": 1},
        ],
        "path_attention-forgetting-attention": [{"num_heads": 1, "window": 1}],
    },
)
FORMS = PaTHAttention.forms


def scores(w, x, i, j, h, keys, turns=True):
    """Of step i and key j in head h of one sequence, from the paper's equations."""
    q, k = (x @ w["kernel"][:, part] for part in _columns(h, keys))
    score = k[j]
    if turns:
        low = x @ w["turn_in_kernel"] @ w["turn_kernel"]
        width = len(w["conv_kernel"])
        padded = np.concatenate([np.zeros((width - 1, low.shape[1])), low])
        conv = np.stack([(padded[t : t + width] * w["conv_kernel"]).sum(0) for t in range(len(x))])
        directions = (conv * sigmoid(conv))[:, h * keys : (h + 1) * keys]
        directions /= np.sqrt((directions**2).sum(-1, keepdims=True) + 1e-6)
        beta = 2 * sigmoid(x @ w["strength_kernel"] + w["strength_bias"])[:, h]
        for s in range(j + 1, i + 1):
            H = np.eye(keys) - beta[s] * np.outer(directions[s], directions[s])
            score = H @ score
    score = score @ q[i] / keys**0.5
    if "forget_kernel" in w:
        gates = np.log(sigmoid(x @ w["forget_kernel"] + w["forget_bias"]))[:, h]
        score += gates[j + 1 : i + 1].sum()
    return score


def _columns(h, keys, heads=2):
    return (slice((part * heads + h) * keys, (part * heads + h + 1) * keys) for part in (0, 1))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["path", "path-fox", "fox"])
def test_layer_is_the_papers_equations(kind, form):
    x = np.random.default_rng(1).standard_normal((2, 9, 5))
    shared = {"chunk_size": 4, "form": form, "dtype": "float64"}
    if kind == "fox":
        layer = ForgettingAttention(8, 2, 6, **shared)
    else:
        layer = PaTHAttention(8, 2, 6, forget_gate=kind == "path-fox", rank=3, **shared)
    layer, w = drawn(layer, x)
    keys = 4
    want = np.zeros((2, 9, 8))
    for b, i, h in itertools.product(range(2), range(9), range(2)):
        seen = range(max(0, i - 5), i + 1)
        row = np.exp([scores(w, x[b], i, j, h, keys, kind != "fox") for j in seen])
        values = x[b] @ w["kernel"][:, 16 + h * keys : 16 + (h + 1) * keys]
        want[b, i, h * keys : (h + 1) * keys] = row / row.sum() @ values[seen]
    np.testing.assert_allclose(array(layer(x)), want @ w["output_kernel"], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("cls", [PaTHAttention, ForgettingAttention])
def test_without_transitions_and_gates_it_is_softmax_attention(cls, form):
    x = np.random.default_rng(2).standard_normal((2, 11, 6))
    layer, _ = drawn(cls(6, 2, 4, chunk_size=4, form=form, dtype="float64"), x)
    same = SoftmaxAttention(6, 2, 4, dtype="float64")
    same.build(x.shape)
    same.kernel.assign(layer.kernel)
    same.output_kernel.assign(layer.output_kernel)
    # A strength and the logarithm of a gate of 0, as near as their sigmoids go.
    kernel, bias, value = (
        (layer.strength_kernel, layer.strength_bias, -40.0)
        if cls is PaTHAttention
        else (layer.forget_kernel, layer.forget_bias, 40.0)
    )
    kernel.assign(ops.zeros(kernel.shape, kernel.dtype))
    bias.assign(ops.full(bias.shape, value, bias.dtype))
    np.testing.assert_allclose(array(layer(x)), array(same(x)), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("marked", [False, True])
@pytest.mark.parametrize("mode", MODES or [""])
def test_many_chunks_are_gone_over_again_in_groups(mode, marked):
    # 70 chunks of 2 steps, more than a gradient keeps the caches of: 5 groups of 16.
    rng, shape = np.random.default_rng(3), (2, 139, 2, 3)
    q, k, v, w = rng.standard_normal((4, *shape))
    w /= np.linalg.norm(w, axis=-1, keepdims=True)
    beta, log_forget = 2 * rng.random(shape[:3]), np.log(rng.random(shape[:3]))
    marks = {}
    if marked:
        marks = {"mask": rng.random(shape[:2]) < 0.8, "reset": rng.random(shape[:2]) < 0.05}

    def by(attend, **more):
        def run(q, k, v, w, beta, log_forget):
            turns = {"w": w, "beta": beta, "log_forget": log_forget}
            return attend(q, k, v, window=20, **turns, **marks, **more)

        return gradients(run, (q, k, v, w, beta, log_forget), mode)

    got, want = by(chunkwise_path_attention, chunk_size=2), by(parallel_path_attention)
    for x, y in zip((*got[0], *got[1]), (*want[0], *want[1]), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-8, atol=1e-10)


SWAPS = list(itertools.combinations(range(5), 2))


@pytest.fixture(scope="module")
def identity_layer():
    """The weights of theorem 2.1, appendix A: does a word of swaps leave five elements in place?

    Of two heads the second takes the mean; the first outweighs it where the word does.
    """
    longest = 6
    layer = PaTHAttention(
        1, 2, longest + 1, key_dim=6, value_dim=1, rank=None, kernel_size=None, dtype="float64"
    )
    symbols = 1 + len(SWAPS)  # the start, and the swaps
    layer.build((None, None, symbols))
    places = np.arange(1, 6)
    kernel = np.zeros((symbols, 2 * (6 + 6 + 1)))
    kernel[:, :6] = longest * 6**0.5 * np.append(places, -54.5)  # queries of the first head
    kernel[0, 12:18] = np.append(places, 1)  # its keys
    kernel[0, 24:] = 1  # values of both
    turns = np.zeros((symbols, 12))
    for row, (a, b) in enumerate(SWAPS, start=1):
        turns[row, [a, b]] = 1e3, -1e3
    layer.kernel.assign(kernel)
    layer.turn_kernel.assign(turns)
    layer.strength_kernel.assign(np.zeros((symbols, 2)))
    layer.strength_bias.assign([40.0, 40.0])
    layer.output_kernel.assign([[1.0], [-1.0]])
    return layer


@pytest.mark.parametrize("length", [1, 2, 3, 4, 6])
def test_one_layer_decides_whether_swaps_cancel(identity_layer, length):
    if length < 5:
        words = np.array(list(itertools.product(range(len(SWAPS)), repeat=length)))
    else:
        rng = np.random.default_rng(0)
        words = rng.integers(len(SWAPS), size=(3000, length))
        words[::3, length // 2 :] = words[::3, : length // 2][:, ::-1]  # there and back
    order = np.tile(np.arange(5), (len(words), 1))
    rows = np.arange(len(words))
    for swap in np.array(SWAPS)[words.T]:
        order[rows, swap[:, 0]], order[rows, swap[:, 1]] = (
            order[rows, swap[:, 1]],
            order[rows, swap[:, 0]],
        )
    identity = (order == np.arange(5)).all(axis=1)
    assert identity.any() == (length % 2 == 0) and not identity.all()
    symbols = np.concatenate([np.zeros((len(words), 1), int), words + 1], axis=1)
    outputs = array(identity_layer(np.eye(1 + len(SWAPS))[symbols]))[:, -1, 0]
    np.testing.assert_array_equal(outputs > 0, identity)


def test_learning_rate_rises_and_falls():
    """Liu et al. 2023: 50 updates up, linearly to 0 at update 10,001."""
    schedule = LinearDecay(3e-4, 50, 10_000)
    rates = [float(array(schedule(step))) for step in (0, 24, 49, 5024, 9999, 10_000, 12_000)]
    want = [3e-4 / 50, 1.5e-4, 3e-4, 3e-4 * 4976 / 9951, 3e-4 / 9951, 0, 0]
    np.testing.assert_allclose(rates, want, rtol=1e-3, atol=1e-9)
    saved = schedules.serialize(schedule)
    assert saved["registered_name"] == "papers>LinearDecay"  # so that a run's model loads
    assert schedules.deserialize(saved).get_config() == schedule.get_config()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PaTHAttention(12, 5, 4), "units.*12.*5"),
        (lambda: PaTHAttention(8, 2, 0), "window.*0"),
        (lambda: PaTHAttention(8, 2, 4, rank=0), "rank.*0"),
        (lambda: PaTHAttention(8, 2, 4, kernel_size=1), "kernel_size.*1"),
        (lambda: PaTHAttention(8, 2, 4, forget_gate=1), "forget_gate.*1"),
        (lambda: ForgettingAttention(8, 2, 4, chunk_size=0), "chunk_size.*0"),
        (lambda: PaTH(5, 8, 1, 2, 4, attention="rope"), "attention.*rope"),
        (lambda: PaTH(5, 8, 1, 2, 4, attention="rotary", form="chunkwise"), "form.*chunkwise"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
