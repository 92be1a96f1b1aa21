"""Which golden vector holds which layer, and how a peer's weights and states become the layer's.

Each of these maps is linear and moves numbers only, so that it maps gradients as it maps values.
`p` holds the peer's arrays by their names in the vector.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.contract.subjects import factory

Arrays = dict[str, np.ndarray]
Nest = Any


@dataclass(frozen=True)
class Golden:
    """A layer that must compute what the vector `name` says.

    Attributes:
        name: Of the vector's file.
        covers: The contract suite's subjects whose layer and configuration this is about.
        factory: `"module:class"`.
        config: Its arguments.
        weights: From the peer's weights to the layer's, by name.
        state: From the peer's states to the layer's, a nested dict; entries that the peer does not
            have are left out.
    """

    name: str
    covers: tuple[str, ...]
    factory: str
    config: dict[str, Any]
    weights: Callable[[Arrays], Arrays]
    state: Callable[[Arrays], Nest] = field(default=lambda p: dict(p))

    @property
    def layer_class(self) -> type:
        return factory(self.factory)

    def layer(self, form: str, **kwargs):
        return self.layer_class(**self.config, form=form, dtype="float64", **kwargs)


def beside(*arrays):
    """Kernels `(inputs, outputs)` side by side, from PyTorch's `(outputs, inputs)`."""
    return np.concatenate([array.T for array in arrays], axis=1)


def joined(*arrays):
    return np.concatenate(arrays, axis=-1)


def depthwise(weight):
    """`(W, channels)` from PyTorch's `(channels, 1, W)`."""
    return weight[:, 0].T


def swapped(x):
    return np.swapaxes(x, -1, -2)


def _lstm(p):
    return {
        "kernel": p["weight_ih"].T,
        "recurrent_kernel": p["weight_hh"].T,
        "bias": p["bias"],
    }


def _heads(p):
    return {"kernel": beside(p["q"], p["k"], p["v"]), "output_kernel": p["o"].T}


def _cache(p):
    """The ring of 6 entries, in which step n is entry n mod 6, from steps in order of time."""

    def ring(x):  # (B, G, steps, K)
        if x.shape[2] < 6:  # before the first step: the steps 0 to 2
            return np.pad(x, ((0, 0), (0, 0), (0, 6 - x.shape[2]), (0, 0)))
        # The last 6 of 11 and of 14 steps.
        return np.stack([np.roll(row, count, 1) for row, count in zip(x, (11, 14), strict=True)])

    state = {name: ring(p[name]) for name in ("keys", "values")}
    return {**state, "position": p["length"]} if "length" in p else state


def _mamba(p):
    return {
        "kernel": p["in_proj.weight"].T,
        "conv_kernel": depthwise(p["conv1d.weight"]),
        "conv_bias": p["conv1d.bias"],
        "x_kernel": p["x_proj.weight"].T,
        "dt_kernel": p["dt_proj.weight"].T,
        "dt_bias": p["dt_proj.bias"],
        "a_log": p["A_log"],
        "skip": p["D"],
        "output_kernel": p["out_proj.weight"].T,
    }


def _mamba2(p):
    return {
        "kernel": p["in_proj.weight"].T,
        "conv_kernel": depthwise(p["conv1d.weight"]),
        "conv_bias": p["conv1d.bias"],
        "dt_bias": p["dt_bias"],
        "a_log": p["A_log"],
        "skip": p["D"],
        "norm_scale": p["norm.weight"],
        "output_kernel": p["out_proj.weight"].T,
    }


def _rg_lru(p, prefix=""):
    recurrent, inputs = f"{prefix}recurrent_gate", f"{prefix}input_gate"
    return {
        "gate_kernel": joined(p[f"{recurrent}_weight"], p[f"{inputs}_weight"]),
        "gate_bias": joined(p[f"{recurrent}_bias"], p[f"{inputs}_bias"]),
        "decay": p[f"{prefix}recurrent_param"],
    }


