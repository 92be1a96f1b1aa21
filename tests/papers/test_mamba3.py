"""Mamba-3: its recurrence in NumPy and by hand, its reductions, its order, its angles, its size."""

import json
from pathlib import Path

import numpy as np
import pytest
from keras import ops
from safetensors.numpy import save_file

from common.models import count_parameters
from common.ops.gated_attention import recurrent_gated_attention
from common.reproduce.judge.reported import load_reported
from papers.mamba3 import Mamba3, Mamba3LM, from_pretrained
from papers.mamba3.model import SIZES
from papers.mamba3.rotation import sum_angles
from tests.contract.papers import APART, SIZE, ModelSubject, PaperContract
from tests.helpers.arrays import array, drawn, sigmoid, silu

CONTRACT = PaperContract(
    kernels={"mamba3-mamba3": [(1, 3, 32), (1, 8, 4)]},
    models=(
        ModelSubject(
            "mamba3",
            Mamba3LM,
            {**SIZE, "num_layers": 1, "state_dim": 4, "head_dim": 4, "hidden_units": 6},
            APART
            | {"state_dim": 6, "head_dim": 2, "num_groups": 2, "expansion": 1, "rotation": None}
            | {"discretization": "euler", "hidden_units": 5, "chunk_size": 4, "form": "recurrent"}
            | {"rank": 2, "rotary_fraction": 0.5, "rate_activation": "heavy_tail"},
        ),
    ),
    other_arguments={
        "Mamba3": [
            {"units": 4, "state_dim": 6, "head_dim": 3, "num_groups": 2, "expansion": 3}
            | {"rotation": "standard", "discretization": "euler", "chunk_size": 2}
            | {"num_residuals": 5, "epsilon": 1e-3, "rank": 2}
            | {"rotary_fraction": 0.4, "rate_activation": "heavy_tail"}
        ],
    },
    corners={
        "mamba3-mamba3": [
            {"head_dim": 2, "num_groups": 2, "rotation": "standard", "rotary_fraction": 0.5},
            {"head_dim": 8, "state_dim": 3, "rotation": None},
            {"discretization": "euler", "rank": 2},
        ],
    },
    by_hand=("mamba3-mamba3",),
)


def softplus(x):
    return np.log1p(np.exp(x))


