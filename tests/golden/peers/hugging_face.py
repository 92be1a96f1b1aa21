"""transformers: Mamba's and Mamba-2's mixers, and RecurrentGemma's recurrent block."""

import numpy as np
import torch
from transformers import Mamba2Config, MambaConfig, RecurrentGemmaConfig

from tests.golden.peers.recording import (
    draw,
    draw_weights,
    in_float64,
    normal,
    record,
    version,
    warm,
)

MODELS = "transformers/models"


class _Cache:
    """What the mixers ask of a cache: one initial state, the states of the last step."""

    def __init__(self, conv=None, recurrent=None):
        self.conv, self.recurrent = conv, recurrent

    def get_conv_state(self, layer_idx, state_idx=0):
        return self.conv

    def get_recurrent_state(self, layer_idx, state_idx=0):
        return self.recurrent

    def is_recording_past(self, layer_idx):
        return False

    def update_conv_state(self, new, layer_idx, conv_kernel_size):
        seen = new if self.conv is None else torch.cat([self.conv, new], dim=-1)
        self.conv = seen[..., -(conv_kernel_size - 1) :]
        return seen

    def update_recurrent_state(self, new, layer_idx):
        self.recurrent = new


def vectors():
    yield "mamba", _mamba()
    yield "mamba2", _mamba2(groups=2)
    yield "mamba2-one-group", _mamba2(groups=1)
    yield "rg-lru", _rg_lru(started=False)
    yield "rg-lru-warm", _rg_lru(started=True)
    yield "recurrent-block", _recurrent_block()


def _mamba():
    mamba = in_float64("transformers", f"{MODELS}/mamba/modeling_mamba.py")
    config = MambaConfig(
        hidden_size=4, state_size=3, conv_kernel=4, expand=2, time_step_rank=2, num_hidden_layers=1
    )
    module = mamba.MambaMixer(config, layer_idx=0).double().eval()

    def run(weights, inputs, state):
        cache = _Cache()
        outputs = torch.func.functional_call(module, weights, (inputs, cache))
        return outputs, {"conv": cache.conv, "ssm": cache.recurrent}

    source = f"{version('transformers')}: MambaMixer"
    return record(source, run, draw_weights(module, 1), normal(2, 11, 4))


def _mamba2(groups: int):
    mamba2 = in_float64("transformers", f"{MODELS}/mamba2/modeling_mamba2.py")
    config = Mamba2Config(
        hidden_size=4,
        state_size=3,
        expand=2,
        head_dim=2,
        num_heads=4,
        n_groups=groups,
        chunk_size=4,
        num_hidden_layers=1,
        layer_norm_epsilon=1e-5,
    )
    module = mamba2.Mamba2Mixer(config, layer_idx=0).double().eval()

    def run(weights, inputs, state):
        cache = _Cache(state["conv"], state["ssm"])
        outputs = torch.func.functional_call(module, weights, (inputs, cache))
        return outputs, {"conv": cache.conv, "ssm": cache.recurrent}

    return record(
        f"{version('transformers')}: Mamba2Mixer, n_groups={groups}",
        run,
        draw_weights(module, 2),
        normal(2, 11, 4),
        warm(3, conv=(2, 8 + 6 * groups, 3), ssm=(2, 4, 2, 3)),
    )


def _gemma(width: int, units: int, blocks: int):
    path = f"{MODELS}/recurrent_gemma/modeling_recurrent_gemma.py"
    config = RecurrentGemmaConfig(
        hidden_size=width,
        lru_width=units,
        num_attention_heads=blocks,
        conv1d_width=4,
        hidden_activation="gelu",
        num_hidden_layers=1,
    )
    return in_float64("transformers", path), config


def _rg_lru(started: bool):
    gemma, config = _gemma(6, 6, 2)
    module = gemma.RecurrentGemmaRglru(config).double()
    # Position 0 starts a document, whatever the state.
    positions = torch.arange(9)[None].expand(2, -1) + (5 if started else 0)

    def run(weights, inputs, state):
        module.recurrent_states = state.get("hidden")
        outputs = torch.func.functional_call(module, weights, (inputs, positions))
        return outputs, {"hidden": module.recurrent_states}

    state = {**draw(5, hidden=(2, 6)), "started": np.array([1, 1])} if started else None
    return record(
        f"{version('transformers')}: RecurrentGemmaRglru",
        run,
        draw_weights(module, 4),
        normal(2, 9, 6),
        state,
    )


def _recurrent_block():
    gemma, config = _gemma(5, 6, 3)
    module = gemma.RecurrentGemmaRecurrentBlock(config, 0).double()
    positions = torch.arange(9)[None].expand(2, -1)

    def run(weights, inputs, state):
        module.conv1d_state = None
        outputs, _ = torch.func.functional_call(module, weights, (inputs, positions, None))
        return outputs, {"conv": module.conv1d_state, "hidden": module.rg_lru.recurrent_states}

    source = f"{version('transformers')}: RecurrentGemmaRecurrentBlock, exact gelu"
    return record(source, run, draw_weights(module, 6), normal(2, 9, 5))