def _recurrent_block(p):
    return {
        "kernel": beside(p["linear_x.weight"], p["linear_y.weight"]),
        "bias": joined(p["linear_x.bias"], p["linear_y.bias"]),
        "convolution_kernel": depthwise(p["conv_1d.weight"]),
        "convolution_bias": p["conv_1d.bias"],
        **_rg_lru(p, "rg_lru."),
        "output_kernel": p["linear_out.weight"].T,
        "output_bias": p["linear_out.bias"],
    }


def _mlstm(p):
    cell = "mlstm_cell."
    return {
        "kernel": p["proj_up.weight"].T,
        "conv_kernel": depthwise(p["conv1d.conv.weight"]),
        "conv_bias": p["conv1d.conv.bias"],
        "query_kernel": swapped(p["q_proj.weight"]),
        "key_kernel": swapped(p["k_proj.weight"]),
        "value_kernel": swapped(p["v_proj.weight"]),
        "gate_kernel": beside(p[f"{cell}igate.weight"], p[f"{cell}fgate.weight"]),
        "gate_bias": joined(p[f"{cell}igate.bias"], p[f"{cell}fgate.bias"]),
        "norm_scale": p[f"{cell}outnorm.weight"],
        "skip_scale": p["learnable_skip"],
        "output_kernel": p["proj_down.weight"].T,
    }


def _mlstm_state(p):
    return {
        "memory": p["c"], "normaliser": p["n"], "stabiliser": p["m"], "window": p["window"]
    }  # fmt: skip


def _slstm(heads: int):
    def weights(p):
        # The package calls the first gate, which the cell reads as the input gate, `fgate`.
        gates = (p[f"{gate}gate.weight"] for gate in ("f", "i", "z", "o"))
        bias = p["slstm_cell._bias_"].reshape(4, heads, -1)
        mapped = {
            "kernel": joined(*(swapped(gate) for gate in gates)),
            "recurrent_kernel": swapped(p["slstm_cell._recurrent_kernel_"]),
            "bias": np.swapaxes(bias, 0, 1).reshape(heads, -1),
            "norm_scale": p["group_norm.weight"],
        }
        if "conv1d.conv.weight" in p:
            mapped["conv_kernel"] = depthwise(p["conv1d.conv.weight"])
            mapped["conv_bias"] = p["conv1d.conv.bias"]
        return mapped

    return weights


def _slstm_state(p):
    names = {"hidden": "h", "cell": "c", "normaliser": "n", "stabiliser": "m"}
    state = {ours: p[theirs].reshape(len(p[theirs]), 2, -1) for ours, theirs in names.items()}
    return {**state, "window": p["window"]} if "window" in p else state


def _gla(p):
    return {
        **_heads(p),
        "decay_in_kernel": p["gk_low"].T,
        "decay_kernel": p["gk"].T,
        "decay_bias": p["gk_bias"],
        "gate_kernel": p["g"].T,
        "norm_scale": p["norm"],
    }


def _retention(p):
    return {**_heads(p), "gate_kernel": p["g"].T}


def _fast_weights(p):
    return {**_heads(p), "strength_kernel": p["beta"].T, "strength_bias": p["beta_bias"]}


def _delta_net(p):
    weights = {**_heads(p), "strength_kernel": p["beta"].T, "norm_scale": p["norm"]}
    return {**weights, "conv_kernel": p["conv"].T}


def _gated_delta_net(p):
    return {
        **_heads(p),
        "strength_kernel": p["beta"].T,
        "norm_scale": p["norm"],
        "decay_kernel": p["a"].T,
        "log_rate": p["A_log"],
        "decay_bias": p["dt_bias"],
        "gate_kernel": p["g"].T,
    }


def _kimi_delta(p):
    gates = {"strength_kernel": "b"} if "w" not in p else {"erase_kernel": "b", "write_kernel": "w"}
    return {
        **_heads(p),
        **{name: p[other].T for name, other in gates.items()},
        "decay_in_kernel": p["f_low"].T,
        "decay_kernel": p["f"].T,
        "log_rate": p["A_log"],
        "decay_bias": p["dt_bias"],
        "gate_in_kernel": p["g_low"].T,
        "gate_kernel": p["g"].T,
        "norm_scale": p["norm"],
        "conv_kernel": p["conv"].T,
    }


