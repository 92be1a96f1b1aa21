"""flash-linear-attention's references of softmax attention with transitions or forget gates.

They start from nothing and give no cache. What is around them is put together here, as its layers
have it.
"""

import torch
from torch.nn import functional as F

from tests.golden.peers.recording import draw, in_float64, normal, record, version

B, T, D, H, K, V = 2, 11, 3, 2, 4, 3


def vectors():
    yield "path-attention", _path_attention()
    yield "forgetting-attention", _forgetting_attention()


def _heads(x, weight):
    """`(B, T, H, n)` from inputs and a weight `(H n, D)`."""
    return F.linear(x, weight).unflatten(-1, (H, -1))


def _path_attention(width: int = 3):
    attention = in_float64(
        "fla-core",
        "fla/ops/path_attn/naive.py",
        **{
            "x.to(torch.float)": "x.to(torch.float64)",
            "seq_len, seq_len, device=q.device)": "seq_len, seq_len, dtype=q.dtype)",
        },
    ).naive_path_attn

    def run(w, x, state):
        q, k, v = (_heads(x, w[name]) for name in "qkv")
        turns = F.linear(F.linear(x, w["w_low"]), w["w"]).transpose(1, 2)
        turns = F.conv1d(F.pad(turns, (width - 1, 0)), w["conv"][:, None], groups=H * K)
        turns = F.silu(turns).transpose(1, 2).unflatten(-1, (H, K))
        turns = turns * torch.rsqrt((turns * turns).sum(-1, keepdim=True) + 1e-6)
        beta = 2 * torch.sigmoid(F.linear(x, w["beta"], w["beta_bias"]))
        g = F.logsigmoid(F.linear(x, w["g"], w["g_bias"]))
        # The reference scales the gates' sums with the scores.
        o = attention(q, k, v, turns, beta, g * K**0.5, K**-0.5, chunk_size=4)
        return F.linear(o.flatten(2), w["o"]), {}

    shapes = {
        "q": (H * K, D), "k": (H * K, D), "v": (H * V, D), "o": (6, H * V), "w_low": (3, D),
        "w": (H * K, 3), "conv": (H * K, width), "beta": (H, D), "beta_bias": (H,), "g": (H, D),
        "g_bias": (H,),
    }  # fmt: skip
    source = f"{version('fla-core')}: naive_path_attn"
    return record(source, run, draw(31, **shapes), normal(B, T, D))


def _forgetting_attention():
    attention = in_float64("fla-core", "fla/ops/forgetting_attn/naive.py").naive_forgetting_attn

    def run(w, x, state):
        g = F.logsigmoid(F.linear(x, w["g"], w["g_bias"]))
        o = attention(*(_heads(x, w[name]) for name in "qkv"), g, window_size=6)
        return F.linear(o.flatten(2), w["o"]), {}

    shapes = {
        "q": (H * K, D), "k": (H * K, D), "v": (H * V, D), "o": (6, H * V), "g": (H, D),
        "g_bias": (H,),
    }  # fmt: skip
    source = f"{version('fla-core')}: naive_forgetting_attn"
    return record(source, run, draw(32, **shapes), normal(B, T, D))
