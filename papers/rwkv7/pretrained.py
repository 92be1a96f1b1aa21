"""RWKV-7's published weights, in the format of flash-linear-attention's `RWKV7ForCausalLM`."""

import os
from collections.abc import Iterator
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
from papers.rwkv7.layers import RWKV7
from papers.rwkv7.model import RWKV7LM

MODEL_TYPE, ARCHITECTURE = "rwkv7", "RWKV7ForCausalLM"
RANKS = ("decay", "a", "v", "gate")
# Their key, our argument, and what a configuration without the key means.
ARGUMENTS = (
    Option("vocab_size", "vocabulary_size", 32000),
    Option("hidden_size", "units", 2048),
    Option("num_hidden_layers", "num_layers", 24),
    Option("intermediate_size", "hidden_units", None),
    Option("norm_eps", "epsilon", 1e-5),
    Option("num_heads", "num_heads", None),
)
OPTIONS = (
    *ARGUMENTS,
    # Goes before the number of heads, which some configurations have wrong.
    Option("head_dim", "head_dim", 64),
    Option("hidden_ratio", "hidden_ratio", 4),
    Option("value_dim", "value_dim", None),
    *(
        Option(f"{letter}_low_rank_dim", letter, rank)
        for letter, rank in zip(RANKS, (64, 64, 16, 128), strict=True)
    ),
)
ONLY = {"hidden_act": "sqrelu", "norm_first": True, "norm_bias": True, "attn": None}
ONLY |= {"tie_word_embeddings": False}
# What the tensors' shapes tell, and how the same is computed.
NEUTRAL = (
    *("attention_hidden_size", "num_attention_heads"),
    *("attn_mode", "auto_map", "max_position_embeddings", "fuse_norm", "fuse_cross_entropy"),
    *("fuse_linear_cross_entropy", "use_l2warp"),
)


def from_pretrained(
    source: str | os.PathLike,
    dtype: Any = None,
    revision: str | None = None,
    form: str = "auto",
) -> RWKV7LM:
    """An RWKV7LM with published weights, as flash-linear-attention has them.

        model = from_pretrained("RWKV/RWKV7-Goose-World2.8-0.1B-HF", dtype="mixed_bfloat16")

    Args:
        source: A repository of the Hugging Face Hub, or a folder.
        dtype: Of the model; Keras's policy by default.
        revision: Branch, tag or commit of a repository.
        form: Form of the RWKV7 layers.

    Raises:
        ValueError: if there is no such folder, its configuration has what RWKV7LM has not, or its
            tensors are not those of the configuration.
        OSError: if a repository can't be fetched.
    """

    def make(config: dict[str, Any]) -> RWKV7LM:
        given = to_arguments(config, MODEL_TYPE, ARCHITECTURE, OPTIONS, ONLY, NEUTRAL)
        units, head_dim, heads = (given.pop(key) for key in ("units", "head_dim", "num_heads"))
        if head_dim is not None:
            heads = units // head_dim
        widths = given.pop("value_dim")
        if not {units} >= set(widths if isinstance(widths, list) else [widths or units]):
            refuse_key("value_dim", f"`hidden_size` = {units} everywhere", widths)
        ratio = given.pop("hidden_ratio")
        if given["hidden_units"] is None:
            given["hidden_units"] = 32 * -(-int(units * (ratio or 4)) // 32)
        given["ranks"] = tuple(given.pop(rank) for rank in RANKS)
        return RWKV7LM(units=units, num_heads=heads, **given, form=form, dtype=dtype)

    return load_pretrained(source, revision, make, weights_of)


def to_pretrained(model: RWKV7LM, folder: str | os.PathLike) -> None:
    """Writes an RWKV7LM as flash-linear-attention's `RWKV7ForCausalLM` loads it.

    Args:
        model: Built.
        folder: Is made where there is none.

    Raises:
        ValueError: if the model is not built, or has what `RWKV7ForCausalLM` has not.
    """
    others = ("hidden_units", "ranks", "chunk_size")
    config = to_config(model, MODEL_TYPE, ARCHITECTURE, ARGUMENTS, others)
    mixer = model.mixers[-1]  # the first has no value residual
    for letter, part in zip(RANKS, _LOWS, strict=True):
        if (kernel := getattr(mixer, f"{part}_in_kernel", None)) is not None:
            config[f"{letter}_low_rank_dim"] = kernel.shape[1]
    config |= {
        "intermediate_size": model.mlps[0].kernel.shape[1],
        "head_dim": model.units // mixer.num_heads,
        "hidden_act": "sqrelu",
    }
    save_pretrained(folder, config, weights_of(model))


def weights_of(model: RWKV7LM) -> list[Weight]:
    """All weights of a built model."""
    weights = [
        Weight(model.embedding.embeddings, "model.embeddings.weight"),
        Weight(model.head.kernel, "lm_head.weight", TRANSPOSED),
        *_norm(model.first_norm, "model.layers.0.pre_norm"),
        *_norm(model.last_norm, "model.norm"),
    ]
    for i, (mixer, mlp) in enumerate(zip(model.mixers, model.mlps, strict=True)):
        block = f"model.layers.{i}"
        weights += [
            *_norm(model.mixer_norms[i], f"{block}.attn_norm"),
            *_norm(model.mlp_norms[i], f"{block}.ffn_norm"),
            *_of_mixer(mixer, f"{block}.attn"),
            Weight(mlp.shift, f"{block}.ffn.x_k"),
            Weight(mlp.kernel, f"{block}.ffn.key.weight", TRANSPOSED),
            Weight(mlp.output_kernel, f"{block}.ffn.value.weight", TRANSPOSED),
        ]
    return weights


# What our low-rank products make, in the order of `RANKS`.
_LOWS = ("decay", "rate", "residual", "gate")


def _norm(norm: Any, name: str) -> tuple[Weight, Weight]:
    return Weight(norm.gamma, f"{name}.weight"), Weight(norm.beta, f"{name}.bias")


def _of_mixer(mixer: RWKV7, name: str) -> Iterator[Weight]:
    shifts = tuple(f"{name}.x_{letter}" for letter in "rwkvag")
    yield Weight(mixer.shift, shifts, layout("n 1 1 d -> n d"))
    projections = tuple(f"{name}.{letter}_proj.weight" for letter in "rkv")
    yield Weight(mixer.kernel, projections, joined(*[mixer.joined] * 3))
    yield Weight(mixer.output_kernel, f"{name}.o_proj.weight", TRANSPOSED)
    for ours, letter in zip(_LOWS, "wavg", strict=True):
        if ours == "residual" and mixer.value_residual != "later":
            continue
        low = f"{name}.{letter}_lora.lora"
        yield Weight(getattr(mixer, f"{ours}_in_kernel"), f"{low}.0.weight", TRANSPOSED)
        yield Weight(getattr(mixer, f"{ours}_kernel"), f"{low}.2.weight", TRANSPOSED)
        if ours != "gate":
            yield Weight(getattr(mixer, f"{ours}_bias"), f"{low}.2.bias")
    yield Weight(mixer.removal_scale, f"{name}.k_k")
    yield Weight(mixer.rate_scale, f"{name}.k_a")
    yield Weight(mixer.bonus, f"{name}.r_k", layout("h k -> (h k)", h=mixer.num_heads))
    yield Weight(mixer.norm_scale, f"{name}.g_norm.weight")
    yield Weight(mixer.norm_bias, f"{name}.g_norm.bias")