def _rwkv7(p):
    low = {"decay": "w", "rate": "a", "residual": "v", "gate": "g"}
    return {
        **_heads({"q": p["r"], "k": p["k"], "v": p["v"], "o": p["o"]}),
        "shift": np.stack([p[f"x_{name}"] for name in "rwkvag"]),
        **{f"{name}_in_kernel": p[f"{x}1"].T for name, x in low.items() if f"{x}1" in p},
        **{f"{name}_kernel": p[f"{x}2"].T for name, x in low.items() if f"{x}2" in p},
        **{f"{name}_bias": p[f"{x}0"] for name, x in low.items() if f"{x}0" in p},
        "removal_scale": p["k_k"],
        "rate_scale": p["k_a"],
        "bonus": p["r_k"],
        "norm_scale": p["ln_weight"],
        "norm_bias": p["ln_bias"],
    }


def _rwkv7_mlp(p):
    return {"shift": p["x_k"], "kernel": p["key"].T, "output_kernel": p["value"].T}


def _path_attention(p):
    return {
        **_forgetting_attention(p),
        "turn_in_kernel": p["w_low"].T,
        "turn_kernel": p["w"].T,
        "conv_kernel": p["conv"].T,
        "strength_kernel": p["beta"].T,
        "strength_bias": p["beta_bias"],
    }


def _forgetting_attention(p):
    return {**_heads(p), "forget_kernel": p["g"].T, "forget_bias": p["g_bias"]}


def _log_linear_mamba2(p):
    names = {"in_proj": "in_proj.weight", "norm": "norm.weight", "out_proj": "out_proj.weight"}
    base = {names.get(name, name): x for name, x in p.items()}
    base |= {"conv1d.weight": p["conv"][:, None], "conv1d.bias": p["conv_bias"]}
    return _mamba2(base) | {"level_kernel": p["dl"].T, "level_scale": p["L"]}


def _log_linear_delta_net(p):
    weights = _gated_delta_net(p) | {"conv_kernel": p["conv"].T}
    return weights | {"level_kernel": p["dl"].T, "level_scale": p["L"]}


def _delta_product(p):
    """The strengths of the first step by themselves, of 2 heads."""
    mapped = _gated_delta_net(p) if "a" in p else _delta_net(p)
    first, further = np.split(p["beta"].T, [2], axis=1)
    return {**mapped, "strength_kernel": first, "further_strength_kernel": further}


def _min_rnn(p):
    weights = {"kernel": p["kernel"].T, "bias": p["bias"]}
    return {**weights, "initial": p["initial"]} if "initial" in p else weights


def _s4d(p):
    systems = {name: p[name] for name in ("log_step", "log_decay", "frequency")}
    return {**systems, "read": p["C"], "skip": p["D"], "kernel": p["W"].T, "bias": p["b"]}


def _h3(p):
    return {
        "kernel": p["qkv"].T,
        "bias": p["qkv_bias"],
        "shift_read": p["shift_C"].T,
        "shift_write": p["shift_B"].T,
        "shift_skip": p["shift_D"],
        **{name: p[name] for name in ("log_step", "log_decay", "frequency")},
        "read": p["C"],
        "write": p["B"],
        "skip": p["D"],
        "output_kernel": p["o"].T,
        "output_bias": p["o_bias"],
    }


def _slice(p):
    def kernel(array):
        """`(channels, outputs)` of outputs in any axes and the channels in the last."""
        return array.reshape(-1, array.shape[-1]).T

    names = {"diagonal": "diagonal", "blocks": "block", "U": "left", "V": "right"}
    transition = {f"{names[n]}_kernel": kernel(x) for n, x in p.items() if n in names}
    return {"kernel": p["W"].T, "bias": p["b"], **transition}


def _lmu(p):
    width = 3
    return {
        "input_encoders": p["kernel"][:width],
        "hidden_encoders": p["kernel"][width:],
        "memory_encoders": p["recurrent_kernel"],
        "input_kernel": p["hidden_kernel"][-width:],
        "hidden_kernel": p["hidden_recurrent_kernel"],
        "memory_kernel": p["hidden_kernel"][:-width],
        "bias": p["hidden_bias"],
    }


