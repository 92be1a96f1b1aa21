"""Small models of transformers', as they are published, and what they compute.

    python -m tests.helpers.published write FOLDER      FOLDER/<case>, FOLDER/<case>.npz,
                                                        and for layers FOLDER/layer-<case>
    python -m tests.helpers.published read FOLDER       FOLDER/<case>-back.npz of FOLDER/<case>-back

A process of its own, as PyTorch must not come after TensorFlow.
"""

import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

PROMPT, TOKENS = 24, 64


class Published(NamedTuple):
    """A model of transformers'.

    Attributes:
        paper: Ours.
        config: Name of the class of its configuration.
        model: Name of its class.
        settings: Of the configuration.
        noise: Standard deviation of what is added to its weights.
    """

    paper: str
    config: str
    model: str
    settings: dict[str, Any]
    noise: float = 0.3


_SIZE = {"vocab_size": 61, "hidden_size": 12, "num_hidden_layers": 2, "state_size": 3}
_OTHER = {"use_bias": True, "use_conv_bias": False, "residual_in_fp32": False}
_MAMBA = ("mamba", "MambaConfig", "MambaForCausalLM")
_MAMBA2 = ("mamba2", "Mamba2Config", "Mamba2ForCausalLM")
_GROUPS = {**_SIZE, "num_heads": 6, "head_dim": 4, "n_groups": 2}
_GEMMA = ("griffin", "RecurrentGemmaConfig", "RecurrentGemmaForCausalLM")
_GEMMA_SIZE = {"vocab_size": 61, "hidden_size": 24, "num_hidden_layers": 5, "lru_width": 24}
_GEMMA_SIZE |= {"num_key_value_heads": 1, "attention_window_size": 7}
_XLSTM = ("xlstm", "xLSTMConfig", "xLSTMForCausalLM")
# Its cache has widths of keys and values that are multiples of 64.
_XLSTM_SIZE = {"vocab_size": 61, "num_hidden_layers": 2, "chunk_size": 16}
CASES = {
    "mamba": Published(*_MAMBA, _SIZE),
    "mamba-other": Published(
        *_MAMBA,
        {**_SIZE, **_OTHER, "time_step_rank": 3, "layer_norm_epsilon": 1e-2, "expand": 3}
        | {"conv_kernel": 3, "tie_word_embeddings": False},
    ),
    "mamba2": Published(*_MAMBA2, _GROUPS),
    "mamba2-other": Published(
        *_MAMBA2,
        {**_GROUPS, **_OTHER, "layer_norm_epsilon": 1e-2, "expand": 1, "num_heads": 3}
        | {"n_groups": 1, "conv_kernel": 3, "tie_word_embeddings": True},
    ),
    "griffin": Published(
        *_GEMMA, {**_GEMMA_SIZE, "num_attention_heads": 3, "intermediate_size": 6 * 24}
    ),
    "griffin-other": Published(
        *_GEMMA,
        {**_GEMMA_SIZE, "num_attention_heads": 2, "intermediate_size": 2 * 24, "lru_width": 10}
        | {"block_types": ["attention", "recurrent"], "logits_soft_cap": 5.0}
        | {"hidden_activation": "gelu", "partial_rotary_factor": 1 / 3},
    ),
    "xlstm": Published(
        *_XLSTM,
        {**_XLSTM_SIZE, "hidden_size": 128, "num_heads": 2},
        noise=0.05,  # with larger weights their float32 is off by 1e-5 of their float64
    ),
    "xlstm-other": Published(
        *_XLSTM,
        {**_XLSTM_SIZE, "hidden_size": 32, "num_heads": 4, "norm_eps": 1e-3}
        | {"qk_dim_factor": 2.0, "v_dim_factor": 4.0}
        | {"ffn_proj_factor": 1.3, "ffn_round_up_to_multiple_of": 24}
        | {"gate_soft_cap": 3.0, "output_logit_soft_cap": 5.0},
    ),
}


