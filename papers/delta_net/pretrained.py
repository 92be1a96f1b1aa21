"""Layers of the published models of Qwen3-Next, whose attention and experts are not here."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from einops import rearrange, repeat

from common.pretrained import TRANSPOSED, Layout, Weight, check_layer, load_layer
from papers.delta_net.layers import DeltaNet

# Every so many layers one is of attention, where the configuration does not list them.
INTERVAL = 4


def layer_from_pretrained(
    source: str | os.PathLike,
    index: int,
    dtype: Any = None,
    revision: str | None = None,
    form: str = "auto",
) -> DeltaNet:
    """A gated DeltaNet with the weights of a layer of transformers' `Qwen3NextForCausalLM`.

        layer = layer_from_pretrained("Qwen/Qwen3-Next-80B-A3B-Instruct", index=0)

    Several heads of values share a query and a key there. Here each has its own, equal at first:
    the outputs are the same, and training moves them apart.

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
    groups = 0

    def make(config: dict[str, Any]) -> DeltaNet:
        nonlocal groups
        check_layer(config, "qwen3_next", _kinds(config), index)
        groups = config.get("linear_num_key_heads", 16)
        layer = DeltaNet(
            units=config.get("hidden_size", 2048),
            num_heads=config.get("linear_num_value_heads", 32),
            key_dim=config.get("linear_key_head_dim", 128),
            value_dim=config.get("linear_value_head_dim", 128),
            kernel_size=config.get("linear_conv_kernel_dim", 4),
            epsilon=config.get("rms_norm_eps", 1e-6),
            gated=True,
            form=form,
            dtype=dtype,
        )
        layer.build((None, None, layer.units))
        return layer

    prefix = f"model.layers.{index}.linear_attn"
    return load_layer(source, revision, make, lambda layer: _weights_of(layer, groups, prefix))


def _kinds(config: dict[str, Any]) -> list[str]:
    every = config.get("full_attention_interval", INTERVAL)
    return config.get("layer_types") or [
        "full_attention" if (i + 1) % every == 0 else "linear_attention"
        for i in range(config.get("num_hidden_layers", 48))
    ]


def _weights_of(layer: DeltaNet, groups: int, prefix: str) -> list[Weight]:
    """All weights of a layer; theirs are of `groups` queries and keys."""
    heads, keys, values = layer.num_heads, layer.key_dim, layer.value_dim
    each = heads // groups
    widths = (keys, keys, each * values, each * values)
    units = layer.units

    def grouped(tensor: np.ndarray, sizes: tuple[int, ...]) -> list[np.ndarray]:
        """The parts of a tensor that has them side by side for each group: `(groups, size, D)`."""
        tensor = rearrange(tensor, "(g n) d -> g n d", g=groups)
        return np.split(tensor, np.cumsum(sizes)[:-1], axis=1)

    def for_each_head(part: np.ndarray) -> np.ndarray:
        return repeat(part, "g n d -> (g each n) d", each=each)

    def qkv(tensor: np.ndarray) -> np.ndarray:
        q, k, v, _ = grouped(tensor, widths)
        v = rearrange(v, "g n d -> (g n) d")
        return np.concatenate([for_each_head(q), for_each_head(k), v]).T

    def part(index: int, *sizes: int) -> Callable[[np.ndarray], np.ndarray]:
        return lambda tensor: rearrange(grouped(tensor, sizes)[index], "g n d -> d (g n)")

    def convolution(tensor: np.ndarray) -> np.ndarray:
        q, k, v = np.split(tensor[:, 0], np.cumsum([groups * keys] * 2))
        q, k = (for_each_head(rearrange(x, "(g n) w -> g n w", g=groups)) for x in (q, k))
        return np.concatenate([q, k, v]).T

    of_projection = (groups * sum(widths), units)
    of_gates = (2 * heads, units)
    of_convolution = (groups * 2 * keys + heads * values, 1, layer.conv_kernel.shape[0])
    projection, gates = f"{prefix}.in_proj_qkvz.weight", f"{prefix}.in_proj_ba.weight"
    return [
        Weight(layer.kernel, projection, _read(qkv, of_projection)),
        Weight(layer.gate_kernel, projection, _read(part(3, *widths), of_projection)),
        Weight(layer.strength_kernel, gates, _read(part(0, each, each), of_gates)),
        Weight(layer.decay_kernel, gates, _read(part(1, each, each), of_gates)),
        Weight(layer.conv_kernel, f"{prefix}.conv1d.weight", _read(convolution, of_convolution)),
        Weight(layer.log_rate, f"{prefix}.A_log"),
        Weight(layer.decay_bias, f"{prefix}.dt_bias"),
        Weight(layer.norm_scale, f"{prefix}.norm.weight"),
        Weight(layer.output_kernel, f"{prefix}.out_proj.weight", TRANSPOSED),
    ]


def _read(to_ours: Callable[[np.ndarray], np.ndarray], shape: tuple[int, ...]) -> Layout:
    """The layout of a tensor of `shape` that is read in parts, and not written."""
    return Layout(to_ours, lambda _: np.broadcast_to(np.float32(0), shape))