def _ntm(p):
    def gates(part):  # in Keras's order
        return joined(*(p[f"{gate}_{part}"] for gate in ("input", "forget", "cell", "output")))

    def heads(part):
        both = ("key", "gate", "strength", "sharpness", "shift")
        of = {name: [f"read_{name}_{part}", f"write_{name}_{part}"] for name in both}
        tanh, sigmoid = [*of["key"], f"write_add_{part}"], [*of["gate"], f"write_erase_{part}"]
        order = [*tanh, *sigmoid, *of["strength"], *of["sharpness"], *of["shift"]]
        return joined(*(p[name] for name in order))

    kernel, width = gates("kernel"), 2
    return {
        "kernel": kernel[:width],
        "recurrent_kernel": kernel[width:],
        "bias": gates("bias"),
        "head_kernel": heads("kernel"),
        "head_bias": heads("bias"),
        "output_kernel": p["out_kernel"],
        "output_bias": p["out_bias"],
        "initial_memory": p["memory"],
        "initial_reads": p["read"][None],
        "initial_weights": np.stack([p["read_weights"], p["write_weights"]]),
    }


def _ntm_state(p):
    return {
        "controller": {"hidden": p["hidden"], "cell": p["cell"]},
        "memory": p["memory"],
        **{
            ours: p[theirs][:, None]
            for ours, theirs in (
                ("reads", "read"),
                ("read_weights",) * 2,
                ("write_weights",) * 2,
            )  # fmt: skip
        },
    }


def _convolution(p, name="conv"):
    return {
        "conv_direction": p[f"{name}.direction"].transpose(2, 1, 0),
        "conv_gain": p[f"{name}.gain"][:, 0, 0],
        "conv_bias": p[f"{name}.bias"],
    }


def _residual_block(p):
    return {
        **{
            f"{part}/{name}": value
            for part in ("first", "second")
            for name, value in _convolution(p, f"{part}.conv").items()
        },
        "residual_kernel": p["residual.weight"][:, :, 0].T,
        "residual_bias": p["residual.bias"],
    }


def _recurrent(p):
    weights = {
        "kernel": p["weight_ih"].T,
        "recurrent_kernel": p["weight_hh"].T,
        "bias": p["bias"],
    }
    return {**weights, "reset_bias": p["inner"]} if "inner" in p else weights


MULTI_HEAD = {"units": 6, "num_heads": 2, "key_dim": 4, "value_dim": 3, "chunk_size": 4}
ATTENTION = {"units": 8, "num_heads": 2, "window": 6}
MAMBA2 = {"units": 4, "state_dim": 3, "head_dim": 2, "chunk_size": 4}


