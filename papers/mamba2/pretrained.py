"""Mamba-2's published weights, in the format of transformers' `Mamba2ForCausalLM`."""

import math
import os
from typing import Any

from common.pretrained import (
    Option,
    Weight,
    fetch,
    layout,
    load_weights,
    read_config,
    save_pretrained,
    to_arguments,
    to_config,
)
from papers.mamba2.model import Mamba2LM

ARCHITECTURE = "Mamba2ForCausalLM"
EMBEDDINGS = "backbone.embeddings.weight"
# Their key, our argument, and what a configuration without the key means.
OPTIONS = (
    Option("vocab_size", "vocabulary_size", 32768),
    Option("hidden_size", "units", 4096),
    Option("num_hidden_layers", "num_layers", 64),
    Option("state_size", "state_dim", 128),
    Option("head_dim", "head_dim", 64),
    Option("conv_kernel", "kernel_size", 4),
    Option("expand", "expansion", 2),
    Option("n_groups", "num_groups", 8),
    Option("layer_norm_epsilon", "epsilon", 1e-5),
    Option("use_bias", "use_bias", False),
    Option("use_conv_bias", "use_conv_bias", True),
    Option("residual_in_fp32", "float32_residual", True),
    Option("tie_word_embeddings", "tie_embeddings", False),
)
ONLY = {"hidden_act": "silu", "rms_norm": True, "ssm_cfg": {}, "time_step_limit": [0.0, math.inf]}
# What the tensors' shapes tell, of initial values, of how the same is computed, and what
# transformers does not look at: it gates before the norm, whatever `norm_before_gate` says.
NEUTRAL = (
    *("d_model", "d_inner", "intermediate_size", "n_layer", "num_heads"),
    *("time_step_min", "time_step_max", "time_step_floor", "time_step_scale"),
    *("time_step_rank", "time_step_init_scheme", "rescale_prenorm_residual"),
    *("chunk_size", "fused_add_norm", "pad_vocab_size_multiple", "norm_before_gate"),
)


def from_pretrained(
    source: str | os.PathLike,
    dtype: Any = None,
    revision: str | None = None,
    form: str = "auto",
) -> Mamba2LM:
    """A Mamba2LM with published weights, of transformers' `Mamba2ForCausalLM`.

        model = from_pretrained("AntonV/mamba2-130m-hf", dtype="mixed_bfloat16")

    Args:
        source: A repository of the Hugging Face Hub, or a folder.
        dtype: Of the model; Keras's policy by default.
        revision: Branch, tag or commit of a repository.
        form: Form of the Mamba-2 layers.

    Raises:
        ValueError: if there is no such folder, its configuration has what Mamba2LM has not, or its
            tensors are not those of the configuration.
        OSError: if a repository can't be fetched.
    """
    folder = fetch(source, revision)
    config = read_config(folder)
    arguments = to_arguments(config, "mamba2", ARCHITECTURE, OPTIONS, ONLY, NEUTRAL)
    model = Mamba2LM(**arguments, form=form, dtype=dtype)
    model.build((None, None))
    copies = {"backbone.embedding.weight": EMBEDDINGS}
    if model.tie_embeddings:
        copies["lm_head.weight"] = EMBEDDINGS
    load_weights(folder, weights_of(model), copies)
    return model


def to_pretrained(model: Mamba2LM, folder: str | os.PathLike) -> None:
    """Writes a Mamba2LM as `Mamba2ForCausalLM.from_pretrained(folder)` of transformers loads it.

    Args:
        model: Built.
        folder: Is made where there is none.

    Raises:
        ValueError: if the model is not built, or has what `Mamba2ForCausalLM` has not.
    """
    config = {
        "architectures": [ARCHITECTURE],
        "model_type": "mamba2",
        "hidden_act": "silu",
        "num_heads": model.mixers[0].num_heads,
        "chunk_size": model.mixers[0].chunk_size,
        **to_config(model, OPTIONS),
    }
    save_pretrained(folder, config, weights_of(model))


def weights_of(model: Mamba2LM) -> list[Weight]:
    """All weights of a built model."""
    transposed = layout("o i -> i o")
    weights = [
        Weight(model.embedding.embeddings, EMBEDDINGS),
        Weight(model.last_norm.scale, "backbone.norm_f.weight"),
    ]
    if not model.tie_embeddings:
        weights.append(Weight(model.head.kernel, "lm_head.weight", transposed))
    for i, (norm, mixer) in enumerate(zip(model.mixer_norms, model.mixers, strict=True)):
        block = f"backbone.layers.{i}"
        weights += [
            Weight(norm.scale, f"{block}.norm.weight"),
            Weight(mixer.kernel, f"{block}.mixer.in_proj.weight", transposed),
            Weight(mixer.conv_kernel, f"{block}.mixer.conv1d.weight", layout("c 1 w -> w c")),
            Weight(mixer.dt_bias, f"{block}.mixer.dt_bias"),
            Weight(mixer.a_log, f"{block}.mixer.A_log"),
            Weight(mixer.skip, f"{block}.mixer.D"),
            Weight(mixer.norm_scale, f"{block}.mixer.norm.weight"),
            Weight(mixer.output_kernel, f"{block}.mixer.out_proj.weight", transposed),
        ]
        if mixer.use_conv_bias:
            weights.append(Weight(mixer.conv_bias, f"{block}.mixer.conv1d.bias"))
        if mixer.use_bias:
            weights.append(Weight(mixer.bias, f"{block}.mixer.in_proj.bias"))
            weights.append(Weight(mixer.output_bias, f"{block}.mixer.out_proj.bias"))
    return weights
