"""RecurrentGemma's published weights, of transformers' `RecurrentGemmaForCausalLM`."""

import os
from typing import Any

import numpy as np

from common.checks import refuse
from common.pretrained import (
    BY_CHANNEL,
    TRANSPOSED,
    Layout,
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
from papers.griffin.layers import RecurrentBlock
from papers.griffin.model import Griffin

MODEL_TYPE, ARCHITECTURE = "recurrent_gemma", "RecurrentGemmaForCausalLM"
EMBEDDINGS = "model.embed_tokens.weight"
# Their key, our argument, and what a configuration without the key means.
OPTIONS = (
    Option("vocab_size", "vocabulary_size", 256_000),
    Option("hidden_size", "units", 2560),
    Option("lru_width", "recurrent_units", None),
    Option("num_attention_heads", "num_heads", 10),
    Option("attention_window_size", "window", 2048),
    Option("logits_soft_cap", "logits_cap", 30.0),
)
# What becomes an argument together with others, and those arguments.
COMBINED = (
    Option("num_hidden_layers", "num_layers", 26),
    Option("block_types", "block_types", ("recurrent", "recurrent", "attention")),
    Option("intermediate_size", "mlp_units", 7680),
    Option("hidden_activation", "activation", "gelu_pytorch_tanh"),
    Option("partial_rotary_factor", "rotary", 0.5),
    Option("rope_parameters", "rope", None),
)
DERIVED = (
    *("blocks", "expansion", "activation", "rotary_dim"),
    *("num_blocks", "output_bias", "embedding_scale", "context"),
)
ONLY = {
    "attention_bias": False,
    "conv1d_width": 4,
    "embeddings_scale_by_sqrt_dim": True,
    "num_key_value_heads": 1,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10_000.0,
    "tie_word_embeddings": True,
}
# Of initial values and dropout, and what other keys tell.
NEUTRAL = (
    *("w_init_variance_scale", "final_w_init_variance_scale", "attention_dropout"),
    *("layer_types", "layers_block_type", "head_dim"),
)
LETTERS = {"recurrent": "r", "attention": "l"}
ACTIVATIONS = {"gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu"}
# Their norms multiply by one more than the weight.
ONE_MORE = Layout(lambda x: x + 1, lambda x: x - 1)


def from_pretrained(
    source: str | os.PathLike,
    dtype: Any = None,
    revision: str | None = None,
    form: str = "auto",
) -> Griffin:
    """A Griffin with published weights, of transformers' `RecurrentGemmaForCausalLM`.

        model = from_pretrained("google/recurrentgemma-2b", dtype="mixed_bfloat16")

    Args:
        source: A repository of the Hugging Face Hub, or a folder.
        dtype: Of the model; Keras's policy by default.
        revision: Branch, tag or commit of a repository.
        form: Form of the recurrent blocks.

    Raises:
        ValueError: if there is no such folder, its configuration has what Griffin has not, or its
            tensors are not those of the configuration.
        OSError: if a repository can't be fetched.
    """

    def make(config: dict[str, Any]) -> Griffin:
        return Griffin(**arguments_of(config), form=form, dtype=dtype)

    copies = {"lm_head.weight": EMBEDDINGS}
    return load_pretrained(source, revision, make, weights_of, lambda model: copies)


def to_pretrained(model: Griffin, folder: str | os.PathLike) -> None:
    """Writes a Griffin as `RecurrentGemmaForCausalLM.from_pretrained(folder)` loads it.

    Args:
        model: Built.
        folder: Is made where there is none.

    Raises:
        ValueError: if the model is not built, or has what `RecurrentGemmaForCausalLM` has not.
    """
    save_pretrained(folder, config_of(model), weights_of(model))


def weights_of(model: Griffin) -> list[Weight]:
    """All weights of a built model."""
    weights = [
        Weight(model.embedding.embeddings, EMBEDDINGS),
        Weight(model.last_norm.scale, "model.final_norm.weight", ONE_MORE),
    ]
    parts: Any = zip(model.mixer_norms, model.mixers, model.mlp_norms, model.mlps, strict=True)
    for i, (mixer_norm, mixer, mlp_norm, mlp) in enumerate(parts):
        block = f"model.layers.{i}"
        inner, network = f"{block}.temporal_block", f"{block}.mlp_block"
        sides = [f"{network}.{name}" for name in ("gate_proj", "up_proj")]
        weights += [
            Weight(mixer_norm.scale, f"{block}.temporal_pre_norm.weight", ONE_MORE),
            Weight(mlp_norm.scale, f"{block}.channel_pre_norm.weight", ONE_MORE),
            *_side_by_side(mlp.expand.kernel, mlp.expand.bias, *sides),
            Weight(mlp.contract.kernel, f"{network}.down_proj.weight", TRANSPOSED),
            Weight(mlp.contract.bias, f"{network}.down_proj.bias"),
        ]
        if isinstance(mixer, RecurrentBlock):
            weights += _of_recurrent_block(mixer, inner)
            continue
        names = tuple(f"{inner}.{name}_proj.weight" for name in "qkv")
        widths = (mixer.num_heads * mixer.key_dim, mixer.key_dim, mixer.value_dim)
        weights += [
            Weight(mixer.kernel, names, joined(*widths)),
            Weight(mixer.output_kernel, f"{inner}.o_proj.weight", TRANSPOSED),
            Weight(mixer.output_bias, f"{inner}.o_proj.bias"),
        ]
    return weights


def _of_recurrent_block(mixer: RecurrentBlock, block: str) -> list[Weight]:
    sides = (f"{block}.linear_x", f"{block}.linear_y")
    gates = [f"{block}.rg_lru.{name}_gate" for name in ("recurrent", "input")]
    kernels, biases = (tuple(f"{gate}_{kind}" for gate in gates) for kind in ("weight", "bias"))
    return [
        *_side_by_side(mixer.kernel, mixer.bias, *sides),
        Weight(mixer.convolution_kernel, f"{block}.conv_1d.weight", BY_CHANNEL),
        Weight(mixer.convolution_bias, f"{block}.conv_1d.bias"),
        Weight(mixer.recurrence.gate_kernel, kernels, layout("g k i o -> k i (g o)", g=2)),
        Weight(mixer.recurrence.gate_bias, biases, layout("g k o -> k (g o)", g=2)),
        Weight(mixer.recurrence.decay, f"{block}.rg_lru.recurrent_param"),
        Weight(mixer.output_kernel, f"{block}.linear_out.weight", TRANSPOSED),
        Weight(mixer.output_bias, f"{block}.linear_out.bias"),
    ]


def _side_by_side(kernel, bias, left: str, right: str) -> list[Weight]:
    """The weights of two projections in one."""
    return [
        Weight(kernel, (f"{left}.weight", f"{right}.weight"), layout("g o i -> i (g o)", g=2)),
        Weight(bias, (f"{left}.bias", f"{right}.bias"), layout("g o -> (g o)", g=2)),
    ]


def arguments_of(config: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a Griffin, of a configuration of theirs."""
    config = {**config}
    if "_block_types" in config:  # the name in earlier versions
        config.setdefault("block_types", config.pop("_block_types"))
    given = to_arguments(config, MODEL_TYPE, ARCHITECTURE, OPTIONS + COMBINED, ONLY, NEUTRAL)
    theirs = {option.key: given.pop(option.argument) for option in COMBINED}
    units, num_heads = given["units"], given["num_heads"]
    if given["recurrent_units"] is None:
        given["recurrent_units"] = units
    for key in theirs["block_types"]:
        _require("block_types", key in LETTERS, f"of {sorted(LETTERS)}", theirs["block_types"])
    activation, mlp_units = theirs["hidden_activation"], theirs["intermediate_size"]
    known = activation in ACTIVATIONS
    _require("hidden_activation", known, f"one of {sorted(ACTIVATIONS)}", activation)
    fits = mlp_units % (2 * units) == 0
    _require("intermediate_size", fits, f"a multiple of 2 'hidden_size' = {2 * units}", mlp_units)
    rope = {"rope_type": "default", "rope_theta": ONLY["rope_theta"]}
    found = {**rope, **(theirs["rope_parameters"] or {})}
    factor = found.pop("partial_rotary_factor", theirs["partial_rotary_factor"])
    _require("rope_parameters", found == rope, f"{rope}, with a 'partial_rotary_factor'", found)
    letters = "".join(LETTERS[key] for key in theirs["block_types"])
    num_layers = theirs["num_hidden_layers"]
    return {
        **given,
        "blocks": (letters * num_layers)[:num_layers],
        "expansion": mlp_units // (2 * units),
        "activation": ACTIVATIONS[activation],
        "rotary_dim": int(units // num_heads * factor),
        "num_blocks": num_heads,
        "output_bias": True,
        "embedding_scale": _embedding_scale(units),
    }


def config_of(model: Griffin) -> dict[str, Any]:
    """The configuration of theirs that `arguments_of` makes the arguments of `model` of."""
    config = to_config(model, MODEL_TYPE, ARCHITECTURE, OPTIONS, DERIVED)
    given = model.get_config()
    units, num_heads = given["units"], given["num_heads"]
    if "g" in given["blocks"]:
        refuse(model, "blocks", "of recurrent and local blocks in RecurrentGemma", given["blocks"])
    if given.get("logits_cap") is None:
        refuse(model, "logits_cap", "a number in RecurrentGemma", None)
    expected = {
        "num_blocks": num_heads,
        "output_bias": True,
        "embedding_scale": _embedding_scale(units),
    }
    for name, value in expected.items():
        if given.get(name) != value:
            refuse(model, name, f"{value!r} in RecurrentGemma", given.get(name))
    head_dim = units // num_heads
    rotary_dim = head_dim if given["rotary_dim"] is None else given["rotary_dim"]
    return {
        **config,
        **ONLY,
        "num_hidden_layers": len(given["blocks"]),
        "block_types": [_inverse(LETTERS)[letter] for letter in given["blocks"]],
        "intermediate_size": 2 * given["expansion"] * units,
        "hidden_activation": _inverse(ACTIVATIONS)[given["activation"]],
        "partial_rotary_factor": rotary_dim / head_dim,
    }


def _embedding_scale(units: int) -> float:
    """The square root of the width, in bfloat16."""
    return float(np.asarray(units**0.5, "bfloat16"))


def _inverse(names: dict[str, str]) -> dict[str, str]:
    return {ours: theirs for theirs, ours in names.items()}


def _require(key: str, holds: bool, expected: str, value: Any) -> None:
    if not holds:
        refuse_key(key, expected, value)
