"""Mamba-2's published weights, in the format of transformers' `Mamba2ForCausalLM`."""

import math
import os
from typing import Any

from common.pretrained import (
    Option,
    Weight,
    load_pretrained,
    save_pretrained,
    to_arguments,
    to_config,
)
from papers.mamba.pretrained import backbone_weights, convolved_weights, copies_of
from papers.mamba2.model import Mamba2LM

MODEL_TYPE, ARCHITECTURE = "mamba2", "Mamba2ForCausalLM"
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

    def make(config: dict[str, Any]) -> Mamba2LM:
        arguments = to_arguments(config, MODEL_TYPE, ARCHITECTURE, OPTIONS, ONLY, NEUTRAL)
        return Mamba2LM(**arguments, form=form, dtype=dtype)

    return load_pretrained(source, revision, make, weights_of, copies_of)


def to_pretrained(model: Mamba2LM, folder: str | os.PathLike) -> None:
    """Writes a Mamba2LM as `Mamba2ForCausalLM.from_pretrained(folder)` of transformers loads it.

    Args:
        model: Built.
        folder: Is made where there is none.

    Raises:
        ValueError: if the model is not built, or has what `Mamba2ForCausalLM` has not.
    """
    config = {
        **to_config(model, MODEL_TYPE, ARCHITECTURE, OPTIONS),
        "hidden_act": "silu",
        "num_heads": model.mixers[0].num_heads,
        "chunk_size": model.mixers[0].chunk_size,
    }
    save_pretrained(folder, config, weights_of(model))


def weights_of(model: Mamba2LM) -> list[Weight]:
    """All weights of a built model."""
    return backbone_weights(model, _of_mixer)


def _of_mixer(mixer: Any, name: str) -> list[Weight]:
    return [
        *convolved_weights(mixer, name),
        Weight(mixer.dt_bias, f"{name}.dt_bias"),
        Weight(mixer.norm_scale, f"{name}.norm.weight"),
    ]
