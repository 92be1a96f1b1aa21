"""PyTorch's own LSTM, and softmax attention by its scaled dot product."""

import numpy as np
import torch
from torch.nn import functional as F
from transformers.models.llama import modeling_llama as llama

from tests.golden.peers.recording import draw, normal, record, version, warm

# Steps seen before the first one, of the attention's cache.
CACHED, WINDOW = 3, 6


def vectors():
    yield "lstm", _lstm()
    yield "softmax", _attention(groups=2, rotary=False, dim=4, width=8)
    yield "rotary", _attention(groups=1, rotary=True, dim=4, width=8)


def _lstm():
    module = torch.nn.LSTM(3, 5, batch_first=True, dtype=torch.float64)

    def run(weights, inputs, state):
        # The peer has two biases, which it adds.
        values = {
            "weight_ih_l0": weights["weight_ih"],
            "weight_hh_l0": weights["weight_hh"],
            "bias_ih_l0": 0.25 * weights["bias"],
            "bias_hh_l0": 0.75 * weights["bias"],
        }
        start = state["h"][None], state["c"][None]
        outputs, (h, c) = torch.func.functional_call(module, values, (inputs, start))
        return outputs, {"h": h[0], "c": c[0]}

    return record(
        f"{version('torch')}: nn.LSTM",
        run,
        draw(1, weight_ih=(20, 3), weight_hh=(20, 5), bias=(20,)),
        normal(2, 9, 3),
        warm(2, h=(2, 5), c=(2, 5)),
    )


def _attention(groups: int, rotary: bool, dim: int, width: int):
    """Two heads of queries, `groups` of keys and values; a window, and a cache of `CACHED` steps.

    The second sequence has the cache; the first starts with an empty one, which the mask tells.
    """
    heads, length, total = 2, 11, 11 + CACHED
    position = torch.arange(total) - CACHED
    ahead = position[CACHED:, None] - position
    seen = (ahead >= 0) & (ahead < WINDOW)
    started = torch.tensor([False, True])[:, None, None] | (position >= 0)
    mask = (seen & started)[:, None]  # (B, 1, T, total)

    def run(weights, inputs, state):
        def heads_of(name):
            return F.linear(inputs, weights[name]).unflatten(-1, (-1, dim)).transpose(1, 2)

        q, k, v = heads_of("q"), heads_of("k"), heads_of("v")
        if rotary:
            rope = llama.LlamaRotaryEmbedding(
                llama.LlamaConfig(hidden_size=2 * dim, num_attention_heads=2, head_dim=dim)
            )
            rope.inv_freq = 1e4 ** -(torch.arange(0, dim, 2, dtype=torch.float64) / dim)
            # Positions go on in the second sequence. The peer's angles are float32.
            steps = torch.arange(length)[None] + torch.tensor([[0], [CACHED]])
            angles = steps[..., None] * torch.cat([rope.inv_freq, rope.inv_freq])
            q, k = llama.apply_rotary_pos_emb(q, k, angles.cos(), angles.sin())
        k, v = torch.cat([state["keys"], k], dim=2), torch.cat([state["values"], v], dim=2)
        read = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=groups < heads)
        outputs = F.linear(read.transpose(1, 2).flatten(2), weights["o"])
        return outputs, {"keys": k[:, :, -WINDOW:], "values": v[:, :, -WINDOW:]}

    name = "nn.functional.scaled_dot_product_attention"
    rope = f", {version('transformers')}: llama's apply_rotary_pos_emb" if rotary else ""
    values = width // heads
    return record(
        f"{version('torch')}: {name}{rope}",
        run,
        draw(
            3,
            q=(heads * dim, 3),
            k=(groups * dim, 3),
            v=(groups * values, 3),
            o=(width, heads * values),
        ),
        normal(2, length, 3),
        {
            **warm(4, keys=(2, groups, CACHED, dim), values=(2, groups, CACHED, values)),
            "length": np.array([0, CACHED]),
        },
    )
