"""Mamba's published weights, in the format of transformers' `MambaForCausalLM`."""

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
from papers.mamba.model import VOCABULARY, MambaLM

ARCHITECTURE = "MambaForCausalLM"
EMBEDDINGS = "backbone.embeddings.weight"
# Their key, our argument, and what a configuration without the key means.
OPTIONS = (
    Option("vocab_size", "vocabulary_size", VOCABULARY),
    Option("hidden_size", "units", 768),
    Option("num_hidden_layers", "num_layers", 32),
    Option("state_size", "state_dim", 16),
    Option("conv_kernel", "kernel_size", 4),
    Option("expand", "expansion", 2),
    Option("time_step_rank", "dt_rank", "auto"),
    Option("layer_norm_epsilon", "epsilon", 1e-5),
    Option("use_bias", "use_bias", False),
    Option("use_conv_bias", "use_conv_bias", True),
    Option("residual_in_fp32", "float32_residual", True),
    Option("tie_word_embeddings", "tie_embeddings", True),
)
ONLY = {"hidden_act": "silu", "rms_norm": True, "ssm_cfg": {}}
# What the tensors' shapes tell, of initial values, and of how the same is computed.
NEUTRAL = (
    *("d_model", "d_inner", "intermediate_size", "n_layer"),
    *("time_step_min", "time_step_max", "time_step_floor", "time_step_scale"),
    *("time_step_init_scheme", "rescale_prenorm_residual"),
    *("fused_add_norm", "use_mambapy", "use_associative_scan", "pad_vocab_size_multiple"),
)


def from_pretrained(
    source: str | os.PathLike,
    dtype: Any = None,
    revision: str | None = None,
    form: str = "auto",
) -> MambaLM:
    """A MambaLM with published weights, of transformers' `MambaForCausalLM`.

        model = from_pretrained("state-spaces/mamba-130m-hf", dtype="mixed_bfloat16")

    Args:
        source: A repository of the Hugging Face Hub, or a folder.
        dtype: Of the model; Keras's policy by default.
        revision: Branch, tag or commit of a repository.
        form: Form of the Mamba layers.

    Raises:
        ValueError: if there is no such folder, its configuration has what MambaLM has not, or its
            tensors are not those of the configuration.
        OSError: if a repository can't be fetched.
    """
    folder = fetch(source, revision)
    config = read_config(folder)
    arguments = to_arguments(config, "mamba", ARCHITECTURE, OPTIONS, ONLY, NEUTRAL)
    model = MambaLM(**arguments, form=form, dtype=dtype)
    model.build((None, None))
    copies = {"backbone.embedding.weight": EMBEDDINGS}
    if model.tie_embeddings:
        copies["lm_head.weight"] = EMBEDDINGS
    load_weights(folder, weights_of(model), copies)
    return model


def to_pretrained(model: MambaLM, folder: str | os.PathLike) -> None:
    """Writes a MambaLM as `MambaForCausalLM.from_pretrained(folder)` of transformers loads it.

    Args:
        model: Built.
        folder: Is made where there is none.

    Raises:
        ValueError: if the model is not built, or has what `MambaForCausalLM` has not.
    """
    config = {
        "architectures": [ARCHITECTURE],
        "model_type": "mamba",
        "hidden_act": "silu",
        **to_config(model, OPTIONS),
    }
    save_pretrained(folder, config, weights_of(model))


def weights_of(model: MambaLM) -> list[Weight]:
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
            Weight(mixer.x_kernel, f"{block}.mixer.x_proj.weight", transposed),
            Weight(mixer.dt_kernel, f"{block}.mixer.dt_proj.weight", transposed),
            Weight(mixer.dt_bias, f"{block}.mixer.dt_proj.bias"),
            Weight(mixer.a_log, f"{block}.mixer.A_log"),
            Weight(mixer.skip, f"{block}.mixer.D"),
            Weight(mixer.output_kernel, f"{block}.mixer.out_proj.weight", transposed),
        ]
        if mixer.use_conv_bias:
            weights.append(Weight(mixer.conv_bias, f"{block}.mixer.conv1d.bias"))
        if mixer.use_bias:
            weights.append(Weight(mixer.bias, f"{block}.mixer.in_proj.bias"))
            weights.append(Weight(mixer.output_bias, f"{block}.mixer.out_proj.bias"))
    return weights
