"""Mamba-3's published weights, as the authors' `mamba_ssm` or flash-linear-attention have them."""

import os
from typing import Any

import numpy as np

from common.pretrained import (
    TRANSPOSED,
    Layout,
    Option,
    Weight,
    load_pretrained,
    refuse_key,
    to_arguments,
)
from papers.mamba.pretrained import backbone_weights, copies_of
from papers.mamba3.layers import Mamba3
from papers.mamba3.model import Mamba3LM

# Their key, our argument, and what a configuration without the key means. Flash-linear-attention's:
OPTIONS = (
    Option("vocab_size", "vocabulary_size", 32000),
    Option("hidden_size", "units", 2048),
    Option("num_hidden_layers", "num_layers", 48),
    Option("state_size", "state_dim", 128),
    Option("head_dim", "head_dim", 64),
    Option("n_groups", "num_groups", 1),
    Option("expand", "expansion", 2),
    Option("rope_fraction", "rotary_fraction", 0.5),
    Option("norm_eps", "epsilon", 1e-5),
    Option("residual_in_fp32", "float32_residual", True),
    Option("tie_word_embeddings", "tie_embeddings", False),
    Option("is_mimo", "is_mimo", False),
    Option("mimo_rank", "rank", 4),
)
ONLY = {"hidden_act": "silu", "use_bias": False, "is_outproj_norm": False, "A_floor": 1e-4}
# Of initial values, and of how the same is computed.
NEUTRAL = (
    *("num_heads", "dt_min", "dt_max", "dt_init_floor", "rescale_prenorm_residual", "chunk_size"),
    *("fuse_norm", "fuse_cross_entropy", "fuse_linear_cross_entropy", "use_l2warp"),
)
# The authors': of the model, and of its layers.
MODEL_OPTIONS = (
    Option("vocab_size", "vocabulary_size", 50277),
    Option("d_model", "units", 2560),
    Option("n_layer", "num_layers", 64),
    Option("d_intermediate", "hidden_units", 0),
    Option("residual_in_fp32", "float32_residual", True),
    Option("tie_embeddings", "tie_embeddings", True),
    Option("pad_vocab_size_multiple", "multiple", 8),
    Option("ssm_cfg", "layer", {}),
)
MODEL_ONLY = {"rms_norm": True, "attn_layer_idx": [], "attn_cfg": {}}
LAYER_OPTIONS = (
    Option("d_state", "state_dim", 128),
    Option("headdim", "head_dim", 64),
    Option("ngroups", "num_groups", 1),
    Option("expand", "expansion", 2),
    Option("rope_fraction", "rotary_fraction", 0.5),
    Option("is_mimo", "is_mimo", False),
    Option("mimo_rank", "rank", 4),
)
LAYER_ONLY = {"layer": "Mamba3", "is_outproj_norm": False, "A_floor": 1e-4}
# Their MLPs are as wide as the next multiple of this.
MLP_MULTIPLE = 128


def from_pretrained(
    source: str | os.PathLike,
    dtype: Any = None,
    revision: str | None = None,
    form: str = "auto",
    rate_activation: str = "softplus",
) -> Mamba3LM:
    """A Mamba3LM with published weights, of `mamba_ssm` or flash-linear-attention.

        model = from_pretrained("state-spaces/mamba3-mimo-1.5b", dtype="mixed_bfloat16")

    Args:
        source: A repository of the Hugging Face Hub, or a folder.
        dtype: Of the model; Keras's policy by default.
        revision: Branch, tag or commit of a repository.
        form: Form of the Mamba-3 layers.
        rate_activation: Of the Mamba-3 layers. No configuration tells it: the paper and
            flash-linear-attention have `"softplus"`, `mamba_ssm` has `"heavy_tail"` since June
            2026, for models trained with it.

    Raises:
        ValueError: if there is no such folder, its configuration has what Mamba3LM has not, or its
            tensors are not those of the configuration.
        OSError: if a repository can't be fetched.
    """

    def make(config: dict[str, Any]) -> Mamba3LM:
        read = _of_mamba_ssm if "d_model" in config else _of_fla
        arguments = read(config)
        if not arguments.pop("is_mimo"):
            arguments["rank"] = 1
        return Mamba3LM(**arguments, rate_activation=rate_activation, form=form, dtype=dtype)

    return load_pretrained(source, revision, make, weights_of, copies_of)