class PublishedLayer(NamedTuple):
    """A layer of a model of transformers'.

    Attributes:
        paper: Ours.
        config: Name of the class of the model's configuration.
        model: Name of its class.
        module: Name of the layer in its block.
        settings: Of the configuration.
    """

    paper: str
    config: str
    model: str
    module: str
    settings: dict[str, Any]


# The second block has the layer, the first attention.
LAYER = 1
_BLOCKS = {"num_hidden_layers": 2, "layer_types": ["full_attention", "linear_attention"]}
_SMALL = {"vocab_size": 61, "hidden_size": 24, "intermediate_size": 16, "moe_intermediate_size": 8}
_SMALL |= {"num_attention_heads": 2, "num_key_value_heads": 2, "rms_norm_eps": 1e-3}
LAYERS = {
    "kimi_delta": PublishedLayer(
        "kimi_delta",
        "KimiLinearConfig",
        "KimiLinearForCausalLM",
        "self_attn",
        {**_SMALL, **_BLOCKS, "num_local_experts": 4, "num_experts_per_tok": 2, "kv_lora_rank": 8}
        | {"qk_rope_head_dim": 4, "v_head_dim": 8, "qk_nope_head_dim": 8}
        | {"linear_head_dim": 8, "linear_num_heads": 3, "linear_conv_kernel_dim": 3},
    ),
    "delta_net": PublishedLayer(
        "delta_net",
        "Qwen3NextConfig",
        "Qwen3NextForCausalLM",
        "linear_attn",
        {**_SMALL, **_BLOCKS, "num_experts": 4, "num_experts_per_tok": 2, "head_dim": 8}
        | {"shared_expert_intermediate_size": 8, "linear_conv_kernel_dim": 3}
        | {"linear_key_head_dim": 4, "linear_value_head_dim": 6}
        | {"linear_num_key_heads": 2, "linear_num_value_heads": 6},
    ),
}


def _write_layer(case: PublishedLayer, folder: Path) -> None:
    """The model in several files, and what goes in and comes out of the layer."""
    import torch
    import transformers

    torch.manual_seed(0)
    tokens = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    config = getattr(transformers, case.config)(**case.settings, **tokens)
    model = getattr(transformers, case.model)(config).eval()
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    model.save_pretrained(folder, max_shard_size="16KB")
    layer = getattr(model.model.layers[LAYER], case.module)
    inputs = torch.randn(2, 100, config.hidden_size)
    with torch.no_grad():
        outputs = layer(inputs)
    np.savez(f"{folder}.npz", inputs=inputs, outputs=outputs)


def _write(case: Published, folder: Path) -> None:
    import torch
    import transformers

    torch.manual_seed(0)
    # No token ends what is generated.
    tokens = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    config = getattr(transformers, case.config)(**case.settings, **tokens)
    model = getattr(transformers, case.model)(config).eval()
    for parameter in model.parameters():  # none stays at its initial value
        parameter.data += case.noise * torch.randn_like(parameter)
    model.save_pretrained(folder)
    inputs = torch.randint(0, config.vocab_size, (2, PROMPT))
    with torch.no_grad():
        logits = model(inputs).logits
        tokens = model.generate(inputs, max_new_tokens=TOKENS, do_sample=False)[:, PROMPT:]
    np.savez(f"{folder}.npz", inputs=inputs, logits=logits, tokens=tokens)


def _read(case: Published, folder: Path, inputs: np.ndarray) -> None:
    import torch
    import transformers

    cls = getattr(transformers, case.model)
    model, faults = cls.from_pretrained(folder, output_loading_info=True)
    assert not any(faults.values()), faults
    with torch.no_grad():
        np.savez(f"{folder}.npz", logits=model.eval()(torch.from_numpy(inputs)).logits)


def main(what: str, folder: Path) -> None:
    if what == "write":
        for name, layer in LAYERS.items():
            _write_layer(layer, folder / f"layer-{name}")
    for name, case in CASES.items():
        if what == "write":
            _write(case, folder / name)
        else:
            _read(case, folder / f"{name}-back", np.load(folder / f"{name}.npz")["inputs"])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
