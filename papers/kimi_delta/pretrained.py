"""Layers of the published models of Kimi Linear, whose attention and experts are not here."""

import os
from typing import Any

import numpy as np
from einops import rearrange

from common.pretrained import (
    TRANSPOSED,
    Layout,
    Weight,
    check_layer,
    joined,
    layout,
    load_layer,
    refuse_key,
)
from papers.kimi_delta.layers import KimiDelta


def layer_from_pretrained(
    source: str | os.PathLike,
    index: int,
    dtype: Any = None,
    revision: str | None = None,
    form: str = "auto",
) -> KimiDelta:
    """A KimiDelta with the weights of a layer of transformers' `KimiLinearForCausalLM`.

        layer = layer_from_pretrained("moonshotai/Kimi-Linear-48B-A3B-Instruct", index=0)

    Args:
        source: A repository of the Hugging Face Hub, of which only the files with the layer's
            tensors are fetched, or a folder.
        index: Of the layer, from 0.
        dtype: Of the layer; Keras's policy by default.
        revision: Branch, tag or commit of a repository.
        form: Form of the layer.

    Raises:
        ValueError: if there is no such folder, its model is another, the layer is none of linear
            attention, or its tensors are not those of the configuration.
        OSError: if a repository can't be fetched.
    """

    def make(config: dict[str, Any]) -> KimiDelta:
        check_layer(config, "kimi_linear", _kinds(config), index)
        nested = config.get("linear_attn_config", {})
        head_dim = nested.get("head_dim", config.get("linear_head_dim", 128))
        layer = KimiDelta(
            units=config.get("hidden_size", 2304),
            num_heads=nested.get("num_heads", config.get("linear_num_heads", 32)),
            key_dim=head_dim,
            value_dim=head_dim,
            kernel_size=nested.get(
                "short_conv_kernel_size", config.get("linear_conv_kernel_dim", 4)
            ),
            epsilon=config.get("rms_norm_eps", 1e-5),
            form=form,
            dtype=dtype,
        )
        layer.build((None, None, layer.units))
        return layer

    prefix = f"model.layers.{index}.self_attn"
    return load_layer(source, revision, make, lambda layer: _weights_of(layer, prefix))


def _kinds(config: dict[str, Any]) -> list[str]:
    """Of each layer; published configurations count layers from 1, those of transformers from 0."""
    if config.get("layer_types"):
        return config["layer_types"]
    nested = config.get("linear_attn_config", {})
    kinds = dict.fromkeys(nested.get("kda_layers", ()), "linear_attention")
    if not kinds:
        refuse_key("linear_attn_config", "there, with 'kda_layers'", nested or None)
    return [kinds.get(number, "") for number in range(1, max(kinds) + 1)]


def _weights_of(layer: KimiDelta, prefix: str) -> list[Weight]:
    width = layer.num_heads * layer.key_dim
    convolutions = Layout(
        lambda *arrays: rearrange(np.concatenate(arrays), "c 1 w -> w c"),
        lambda kernel: np.split(rearrange(kernel, "w c -> c 1 w"), 3),
    )
    kernels = {
        "strength_kernel": "b_proj",
        "decay_in_kernel": "f_a_proj",
        "decay_kernel": "f_b_proj",
        "gate_in_kernel": "g_a_proj",
        "gate_kernel": "g_b_proj",
        "output_kernel": "o_proj",
    }
    return [
        Weight(layer.kernel, _named(prefix, "{}_proj.weight"), joined(width, width, width)),
        Weight(layer.conv_kernel, _named(prefix, "{}_conv1d.weight"), convolutions),
        *(
            Weight(getattr(layer, ours), f"{prefix}.{theirs}.weight", TRANSPOSED)
            for ours, theirs in kernels.items()
        ),
        Weight(layer.log_rate, f"{prefix}.A_log", layout("1 1 h 1 -> h")),
        Weight(layer.decay_bias, f"{prefix}.dt_bias"),
        Weight(layer.norm_scale, f"{prefix}.o_norm.weight"),
    ]


def _named(prefix: str, name: str) -> tuple[str, ...]:
    """Names of the tensors of queries, keys and values."""
    return tuple(f"{prefix}.{name.format(letter)}" for letter in "qkv")