def _of_fla(config: dict[str, Any]) -> dict[str, Any]:
    arguments = to_arguments(config, "mamba3", "Mamba3ForCausalLM", OPTIONS, ONLY, NEUTRAL)
    return {**arguments, "hidden_units": 0}


def _of_mamba_ssm(config: dict[str, Any]) -> dict[str, Any]:
    """The arguments that `MambaConfig` of the authors tells, without a kind of model."""
    given = to_arguments(config, None, None, MODEL_OPTIONS, MODEL_ONLY, ("fused_add_norm",))
    layer, multiple = given.pop("layer"), given.pop("multiple")
    if layer.get("layer") != "Mamba3":
        refuse_key("ssm_cfg", "a dict whose 'layer' is 'Mamba3'", layer)
    neutral = ("dt_min", "dt_max", "dt_init_floor", "chunk_size", "dropout")
    given |= to_arguments(layer, None, None, LAYER_OPTIONS, LAYER_ONLY, neutral)
    given["vocabulary_size"] = multiple * -(-given["vocabulary_size"] // multiple)
    given["hidden_units"] = MLP_MULTIPLE * -(-given["hidden_units"] // MLP_MULTIPLE)
    return given


def weights_of(model: Mamba3LM) -> list[Weight]:
    """All weights of a built model."""
    weights = backbone_weights(model, _of_mixer)
    for i, (norm, mlp) in enumerate(zip(model.mlp_norms, model.mlps, strict=True)):
        if mlp is not None:
            weights += [
                Weight(norm.scale, f"backbone.layers.{i}.norm2.weight"),
                Weight(mlp.expand.kernel, f"backbone.layers.{i}.mlp.fc1.weight", _HALVES),
                Weight(mlp.contract.kernel, f"backbone.layers.{i}.mlp.fc2.weight", TRANSPOSED),
            ]
    return weights


def _halves(x: np.ndarray) -> np.ndarray:
    return np.concatenate(np.split(x, 2)[::-1])


# What is gated, and the gate: ours is the other way round.
_HALVES = Layout(lambda x: _halves(x).T, lambda kernel: _halves(kernel.T))


def _of_mixer(mixer: Mamba3, name: str) -> list[Weight]:
    state = _reordered(_coordinates(mixer))
    weights = [
        Weight(mixer.kernel, f"{name}.in_proj.weight", _projection(mixer)),
        Weight(mixer.output_kernel, f"{name}.out_proj.weight", TRANSPOSED),
        Weight(mixer.dt_bias, f"{name}.dt_bias"),
        Weight(mixer.skip, f"{name}.D"),
    ]
    for letter in "bc":
        theirs = f"{name}.{letter.upper()}"
        weights.append(Weight(getattr(mixer, f"{letter}_scale"), f"{theirs}_norm.weight", state))
        weights.append(Weight(getattr(mixer, f"{letter}_bias"), f"{theirs}_bias", state))
    if mixer.rank > 1:
        weights += [Weight(getattr(mixer, mimo), f"{name}.{mimo}") for mimo in _MIMO]
    return weights


_MIMO = ("mimo_x", "mimo_z", "mimo_o")


def _coordinates(mixer: Mamba3) -> np.ndarray:
    """Which of their N coordinates each of ours is.

    With one column a pair that turns is two neighbours, with several it is i and i + N/2, as ours.
    """
    n = np.arange(mixer.state_dim)
    return n if mixer.rank > 1 else np.concatenate([n[::2], n[1::2]])


def _reordered(order: np.ndarray) -> Layout:
    """The `Layout` of tensors whose last axis is the state's."""
    back = np.argsort(order)
    return Layout(lambda x: x[..., order], lambda x: x[..., back])


def _projection(mixer: Mamba3) -> Layout:
    """Of W_in: B and C in our order of coordinates, and angles that turn the other way."""
    sizes = list(mixer._split_sizes.items())
    starts = np.cumsum([0, *(size for _, size in sizes)])
    rows, signs = np.arange(starts[-1]), np.ones(starts[-1], np.float32)
    for (name, _), start, end in zip(sizes, starts, starts[1:], strict=False):
        if name in ("b", "c"):
            blocks = rows[start:end].reshape(-1, mixer.state_dim)
            rows[start:end] = blocks[:, _coordinates(mixer)].ravel()
        elif name == "angle":
            signs[start:end] = -1
    back = np.argsort(rows)
    return Layout(lambda weight: weight[rows].T * signs, lambda kernel: (kernel * signs).T[back])
