"""Mamba's published weights, in the format of transformers' `MambaForCausalLM`."""

import os
from collections.abc import Callable
from typing import Any

from common.models import LanguageModel
from common.pretrained import (
    BY_CHANNEL,
    TRANSPOSED,
    Option,
    Weight,
    load_pretrained,
    save_pretrained,
    to_arguments,
    to_config,
)
from papers.mamba.model import VOCABULARY, MambaLM

MODEL_TYPE, ARCHITECTURE = "mamba", "MambaForCausalLM"
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

    def make(config: dict[str, Any]) -> MambaLM:
        arguments = to_arguments(config, MODEL_TYPE, ARCHITECTURE, OPTIONS, ONLY, NEUTRAL)
        return MambaLM(**arguments, form=form, dtype=dtype)

    return load_pretrained(source, revision, make, weights_of, copies_of)


def to_pretrained(model: MambaLM, folder: str | os.PathLike) -> None:
    """Writes a MambaLM as `MambaForCausalLM.from_pretrained(folder)` of transformers loads it.

    Args:
        model: Built.
        folder: Is made where there is none.

    Raises:
        ValueError: if the model is not built, or has what `MambaForCausalLM` has not.
    """
    config = to_config(model, MODEL_TYPE, ARCHITECTURE, OPTIONS)
    save_pretrained(folder, {**config, "hidden_act": "silu"}, weights_of(model))


def weights_of(model: MambaLM) -> list[Weight]:
    """All weights of a built model."""
    return backbone_weights(model, _of_mixer)


def _of_mixer(mixer: Any, name: str) -> list[Weight]:
    return [
        *convolved_weights(mixer, name),
        Weight(mixer.x_kernel, f"{name}.x_proj.weight", TRANSPOSED),
        Weight(mixer.dt_kernel, f"{name}.dt_proj.weight", TRANSPOSED),
        Weight(mixer.dt_bias, f"{name}.dt_proj.bias"),
    ]


# What the weights of Mamba-2 and Mamba-3 have in common with these.


def copies_of(model: LanguageModel) -> dict[str, str]:
    """The names under which files have the embeddings, too."""
    tied = ["lm_head.weight"] if model.tie_embeddings else []
    return dict.fromkeys(["backbone.embedding.weight", *tied], EMBEDDINGS)


def backbone_weights(
    model: LanguageModel, of_mixer: Callable[[Any, str], list[Weight]]
) -> list[Weight]:
    """All weights of a built model of the family, but for those of MLPs.

    Args:
        model: A model whose blocks are a norm and a mixer, and maybe more.
        of_mixer: All of a mixer, given it and its name.
    """
    weights = [
        Weight(model.embedding.embeddings, EMBEDDINGS),
        Weight(model.last_norm.scale, "backbone.norm_f.weight"),
    ]
    if not model.tie_embeddings:
        weights.append(Weight(model.head.kernel, "lm_head.weight", TRANSPOSED))
    blocks: Any = zip(model.mixer_norms, model.mixers, strict=True)
    for i, (norm, mixer) in enumerate(blocks):
        weights += [
            Weight(norm.scale, f"backbone.layers.{i}.norm.weight"),
            *of_mixer(mixer, f"backbone.layers.{i}.mixer"),
        ]
    return weights


def convolved_weights(mixer: Any, name: str) -> list[Weight]:
    """Those of a mixer that Mamba and Mamba-2 both have."""
    weights = [
        Weight(mixer.kernel, f"{name}.in_proj.weight", TRANSPOSED),
        Weight(mixer.conv_kernel, f"{name}.conv1d.weight", BY_CHANNEL),
        Weight(mixer.a_log, f"{name}.A_log"),
        Weight(mixer.skip, f"{name}.D"),
        Weight(mixer.output_kernel, f"{name}.out_proj.weight", TRANSPOSED),
    ]
    if mixer.use_conv_bias:
        weights.append(Weight(mixer.conv_bias, f"{name}.conv1d.bias"))
    if mixer.use_bias:
        weights.append(Weight(mixer.bias, f"{name}.in_proj.bias"))
        weights.append(Weight(mixer.output_bias, f"{name}.out_proj.bias"))
    return weights