def parts(x, w, layer):
    """What the equations take, `(T, ...)` and by head, from inputs `(T, D)`."""
    heads, n, rank, length = layer.num_heads, layer.state_dim, layer.rank, len(x)
    sizes = [*layer._split_sizes.values()]
    made = np.split(x @ w["kernel"], np.cumsum(sizes)[:-1], axis=-1)
    made = dict(zip(layer._split_sizes, made, strict=True))

    def normal(name):
        y = made[name].reshape(length, rank, layer.num_groups, n)
        y = y / np.sqrt((y * y).mean(-1, keepdims=True) + 1e-5) * w[f"{name}_scale"]
        y = np.repeat(y, heads // layer.num_groups, axis=2).transpose(0, 2, 3, 1)
        return y + w[f"{name}_bias"].transpose(0, 2, 1)  # (T, H, N, R)

    delta = softplus(made["delta"] + w["dt_bias"])
    theta = np.zeros((length, heads, n // 2))  # the first pairs turn, or all
    if layer.rotation == "data_dependent":
        turns = np.pi * np.tanh(made["angle"])[:, None] * delta[..., None]
        theta[..., : turns.shape[-1]] = turns
    elif layer.rotation == "standard":
        count = layer.num_angles
        theta[..., :count] = 1e4 ** (-np.arange(count) / count)
    share = sigmoid(made["share"]) if layer.trapezoidal else np.ones((length, heads))
    x = made["x"].reshape(length, heads, -1)
    rate, raw = softplus(made["rate"]), made["rate"]
    if layer.rate_activation == "heavy_tail":
        rate = np.where(raw > 0, 1 + raw, 1 / (1 + abs(raw)))
    rate = np.maximum(rate, 1e-4)
    return made["z"], x, normal("b"), normal("c"), delta, rate, share, theta


def rotation(angles):
    """R, whose pairs are the coordinates i and i + N/2."""
    cos, sin = np.diag(np.cos(angles)), np.diag(np.sin(angles))
    return np.block([[cos, -sin], [sin, cos]])


VARIANTS = [
    {"rotation": rotation, "discretization": discretization, "rank": rank}
    for rotation in ("data_dependent", "standard", None)
    for discretization in ("trapezoidal", "euler")
    for rank in (1, 3)
]
# As the authors' code has them today.
VARIANTS.append({"rotary_fraction": 0.5, "rate_activation": "heavy_tail", "rank": 2})


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_layer_is_the_papers_recurrence(variant):
    """Propositions 1 and 4 with rotation matrices, and the state in the frame that turns.

    With more than one input and output (section 3.3) B and C are matrices, and each column of x, z
    and y is scaled (appendix C).
    """
    x = np.random.default_rng(1).standard_normal((1, 9, 5))
    settings = {"state_dim": 4, "head_dim": 2, "num_groups": 2, "chunk_size": 4}
    layer, w = drawn(Mamba3(4, **settings, **variant, dtype="float64"), x)
    z, X, B, C, delta, rate, share, theta = parts(x[0], w, layer)
    columns = np.ones((4, 2, 1)), np.ones((4, 2, 1)), np.ones((4, 2, 1))
    if layer.rank > 1:
        columns = [w[f"mimo_{name}"].transpose(0, 2, 1) for name in "xzo"]
    X, Z = X[..., None] * columns[0], z.reshape(9, 4, 2, 1) * columns[1]  # (T, H, P, R)
    Y, states = np.zeros_like(X), []
    for h in range(4):
        H, frame, before = np.zeros((4, 2)), np.eye(4), np.zeros((4, 2))
        for t in range(9):
            turn, written = rotation(theta[t, h]), B[t, h] @ X[t, h].T
            decayed = np.exp(-delta[t, h] * rate[t, h]) * turn
            H = decayed @ (H + (1 - share[t, h]) * delta[t, h] * before)
            H, before = H + share[t, h] * delta[t, h] * written, written
            Y[t, h] = H.T @ C[t, h] + w["skip"][h] * X[t, h]
            frame = turn @ frame
        states.append(frame.T @ H)
    y = (Y * silu(Z) * columns[2]).sum(-1)
    want = y.reshape(9, -1) @ w["output_kernel"]
    for form in layer.forms:
        layer.form = form
        got, state = layer(x, return_state=True)
        np.testing.assert_allclose(array(got)[0], want, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(array(state["ssm"])[0], states, rtol=1e-9, atol=1e-11)


def test_three_steps_by_hand():
    """Every step is of size 1, halves the state, turns it by a quarter and weighs its ends alike.

    H_1 = (1/2, 0), H_2 = R (1, 0) / 2 + (1/2, 0) = (1/2, 1/2),
    H_3 = R (1, 1/2) / 2 + (1/2, 0) = (1/4, 1/2); read by C = (1, 1), times silu(1).
    """
    layer = Mamba3(1, state_dim=2, head_dim=1, expansion=1, chunk_size=2, dtype="float64")
    layer.build((None, None, 1))
    half = np.arctanh(0.5)
    layer.kernel.assign([[1, 1, 0, 0, 0, 0, 0, 0, 0, half]])  # z, x, B, C, Delta, A, lambda, theta
    layer.dt_bias.assign([np.log(np.e - 1)])
    layer.b_bias.assign([[[1, 0]]])
    layer.skip.assign([0])
    layer.output_kernel.assign([[1]])
    for form in layer.forms:
        layer.form = form
        outputs, state = layer(np.ones((1, 3, 1)), return_state=True)
        want = 0.7310585786300049 * np.array([0.5, 1.0, 0.75])
        np.testing.assert_allclose(array(outputs)[0, :, 0], want, rtol=1e-12)
        # Three quarters of a turn, and H_3 and B_3 turned back by them.
        np.testing.assert_allclose(array(state["angle"]), [[[-np.pi / 2]]], rtol=1e-12)
        np.testing.assert_allclose(array(state["ssm"])[0, 0, :, 0], [-0.5, 0.25], rtol=1e-12)
        np.testing.assert_allclose(array(state["b"])[0, 0, 0], [0, 1], atol=1e-12)


@pytest.mark.parametrize("saturated", [False, True])
def test_with_lambda_1_and_no_angle_it_is_mamba2s_recurrence(saturated):
    """By its arguments, or with a gate that is saturated and angles that are 0."""
    x = np.random.default_rng(2).standard_normal((2, 11, 5))
    x[..., 0] = 1.0
    variant = {} if saturated else {"rotation": None, "discretization": "euler"}
    layer = Mamba3(4, 4, 2, **variant, chunk_size=4, dtype="float64")
    layer, w = drawn(layer, x)
    if saturated:
        kernel = w["kernel"].copy()
        kernel[:, -6:] = 0  # lambda of 4 heads and theta
        kernel[0, -6:-2] = 50
        layer.kernel.assign(kernel)
        w["kernel"] = kernel
    made = [parts(row, w, layer) for row in x]
    z, X, B, C, delta, rate, _, _ = (np.stack(one) for one in zip(*made, strict=True))
    B, C = B[..., 0], C[..., 0]
    y, final = recurrent_gated_attention(
        *map(ops.convert_to_tensor, (C, B, delta[..., None] * X, -(delta * rate)[..., None]))
    )
    y = array(y) + w["skip"][:, None] * X
    want = (y.reshape(2, 11, -1) * silu(z)) @ w["output_kernel"]
    for form in layer.forms:
        layer.form = form
        got, state = layer(x, return_state=True)
        np.testing.assert_allclose(array(got), want, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(array(state["ssm"]), array(final), rtol=1e-9, atol=1e-11)


def test_the_state_is_a_complex_one():
    """Proposition 2 with the trapezoidal rule: N/2 complex numbers that decay and turn."""
    x = np.random.default_rng(3).standard_normal((1, 8, 5))
    layer, w = drawn(Mamba3(3, 6, 6, chunk_size=4, dtype="float64"), x)
    z, X, B, C, delta, rate, share, theta = (one[:, 0] for one in parts(x[0], w, layer))
    b, c = (one[:, :3, 0] + 1j * one[:, 3:, 0] for one in (B, C))
    h, before, y = np.zeros((3, 6), complex), np.zeros((3, 6), complex), []
    for t in range(8):
        alpha = np.exp(-delta[t] * rate[t] + 1j * theta[t])[:, None]
        written = np.outer(b[t], X[t])
        h = alpha * h + (1 - share[t]) * delta[t] * alpha * before + share[t] * delta[t] * written
        before = written
        y.append((c[t].conj() @ h).real + w["skip"][0] * X[t])
    z = x[0] @ w["kernel"][:, :6]
    np.testing.assert_allclose(
        array(layer(x))[0], (np.array(y) * silu(z)) @ w["output_kernel"], rtol=1e-9, atol=1e-11
    )


@pytest.mark.parametrize(("share", "order"), [(0.5, 3), (1.0, 2), (0.8, 2)])
def test_order_of_the_error_of_a_step(share, order):
    """`h' = a h + b cos t`: one step from the exact state, ever shorter ones (appendix A.2)."""
    a, b, start = -1 + 3j, 1 + 0.5j, 0.4
    layer = Mamba3(1, state_dim=2, head_dim=1, expansion=1, dtype="float64")
    layer.build((None, None, 1))
    layer.skip.assign([0])

    def exact(t):
        return b * (-a * np.cos(t) + np.sin(t)) / (1 + a * a) + np.exp(a * t)

    def pair(z):
        return np.array([z.real, z.imag])

    def tensors(**values):
        return {k: ops.convert_to_tensor(np.asarray(v, "float64")) for k, v in values.items()}

    steps, errors = 2.0 ** -np.arange(6, 11), []
    for step in steps:
        features = tensors(
            z=[[0.0]], x=[[[np.cos(start + step)]]], b=[[[pair(b)]]], c=[[[[1.0, 0.0]]]],
            log_decay=[[[a.real * step]]], angle=[[[a.imag * step]]],
            own=[[[share * step]]], before=[[[(1 - share) * step]]],
        )  # fmt: skip
        state = tensors(
            ssm=pair(exact(start)).reshape(1, 1, 2, 1), angle=[[[0.0]]], b=[[[pair(b)]]],
            x=[[[np.cos(start)]]],
        )  # fmt: skip
        emitted, _ = layer.recur(features, state)
        errors.append(abs(array(emitted["y"]).item() - exact(start + step).real))
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert slope == pytest.approx(order, abs=0.1)


def test_angles_are_as_exact_late_as_early():
    """100,000 steps in float32, of up to half a turn each, at once and in pieces."""
    angles = np.random.default_rng(4).uniform(-0.5, 3, (1, 100_000, 1, 1)).astype("float32")
    want = np.cumsum(angles.astype("float64"))
    whole, final = sum_angles(ops.convert_to_tensor(angles), ops.zeros((1, 1, 1)))
    state, pieces = ops.zeros((1, 1, 1)), []
    for i in range(0, 100_000, 20_000):
        piece, state = sum_angles(ops.convert_to_tensor(angles[:, i : i + 20_000]), state)
        pieces.append(array(piece))
    for got in (array(whole), np.concatenate(pieces, axis=1)):
        assert np.abs(got).max() < 3.1416
        assert np.abs(np.exp(1j * got.ravel()) - np.exp(1j * want)).max() < 1e-3
    np.testing.assert_allclose(array(final), array(whole)[:, -1])


def test_one_layer_by_hand_tracks_parity():
    """A one turns the state by half a turn, a zero by none (section 3.2): 300 letters."""
    letters = np.random.default_rng(5).integers(2, size=300)
    # What is 1 always, where there is a one, and where the word begins.
    x = np.stack([np.ones(300), letters, np.arange(300) == 0], axis=-1)[None]
    layer = Mamba3(1, state_dim=2, head_dim=1, expansion=1, discretization="euler", dtype="float64")
    layer.build((None, None, 3))
    kernel = np.zeros((3, 9))  # z, x, B, C, Delta, A, theta
    kernel[0, 0], kernel[0, 7] = 1, -50  # an open gate, and hardly a decay
    kernel[1, 8], kernel[2, 1] = 20, 1
    layer.kernel.assign(kernel)
    layer.dt_bias.assign([np.log(np.e - 1)])
    for weight in (layer.b_bias, layer.c_bias):
        weight.assign([[[1, 0]]])
    layer.skip.assign([0])
    layer.output_kernel.assign([[1]])
    # The first letter is written after its own turn.
    odd = (np.cumsum(letters) - letters[0]) % 2
    for form in layer.forms:
        layer.form = form
        np.testing.assert_array_equal(np.sign(array(layer(x))[0, :, 0]), 1 - 2 * odd)


def test_columns_that_are_alike_are_one():
    """As it starts, each of R columns takes 1/R of x and gives 1/R of y: D counts 1/R too."""
    x = np.random.default_rng(6).standard_normal((2, 11, 5))
    settings = {"state_dim": 4, "head_dim": 2, "chunk_size": 4, "dtype": "float64"}
    one, w = drawn(Mamba3(4, **settings), x)
    many = Mamba3(4, **settings, rank=4)
    many.build((None, None, 5))
    z, rest = np.split(w["kernel"], [16], axis=1)
    b_and_c = np.repeat(rest[:, :8].reshape(5, 2, 1, 4), 4, axis=2).reshape(5, -1)
    many.kernel.assign(np.concatenate([z, b_and_c, rest[:, 8:]], axis=1))
    for weight in one.weights:
        if weight.name in ("b_bias", "c_bias"):
            getattr(many, weight.name).assign(np.repeat(w[weight.name], 4, axis=1))
        elif weight.name != "kernel":
            getattr(many, weight.name).assign(w[weight.name])
    many.skip.assign(4 * w["skip"])
    for form in one.forms:
        one.form = many.form = form
        np.testing.assert_allclose(array(many(x)), array(one(x)), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("name", "rank"), [("1.5B", 1), ("1.5B-mimo", 4)])
def test_parameters_of_the_paper(name, rank):
    size = SIZES[name]
    inner, hidden = 4096, {1: 4096, 4: 3824}[rank]
    block = 2048 * (2 * inner + 2 * 128 * rank + 3 * 64 + 64) + inner * 2048
    block += 2 * 64 + 2 * 128 * (1 + 64 * rank) + 3 * 2048 * hidden + 2 * 2048
    block += 3 * 64 * rank * 64 if rank > 1 else 0
    count = count_parameters(lambda: Mamba3LM(**size))
    assert count == 24 * block + 128256 * 2048 + 2048
    reported = load_reported(Path("papers/mamba3/reported.csv"))
    assert count / 1e6 == pytest.approx(reported[f"parameters-{name}"].value, rel=0.02)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mamba3(8, state_dim=3, head_dim=4), "state_dim.*even with a rotation.*3"),
        (lambda: Mamba3(8, head_dim=5), "head_dim.*5"),
        (lambda: Mamba3(8, head_dim=4, num_groups=3), "num_groups.*3"),
        (lambda: Mamba3(8, head_dim=4, rotation="rope"), "rotation.*'rope'"),
        (lambda: Mamba3(8, head_dim=4, discretization="zoh"), "discretization.*'zoh'"),
        (lambda: Mamba3(8, head_dim=4, chunk_size=48), "chunk_size.*48"),
        (lambda: Mamba3(8, head_dim=4, rank=0), "rank.*0"),
        (lambda: Mamba3(8, 4, 4, rotary_fraction=0.4), "rotary_fraction.*at least.*0.5.*0.4"),
        (lambda: Mamba3(8, 4, 4, rotary_fraction=1.5), "rotary_fraction.*at most 1.*1.5"),
        (lambda: Mamba3(8, 4, 4, rate_activation="exp"), "rate_activation.*'exp'"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# Published weights.


def published(config, seed=0):
    """Tensors of a random model, by their names in the authors' `mamba_ssm`."""
    ssm, width = config["ssm_cfg"], config["d_model"]
    n, p, groups = ssm["d_state"], ssm["headdim"], ssm.get("ngroups", 1)
    rank = ssm["mimo_rank"] if ssm["is_mimo"] else 1
    inner, heads = 2 * width, 2 * width // p
    angles = int(n * ssm["rope_fraction"]) // 2
    shapes = {"backbone.embedding.weight": (16, width), "backbone.norm_f.weight": (width,)}
    for i in range(config["n_layer"]):
        block = f"backbone.layers.{i}"
        mixer = {
            "in_proj.weight": (2 * inner + 2 * n * groups * rank + 3 * heads + angles, width),
            "dt_bias": (heads,), "D": (heads,), "B_bias": (heads, rank, n),
            "C_bias": (heads, rank, n), "B_norm.weight": (n,), "C_norm.weight": (n,),
            "out_proj.weight": (width, inner),
        }  # fmt: skip
        if rank > 1:
            mixer |= dict.fromkeys(("mimo_x", "mimo_z", "mimo_o"), (heads, rank, p))
        shapes |= {f"{block}.mixer.{name}": shape for name, shape in mixer.items()}
        shapes[f"{block}.norm.weight"] = (width,)
        if config["d_intermediate"]:
            shapes[f"{block}.norm2.weight"] = (width,)
            shapes[f"{block}.mlp.fc1.weight"] = (256, width)
            shapes[f"{block}.mlp.fc2.weight"] = (width, 128)
    rng = np.random.default_rng(seed)
    return {name: 0.5 * rng.standard_normal(shape) for name, shape in shapes.items()}


def published_logits(w, config, tokens, rate_of):
    """Their model, token by token: pairs of neighbours turn forwards, with several columns halves.

    After `mamba3_MIMO_step_ref` and `Mamba3.step` of the authors.
    """
    ssm, depth = config["ssm_cfg"], config["n_layer"]
    n, p, groups = ssm["d_state"], ssm["headdim"], ssm.get("ngroups", 1)
    rank, pairs = (ssm["mimo_rank"] if ssm["is_mimo"] else 1), int(n * ssm["rope_fraction"]) // 2
    inner = 2 * config["d_model"]
    heads = inner // p

    def rms(x, weight):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * weight

    def turned(x, angle):  # (R, H, N)
        first, second = np.arange(pairs), np.arange(pairs) + n // 2
        if rank == 1:
            first, second = 2 * first, 2 * first + 1
        y = x.copy()
        y[..., first] = x[..., first] * np.cos(angle) - x[..., second] * np.sin(angle)
        y[..., second] = x[..., first] * np.sin(angle) + x[..., second] * np.cos(angle)
        return y

    sizes = [inner, inner, n * groups * rank, n * groups * rank, heads, heads, heads, pairs]
    angle, H = np.zeros((depth, heads, pairs)), np.zeros((depth, heads, p, n))
    before, logits = np.zeros((depth, heads, p, n)), []
    for token in tokens:
        u = w["backbone.embedding.weight"][token]
        for i in range(depth):
            m = f"backbone.layers.{i}.mixer"
            projected = w[f"{m}.in_proj.weight"] @ rms(u, w[f"backbone.layers.{i}.norm.weight"])
            z, x, b, c, dt, rate, share, turn = np.split(projected, np.cumsum(sizes)[:-1])
            dt, share = softplus(dt + w[f"{m}.dt_bias"]), sigmoid(share)
            angle[i] += np.pi * np.tanh(turn) * dt[:, None]
            columns = []
            for letter, y in (("B", b), ("C", c)):
                y = rms(y.reshape(rank, groups, n), w[f"{m}.{letter}_norm.weight"])
                y = np.repeat(y, heads // groups, 1) + w[f"{m}.{letter}_bias"].swapaxes(0, 1)
                columns.append(turned(y, angle[i]))
            b, c = columns
            x, z = np.stack([x.reshape(heads, p)] * rank), np.stack([z.reshape(heads, p)] * rank)
            out = np.ones_like(x)
            if rank > 1:
                x, z, out = (
                    y * w[f"{m}.mimo_{name}"].swapaxes(0, 1)
                    for name, y in zip("xzo", (x, z, out), strict=True)
                )
            alpha = np.exp(-np.maximum(rate_of(rate), 1e-4) * dt)
            written = np.einsum("rhp,rhn->hpn", x, b)
            a, first, second = (
                y[:, None, None] for y in (alpha, (1 - share) * dt * alpha, share * dt)
            )
            H[i] = a * H[i] + first * before[i] + second * written
            before[i] = written
            y = np.einsum("hpn,rhn->rhp", H[i], c) + w[f"{m}.D"][:, None] * x
            u = u + w[f"{m}.out_proj.weight"] @ (y * silu(z) * out).sum(0).ravel()
            if config["d_intermediate"]:
                normed = rms(u, w[f"backbone.layers.{i}.norm2.weight"])
                y, gate = np.split(w[f"backbone.layers.{i}.mlp.fc1.weight"] @ normed, 2)
                u = u + w[f"backbone.layers.{i}.mlp.fc2.weight"] @ (y * silu(gate))
        head = w.get("lm_head.weight", w["backbone.embedding.weight"])
        logits.append(head @ rms(u, w["backbone.norm_f.weight"]))
    return np.stack(logits)


AUTHORS = {
    "d_model": 8, "d_intermediate": 100, "n_layer": 2, "vocab_size": 13, "rms_norm": True,
    "residual_in_fp32": True, "fused_add_norm": True, "pad_vocab_size_multiple": 16,
    "tie_embeddings": True, "attn_layer_idx": [], "attn_cfg": {},
    "ssm_cfg": {"layer": "Mamba3", "d_state": 8, "headdim": 4, "is_mimo": True, "mimo_rank": 3,
                "ngroups": 2, "rope_fraction": 0.5, "chunk_size": 16},
}  # fmt: skip
# Without MLPs, in flash-linear-attention's words; what is not said there is half of the pairs.
OTHERS = {**AUTHORS, "d_intermediate": 0, "ssm_cfg": {**AUTHORS["ssm_cfg"], "is_mimo": False}}
FLA = {
    "model_type": "mamba3", "architectures": ["Mamba3ForCausalLM"], "vocab_size": 16,
    "hidden_size": 8, "num_hidden_layers": 2, "state_size": 8, "head_dim": 4, "n_groups": 2,
    "is_mimo": False, "mimo_rank": 4, "hidden_act": "silu", "fuse_norm": True,
    "tie_word_embeddings": False, "num_heads": 4, "use_bias": False,
}  # fmt: skip


def heavy_tail(x):
    return np.where(x > 0, 1 + x, 1 / (1 + abs(x)))


@pytest.mark.parametrize("kind", ["mamba_ssm", "fla"])
def test_published_weights_are_read(kind, tmp_path):
    authors = kind == "mamba_ssm"
    config = AUTHORS if authors else OTHERS
    w = published(config)
    named = dict(w)
    if not authors:
        named["lm_head.weight"] = w["lm_head.weight"] = 0.3 * w["backbone.embedding.weight"][::-1]
        named["backbone.embeddings.weight"] = named.pop("backbone.embedding.weight")
    save_file(
        {k: np.ascontiguousarray(v) for k, v in named.items()}, tmp_path / "model.safetensors"
    )
    (tmp_path / "config.json").write_text(json.dumps(AUTHORS if authors else FLA))
    options = {"rate_activation": "heavy_tail"} if authors else {}
    model = from_pretrained(tmp_path, dtype="float64", **options)
    tokens = np.random.default_rng(1).integers(0, 13, (1, 9))
    want = published_logits(w, config, tokens[0], heavy_tail if authors else softplus)
    np.testing.assert_allclose(array(model(tokens))[0], want, rtol=1e-8, atol=1e-9)
    _, state = model(tokens[:, :8], return_state=True)
    np.testing.assert_allclose(
        array(model.step(tokens[:, 8], state)[0])[0], want[8], rtol=1e-8, atol=1e-9
    )


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({**FLA, "is_outproj_norm": True}, "is_outproj_norm"),
        ({**FLA, "model_type": "mamba2"}, "model_type"),
        ({**AUTHORS, "attn_layer_idx": [1]}, "attn_layer_idx"),
        ({**AUTHORS, "ssm_cfg": {"layer": "Mamba2"}}, "ssm_cfg"),
        ({**AUTHORS, "ssm_cfg": {**AUTHORS["ssm_cfg"], "A_floor": 0.1}}, "A_floor"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_published_models_that_are_others_are_refused(config, key, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=f"'{key}' must be"):
        from_pretrained(tmp_path)
