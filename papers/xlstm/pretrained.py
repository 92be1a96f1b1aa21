"""The published weights of xLSTM 7B, in the format of transformers' `xLSTMForCausalLM`."""

import math
import os
from typing import Any

from common.pretrained import (
    TRANSPOSED,
    Option,
    Weight,
    joined,
    layout,
    load_pretrained,
    refuse_key,
    save_pretrained,
    to_arguments,
    to_config,
)
from papers.xlstm.large import XLSTMLarge

MODEL_TYPE, ARCHITECTURE = "xlstm", "xLSTMForCausalLM"
# Their key, our argument, and what a configuration without the key means.
OPTIONS = (
    Option("vocab_size", "vocabulary_size", 50304),
    Option("hidden_size", "units", 4096),
    Option("num_hidden_layers", "num_layers", 32),
    Option("num_heads", "num_heads", 8),
    Option("gate_soft_cap", "gate_cap", 15.0),
    Option("output_logit_soft_cap", "logits_cap", 30.0),
    Option("norm_eps", "epsilon", 1e-6),
    Option("chunk_size", "chunk_size", 64),
)
# Widths over that of the stream, which become the arguments `key_dim`, `value_dim` and
# `hidden_units`; and what widths are rounded up to a multiple of.
FACTORS = (
    Option("qk_dim_factor", "keys", 0.5),
    Option("v_dim_factor", "values", 1.0),
    Option("ffn_proj_factor", "hidden", 2.667),
    Option("ffn_round_up_to_multiple_of", "multiple", 64),
)
ONLY = {
    "add_out_norm": True,
    "eps": 1e-6,
    "norm_reduction_force_float32": True,
    "tie_word_embeddings": False,
    "use_bias": False,
    "weight_mode": "single",
}
# Of earlier versions, with one value each, too.
EARLIER = {
    "add_embedding_dropout": False,
    "add_post_blocks_norm": True,
    "add_post_norm": False,
    "add_qk_norm": False,
    "cell_norm_eps": 1e-6,
}
# Their other names for the same.
ALIASES = {"embedding_dim": "hidden_size", "num_blocks": "num_hidden_layers"}
# How the same is computed, of initial values, and what other keys tell.
NEUTRAL = (
    *("mode", "return_last_states", "max_inference_chunksize", "head_dim"),
    *("chunkwise_kernel", "sequence_kernel", "step_kernel"),
    *("autocast_kernel_dtype", "inference_state_dtype", "add_forward_backend_padding"),
    *("igate_bias_init_range", "mlstm_round_up_to_multiple_of", "force_bos_token_insert"),
)


def from_pretrained(
    source: str | os.PathLike,
    dtype: Any = None,
    revision: str | None = None,
    form: str = "auto",
) -> XLSTMLarge:
    """An XLSTMLarge with published weights, of transformers' `xLSTMForCausalLM`.

        model = from_pretrained("NX-AI/xLSTM-7b", dtype="mixed_bfloat16")

    Args:
        source: A repository of the Hugging Face Hub, or a folder.
        dtype: Of the model; Keras's policy by default.
        revision: Branch, tag or commit of a repository.
        form: Form of the mLSTM layers.

    Raises:
        ValueError: if there is no such folder, its configuration has what XLSTMLarge has not, or
            its tensors are not those of the configuration.
        OSError: if a repository can't be fetched.
    """

    def make(config: dict[str, Any]) -> XLSTMLarge:
        return XLSTMLarge(**arguments_of(config), form=form, dtype=dtype)

    return load_pretrained(source, revision, make, weights_of)


def to_pretrained(model: XLSTMLarge, folder: str | os.PathLike) -> None:
    """Writes an XLSTMLarge as `xLSTMForCausalLM.from_pretrained(folder)` of transformers loads it.

    Args:
        model: Built.
        folder: Is made where there is none.

    Raises:
        ValueError: if the model is not built, or has what `xLSTMForCausalLM` has not.
    """
    save_pretrained(folder, config_of(model), weights_of(model))