GOLDEN = (
    Golden(
        "lstm", ("common-lstm",), "common.layers:LSTM", {"units": 5}, _lstm,
        lambda p: {"hidden": p["h"], "cell": p["c"]},
    ),
    Golden(
        "softmax", ("common-softmax",), "common.layers:SoftmaxAttention", ATTENTION, _heads,
        _cache,
    ),
    Golden(
        "rotary", ("common-rotary",), "common.layers:SoftmaxAttention",
        {**ATTENTION, "num_kv_heads": 1, "rotary": True}, _heads, _cache,
    ),
    *(
        Golden(
            name, ("mamba-mamba",), "papers.mamba:Mamba",
            {"units": 4, "state_dim": 3, "dt_rank": 2}, _mamba,
            lambda p: {"conv": swapped(p["conv"]), "ssm": p["ssm"]},
        )
        for name in ("mamba", "mamba-steps")
    ),
    *(
        Golden(
            name, ("mamba2-mamba2",), "papers.mamba2:Mamba2", {**MAMBA2, "num_groups": groups},
            _mamba2, lambda p: {name: swapped(x) for name, x in p.items()},
        )
        for name, groups in (("mamba2-one-group", 1), ("mamba2", 2))
    ),
    *(
        Golden(
            name, ("griffin-rg-lru",), "papers.griffin:RGLRU", {"units": 6, "num_blocks": 2},
            _rg_lru,
        )
        for name in ("rg-lru", "rg-lru-warm")
    ),
    Golden(
        "recurrent-block", ("griffin-block",), "papers.griffin:RecurrentBlock",
        {"units": 5, "recurrent_units": 6, "num_blocks": 3}, _recurrent_block,
        lambda p: {"convolution": swapped(p["conv"]), "hidden": p["hidden"]},
    ),
    Golden(
        "mlstm", ("xlstm-mlstm",), "papers.xlstm:MLSTM",
        {"units": 4, "num_heads": 2, "kernel_size": 3, "chunk_size": 4}, _mlstm, _mlstm_state,
    ),
    *(
        Golden(
            name, ("xlstm-slstm",), "papers.xlstm:SLSTM",
            {"units": 6, "num_heads": 2, "kernel_size": 3}, _slstm(2), _slstm_state,
        )
        for name in ("slstm", "slstm-warm")
    ),
    Golden(
        "slstm-exponential", ("xlstm-slstm-exponential",), "papers.xlstm:SLSTM",
        {"units": 6, "num_heads": 2, "kernel_size": 0, "forget_gate": "exponential"}, _slstm(2),
        _slstm_state,
    ),
    Golden(
        "gated-linear-attention", ("gla-gated-linear-attention",),
        "papers.gla:GatedLinearAttention", {**MULTI_HEAD, "gate_rank": 3}, _gla,
    ),
    Golden(
        "path-attention", ("path_attention-path-attention",), "papers.path_attention:PaTHAttention",
        {**MULTI_HEAD, "window": 12, "forget_gate": True, "rank": 3}, _path_attention,
    ),
    Golden(
        "forgetting-attention", ("path_attention-forgetting-attention",),
        "papers.path_attention:ForgettingAttention", {**MULTI_HEAD, "window": 6},
        _forgetting_attention,
    ),
    Golden("retention", ("retnet-retention",), "papers.retnet:Retention", MULTI_HEAD, _retention),
    Golden(
        "linear-attention", ("linear_transformer-linear-attention",),
        "papers.linear_transformer:LinearAttention", {**MULTI_HEAD, "epsilon": 1e-10}, _heads,
    ),
    Golden(
        "fast-weights-sum", ("fast_weights-sum-elu",), "papers.fast_weights:FastWeightAttention",
        {**MULTI_HEAD, "rule": "sum", "feature_map": "elu"}, _heads,
    ),
    Golden(
        "fast-weights-delta", ("fast_weights-delta-dpfp",),
        "papers.fast_weights:FastWeightAttention", {**MULTI_HEAD, "rule": "delta", "nu": 2},
        _fast_weights,
    ),
    Golden(
        "delta-net", ("delta_net-delta-net",), "papers.delta_net:DeltaNet",
        {**MULTI_HEAD, "negative_eigenvalues": True}, _delta_net,
        lambda p: {"memory": p["memory"], "conv": swapped(p["conv"])},
    ),
    Golden(
        "gated-delta-net", ("delta_net-gated-delta-net",), "papers.delta_net:DeltaNet",
        {**MULTI_HEAD, "kernel_size": None, "gated": True}, _gated_delta_net,
    ),
    Golden(
        "delta-product", ("delta_product-delta-product",), "papers.delta_product:DeltaProduct",
        MULTI_HEAD, _delta_product, lambda p: {"memory": p["memory"], "conv": swapped(p["conv"])},
    ),
    Golden(
        "gated-delta-product", ("delta_product-gated-delta-product",),
        "papers.delta_product:DeltaProduct",
        {
            **MULTI_HEAD, "num_householders": 3, "kernel_size": None,
            "negative_eigenvalues": False, "gated": True,
        },
        _delta_product,
    ),
    Golden(
        "log-linear-mamba2", ("log_linear-mamba2",), "papers.log_linear:LogLinearMamba2",
        {**MAMBA2, "num_groups": 2, "num_levels": 5}, _log_linear_mamba2,
    ),
    Golden(
        "log-linear-delta-net", ("log_linear-delta-net",), "papers.log_linear:LogLinearDeltaNet",
        {**MULTI_HEAD, "num_levels": 5}, _log_linear_delta_net,
    ),
    *(
        Golden(
            name, covers, "papers.kimi_delta:KimiDelta", {**MULTI_HEAD, "channel_gates": apart},
            _kimi_delta, lambda p: {"memory": p["memory"], "conv": swapped(p["conv"])},
        )
        for name, covers, apart in (
            ("kimi-delta", ("kimi_delta-kimi-delta",), False),
            ("gated-delta-net-2", (), True),
        )
    ),
    *(
        Golden(
            name, covers, "papers.rwkv7:RWKV7",
            {"units": 6, "num_heads": 2, "head_dim": 3, "ranks": (3, 2, 4, 5), "chunk_size": 4,
             "value_residual": residual, "epsilon": 1e-3}, _rwkv7,
        )
        for name, covers, residual in (
            ("rwkv7", ("rwkv7-rwkv7",), None),
            ("rwkv7-later", (), "later"),
        )
    ),
    Golden(
        "rwkv7-mlp", ("rwkv7-mlp",), "papers.rwkv7:RWKV7MLP",
        {"units": 6, "hidden_units": 7}, _rwkv7_mlp,
    ),
    *(
        Golden(
            f"{name}{suffix}", (f"min_rnn-{name}",) if covered else (),
            f"papers.min_rnn:{layer}", {"units": 5, **config}, _min_rnn,
        )
        for name, layer, suffix, config, covered in (
            ("mingru", "MinGRU", "", {}, False),
            ("mingru", "MinGRU", "-real", {"positive": False}, False),
            ("mingru", "MinGRU", "-learned", {"learned_initial_state": True}, True),
            ("minlstm", "MinLSTM", "", {}, False),
            ("minlstm", "MinLSTM", "-real", {"positive": False}, True),
        )
    ),
    Golden(
        "s4d", ("h3-s4d",), "papers.h3:S4D", {"units": 5, "state_dim": 4}, _s4d,
        lambda p: {"memory": p["x"]},
    ),
    Golden(
        "h3", ("h3-h3",), "papers.h3:H3", {"units": 6, "state_dim": 4, "head_dim": 2}, _h3,
        lambda p: {"shift": p["keys"], "memory": p["x"]},
    ),
    Golden(
        "ntm", ("neural_turing_machine-ntm",), "papers.neural_turing_machine:NTM",
        {"units": 2, "controller_units": 2, "memory_slots": 3, "memory_width": 2,
         "memory_init": "random"}, _ntm, _ntm_state,
    ),
    *(
        Golden(
            f"slice-{name}", (f"structured_linear_cde-{name}",) if covered else (),
            "papers.structured_linear_cde:SLiCE",
            {"units": 4, "structure": name.replace("-", "_"), "block_size": 2, "rank": 2,
             "time_step": 0.3}, _slice,
        )
        for name, covered in (
            ("diagonal", False),
            ("block-diagonal", True),
            ("diagonal-dense", False),
            ("low-rank", True),
            ("walsh-hadamard", False),
            ("dense", False),
        )
    ),
    Golden(
        "lmu", ("lmu-lmu",), "papers.lmu:LMU",
        {"units": 5, "order": 4, "theta": 20.0, "use_bias": True}, _lmu,
    ),
    Golden(
        "legendre-memory", ("lmu-memory",), "papers.lmu:LegendreMemory",
        {"order": 6, "theta": 10.0, "channels": 2}, dict,
        lambda p: {"memory": p["memory"].reshape(-1, 2, 6)},
    ),
    Golden(
        "dilated-convolution", ("tcn-dilated-convolution",), "papers.tcn:DilatedConvolution",
        {"units": 5, "kernel_size": 3, "dilation": 2}, _convolution,
    ),
    Golden(
        "residual-block", ("tcn-residual-block",), "papers.tcn:ResidualBlock",
        {"units": 5, "kernel_size": 2, "dilation": 3}, _residual_block,
        lambda p: {name: {"window": x} for name, x in p.items()},
    ),
    *(
        Golden(
            name, (f"tcn-{case}",), f"papers.tcn:{layer}", {"units": 5}, _recurrent,
            lambda p: {"hidden": p["h"]},
        )
        for name, case, layer in (("gru", "gru", "GRU"), ("elman-rnn", "rnn", "ElmanRNN"))
    ),
)  # fmt: skip
