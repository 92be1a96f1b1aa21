"""The published weights of xLSTM 7B, in the format of transformers' `xLSTMForCausalLM`."""

import math
import os
from typing import Any

from common.pretrained import (
    Option,
    Weight,
    fetch,
    joined,
    layout,
    load_weights,
    read_config,
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
# The names of others for the same, and how the same is computed.
NEUTRAL = (
    *("embedding_dim", "num_blocks", "mode", "return_last_states", "max_inference_chunksize"),
    *("chunkwise_kernel", "sequence_kernel", "step_kernel"),
    *("autocast_kernel_dtype", "inference_state_dtype"),
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
    folder = fetch(source, revision)
    model = XLSTMLarge(**_arguments(read_config(folder)), form=form, dtype=dtype)
    model.build((None, None))
    load_weights(folder, weights_of(model))
    return model


def to_pretrained(model: XLSTMLarge, folder: str | os.PathLike) -> None:
    """Writes an XLSTMLarge as `xLSTMForCausalLM.from_pretrained(folder)` of transformers loads it.

    Args:
        model: Built.
        folder: Is made where there is none.

    Raises:
        ValueError: if the model is not built, or has what `xLSTMForCausalLM` has not.
    """
    config = to_config(model, OPTIONS, ("key_dim", "value_dim", "hidden_units"))
    units: int = model.units
    mixer: Any = model.mixers[0]
    mlp: Any = model.mlps[0]
    config = {
        "architectures": [ARCHITECTURE],
        "model_type": MODEL_TYPE,
        **config,
        **ONLY,
        "qk_dim_factor": _factor(mixer.num_heads * mixer.key_dim, units),
        "v_dim_factor": _factor(mixer.num_heads * mixer.value_dim, units),
        "ffn_proj_factor": _factor(mlp.hidden_units, units),
        "ffn_round_up_to_multiple_of": 1,
    }
    save_pretrained(folder, config, weights_of(model))


def weights_of(model: XLSTMLarge) -> list[Weight]:
    """All weights of a built model."""
    transposed = layout("o i -> i o")
    weights = [
        Weight(model.embedding.embeddings, "backbone.embeddings.weight"),
        Weight(model.last_norm.scale, "backbone.out_norm.weight"),
        Weight(model.head.kernel, "lm_head.weight", transposed),
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
            Weight(mixer.output_kernel, f"{inner}.out_proj.weight", transposed),
            Weight(mlp_norm.scale, f"{block}.norm_ffn.weight"),
            Weight(mlp.expand.kernel, sides, pair),
            Weight(mlp.contract.kernel, f"{network}.proj_down.weight", transposed),
        ]
    return weights


def _arguments(config: dict[str, Any]) -> dict[str, Any]:
    """The arguments of an XLSTMLarge, of a configuration of theirs."""
    given = to_arguments(config, MODEL_TYPE, ARCHITECTURE, OPTIONS + FACTORS, ONLY, NEUTRAL)
    keys, values, hidden, multiple = (given.pop(option.argument) for option in FACTORS)
    units, num_heads = given["units"], given["num_heads"]
    return {
        **given,
        "key_dim": int(units * keys) // num_heads,
        "value_dim": int(units * values) // num_heads,
        "hidden_units": int((units * hidden + multiple - 1) // multiple) * multiple,
    }


def _factor(width: int, units: int) -> float:
    """The number that `units` times it, rounded down, is `width`."""
    factor = width / units
    return factor if int(units * factor) == width else math.nextafter(factor, math.inf)