def weights_of(model: XLSTMLarge) -> list[Weight]:
    """All weights of a built model."""
    weights = [
        Weight(model.embedding.embeddings, "backbone.embeddings.weight"),
        Weight(model.last_norm.scale, "backbone.out_norm.weight"),
        Weight(model.head.kernel, "lm_head.weight", TRANSPOSED),
    ]
    parts: Any = zip(model.mixer_norms, model.mixers, model.mlp_norms, model.mlps, strict=True)
    for i, (mixer_norm, mixer, mlp_norm, mlp) in enumerate(parts):
        block = f"backbone.blocks.{i}"
        inner, network = f"{block}.mlstm_layer", f"{block}.ffn"
        names = tuple(f"{inner}.{name}.weight" for name in ("q", "k", "v", "ogate_preact"))
        keys, values = mixer.num_heads * mixer.key_dim, mixer.num_heads * mixer.value_dim
        gates = [f"{inner}.{name}_preact" for name in ("igate", "fgate")]
        kernels, biases = (tuple(f"{gate}.{kind}" for gate in gates) for kind in ("weight", "bias"))
        sides = tuple(f"{network}.{name}.weight" for name in ("proj_up_gate", "proj_up"))
        pair = layout("g o i -> i (g o)", g=2)
        weights += [
            Weight(mixer_norm.scale, f"{block}.norm_mlstm.weight"),
            Weight(mixer.kernel, names, joined(keys, keys, values, values)),
            Weight(mixer.gate_kernel, kernels, pair),
            Weight(mixer.gate_bias, biases, layout("g o -> (g o)", g=2)),
            Weight(mixer.norm_scale, f"{inner}.multihead_norm.weight"),
            Weight(mixer.output_kernel, f"{inner}.out_proj.weight", TRANSPOSED),
            Weight(mlp_norm.scale, f"{block}.norm_ffn.weight"),
            Weight(mlp.expand.kernel, sides, pair),
            Weight(mlp.contract.kernel, f"{network}.proj_down.weight", TRANSPOSED),
        ]
    return weights


def arguments_of(config: dict[str, Any]) -> dict[str, Any]:
    """The arguments of an XLSTMLarge, of a configuration of theirs."""
    config = {**config}
    for alias, key in ALIASES.items():
        if (value := config.pop(alias, None)) is not None and config.setdefault(
            key, value
        ) != value:
            refuse_key(alias, f"{key!r} = {config[key]}", value)
    only = {**ONLY, **EARLIER}
    given = to_arguments(config, MODEL_TYPE, ARCHITECTURE, OPTIONS + FACTORS, only, NEUTRAL)
    keys, values, hidden, multiple = (given.pop(option.argument) for option in FACTORS)
    units, num_heads = given["units"], given["num_heads"]
    return {
        **given,
        "key_dim": int(units * keys) // num_heads,
        "value_dim": int(units * values) // num_heads,
        "hidden_units": int((units * hidden + multiple - 1) // multiple) * multiple,
    }


def config_of(model: XLSTMLarge) -> dict[str, Any]:
    """The configuration of theirs that `arguments_of` makes the arguments of `model` of."""
    others = ("key_dim", "value_dim", "hidden_units")
    units: int = model.units
    mixer: Any = model.mixers[0]
    mlp: Any = model.mlps[0]
    return {
        **to_config(model, MODEL_TYPE, ARCHITECTURE, OPTIONS, others),
        **ONLY,
        "qk_dim_factor": factor_of(mixer.num_heads * mixer.key_dim, units),
        "v_dim_factor": factor_of(mixer.num_heads * mixer.value_dim, units),
        "ffn_proj_factor": factor_of(mlp.hidden_units, units),
        "ffn_round_up_to_multiple_of": 1,
    }


def factor_of(width: int, units: int) -> float:
    """The number that `units` times it, rounded down, is `width`."""
    factor = width / units
    return factor if int(units * factor) == width else math.nextafter(factor, math.inf)
