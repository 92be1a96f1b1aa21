"""flash-linear-attention: the mixing of GLA, RetNet, linear attention, the delta rules, RWKV-7.

Its references for the recurrences are taken (its layers need Triton); what is around them is put
together here from PyTorch's functions, as the papers' layers have it.
"""

import torch
from torch.nn import functional as F
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from tests.golden.peers.recording import draw, in_float64, normal, record, version, warm

B, T, D, H, K, V = 2, 11, 3, 2, 4, 3


def vectors():
    yield "gated-linear-attention", _gla()
    yield "retention", _retention()
    yield "linear-attention", _linear_attention()
    yield "fast-weights-sum", _fast_weights_sum()
    yield "fast-weights-delta", _fast_weights_delta()
    yield "delta-net", _delta_net(gated=False)
    yield "gated-delta-net", _delta_net(gated=True)
    yield "delta-product", _delta_product(2, gated=False)
    yield "gated-delta-product", _delta_product(3, gated=True)
    yield "kimi-delta", _kimi_delta(channel_gates=False)
    yield "gated-delta-net-2", _kimi_delta(channel_gates=True)
    yield "rwkv7", _rwkv7(None)
    yield "rwkv7-later", _rwkv7("later")
    yield "rwkv7-mlp", _rwkv7_mlp()
    yield "log-linear-mamba2", _log_linear_mamba2()
    yield "log-linear-delta-net", _log_linear_delta_net()


def _naive(name: str, **replaced: str):
    return in_float64("fla-core", f"fla/ops/{name}/naive.py", **replaced)


def _source(function: str) -> str:
    return f"{version('fla-core')}: {function}"


def _heads(x, weight):
    """`(B, T, H, n)` from inputs and a weight `(H n, D)`."""
    return F.linear(x, weight).unflatten(-1, (H, -1))


def _rms_norm(x, scale):
    return F.rms_norm(x, (x.shape[-1],), scale, 1e-5)


def _projections(**more):
    return {
        "q": (H * K, D), "k": (H * K, D), "v": (H * V, D), "o": (6, H * V), **more
    }  # fmt: skip


def _gla():
    rule = _naive("gla").naive_recurrent_gla

    def run(w, x, state):
        q, k, v = (_heads(x, w[name]) for name in "qkv")
        gate = F.linear(F.linear(x, w["gk_low"]), w["gk"], w["gk_bias"])
        gate = (F.logsigmoid(gate) / 16).unflatten(-1, (H, K))
        o, memory = rule(q, k, v, gate, state["memory"], True)
        o = _rms_norm(o, w["norm"]).flatten(2) * F.silu(F.linear(x, w["g"]))
        return F.linear(o, w["o"]), {"memory": memory}

    shapes = _projections(gk_low=(3, D), gk=(H * K, 3), gk_bias=(H * K,), g=(H * V, D), norm=(V,))
    return record(
        _source("naive_recurrent_gla"),
        run,
        draw(1, **shapes),
        normal(B, T, D),
        warm(2, memory=(B, H, K, V)),
    )


def _retention():
    simple_gla = _naive("simple_gla").naive_recurrent_simple_gla
    naive_retention = _naive("retention").naive_retention
    started = torch.tensor([[0], [4]])  # steps before the first one
    gamma = 1 - 2.0 ** (-5 - torch.arange(H, dtype=torch.float64))

    def run(w, x, state):
        q, k, v = (_heads(x, w[name]) for name in "qkv")
        steps = started + torch.arange(T)
        rates = 1e4 ** -(torch.arange(0, K, 2, dtype=torch.float64) / K)
        angles = steps[..., None] * torch.cat([rates, rates])
        q, k = apply_rotary_pos_emb(q, k, angles.cos(), angles.sin(), unsqueeze_dim=2)
        # The scores' sum is what values of 1 give.
        values = torch.cat([v, torch.ones_like(v[..., :1])], dim=-1)
        kept = gamma.log().expand(B, T, H)
        start = torch.cat([state["memory"], state["normaliser"][..., None]], dim=-1)
        o, memory = simple_gla(q, k, values, kept, initial_state=start)
        if not state["memory"][0].any():  # then both references have the first sequence
            by_head = (x[:1].transpose(1, 2) for x in (q, k, values))
            same = naive_retention(*by_head).transpose(1, 2)
            torch.testing.assert_close(o[:1], same, rtol=1e-9, atol=1e-9)
        # "Retention score normalization", section 2.2: the decays' sum, then the scores'.
        powers = torch.arange(int(steps.max()) + 1)
        totals = (gamma[:, None] ** powers).cumsum(-1).T[steps]  # (B, T, H)
        o = o / totals.sqrt()[..., None]
        o = o[..., :-1] / torch.clamp(o[..., -1:].abs(), min=1)
        o = F.layer_norm(o, (V,), eps=1e-5).flatten(2) * F.silu(F.linear(x, w["g"]))
        return F.linear(o, w["o"]), {"memory": memory[..., :-1], "normaliser": memory[..., -1]}

    return record(
        f"{_source('naive_recurrent_simple_gla, naive_retention')}; {version('transformers')}: "
        "llama's apply_rotary_pos_emb",
        run,
        draw(3, **_projections(g=(H * V, D))),
        normal(B, T, D),
        {
            **warm(4, memory=(B, H, K, V), normaliser=(B, H, K)),
            "position": started[:, 0].numpy(),
        },
    )


def _linear_attention():
    rule = _naive("linear_attn").naive_recurrent_linear_attn

    def run(w, x, state):
        q, k, v = (_heads(x, w[name]) for name in "qkv")
        start = state["memory"], state["normaliser"][:, None]
        o, (memory, normaliser) = rule(
            F.elu(q) + 1, F.elu(k) + 1, v, 1.0, start, output_final_state=True, normalize=True
        )
        return F.linear(o.flatten(2), w["o"]), {"memory": memory, "normaliser": normaliser[:, 0]}

    return record(
        _source("naive_recurrent_linear_attn, normalize=True (epsilon 1e-10)"),
        run,
        draw(5, **_projections()),
        normal(B, T, D),
        _positive_sums(6, K),
    )


def _positive_sums(seed: int, keys: int):
    """A memory, and a sum of positive keys."""
    state = warm(seed, memory=(B, H, keys, V), normaliser=(B, H, keys))
    state["normaliser"] = abs(state["normaliser"])
    return state


def _fast_weights_sum():
    rule = _naive("linear_attn").naive_recurrent_linear_attn

    def run(w, x, state):
        q, k, v = (_heads(x, w[name]) for name in "qkv")
        values = torch.cat([v, torch.ones_like(v[..., :1])], dim=-1)
        start = torch.cat([state["memory"], state["normaliser"][..., None]], dim=-1)
        o, memory = rule(F.elu(q) + 1, F.elu(k) + 1, values, 1.0, start, output_final_state=True)
        o = o[..., :-1] / (o[..., -1:] + 1e-6)  # eq. 19
        final = {"memory": memory[..., :-1], "normaliser": memory[..., -1]}
        return F.linear(o.flatten(2), w["o"]), final

    return record(
        _source("naive_recurrent_linear_attn"),
        run,
        draw(7, **_projections()),
        normal(B, T, D),
        _positive_sums(8, K),
    )


def _dpfp(x, nu: int):
    """Eq. 37 of Schlag et al.: `phi_{i nu} = r_i r_{i + nu}`, written as their listing has it."""
    x = torch.cat([torch.relu(x), torch.relu(-x)], dim=-1)
    rolled = torch.cat([x.roll(shifts=j, dims=-1) for j in range(1, nu + 1)], dim=-1)
    return torch.cat([x] * nu, dim=-1) * rolled


def _fast_weights_delta(nu: int = 2):
    rule = _naive("delta_rule").delta_rule_recurrence
    size = 2 * K * nu

    def run(w, x, state):
        q, k = (_dpfp(_heads(x, w[name]), nu) for name in "qk")
        q, k = (phi / (phi.sum(-1, keepdim=True) + 1e-6) for phi in (q, k))  # eq. 29
        beta = torch.sigmoid(F.linear(x, w["beta"], w["beta_bias"]))
        # The reference divides queries by the root of their size.
        by_head = (x.transpose(1, 2) for x in (q * size**0.5, k, _heads(x, w["v"]), beta))
        o, memory = rule(*by_head, initial_state=state["memory"])
        return F.linear(o.transpose(1, 2).flatten(2), w["o"]), {"memory": memory}

    return record(
        f"{_source('delta_rule_recurrence')}; DPFP as the paper lists it",
        run,
        draw(9, **_projections(beta=(H, D), beta_bias=(H,))),
        normal(B, T, D),
        warm(10, memory=(B, H, size, V)),
    )


def _unit(x):
    """As `fla.modules.l2norm`."""
    return x * torch.rsqrt((x * x).sum(-1, keepdim=True) + 1e-6)


def _convolved(x, state, weight):
    """A causal depthwise convolution of `(B, T, C)`, and its last inputs, `(B, C, W - 1)`."""
    seen = torch.cat([state, x.transpose(1, 2)], dim=-1)
    y = F.conv1d(seen, weight[:, None], groups=len(weight)).transpose(1, 2)
    return y, seen[..., 1 - weight.shape[1] :]


def _delta_net(gated: bool, width: int = 4):
    """DeltaNet with a convolution and beta up to 2; gated, without and up to 1."""
    rule = _naive("delta_rule").delta_rule_recurrence
    gated_rule = _naive("gated_delta_rule").naive_recurrent_gated_delta_rule

    def run(w, x, state):
        qkv = torch.cat([F.linear(x, w[name]) for name in "qkv"], dim=-1)
        final = {}
        if not gated:
            qkv, final["conv"] = _convolved(qkv, state["conv"], w["conv"])
        parts = F.silu(qkv).split([H * K, H * K, H * V], dim=-1)
        q, k, v = (part.unflatten(-1, (H, -1)) for part in parts)
        beta = torch.sigmoid(F.linear(x, w["beta"]))
        if gated:
            g = -w["A_log"].exp() * F.softplus(F.linear(x, w["a"]) + w["dt_bias"])
            start = state["memory"]
            o, final["memory"] = gated_rule(_unit(q), _unit(k), v, beta, g, None, start, True)
            o = _rms_norm(o, w["norm"]).flatten(2) * F.silu(F.linear(x, w["g"]))
        else:
            by_head = (x.transpose(1, 2) for x in (_unit(q), _unit(k), v, 2 * beta))
            o, final["memory"] = rule(*by_head, initial_state=state["memory"])
            o = _rms_norm(o.transpose(1, 2), w["norm"]).flatten(2)
        return F.linear(o, w["o"]), final

    channels = H * (2 * K + V)
    shapes = _projections(beta=(H, D), norm=(V,))
    states = {"memory": (B, H, K, V)}
    if gated:
        shapes |= {"a": (H, D), "A_log": (H,), "dt_bias": (H,), "g": (H * V, D)}
    else:
        shapes["conv"] = (channels, width)
        states["conv"] = (B, channels, width - 1)
    return record(
        _source("naive_recurrent_gated_delta_rule" if gated else "delta_rule_recurrence"),
        run,
        draw(11, **shapes),
        normal(B, T, D),
        warm(12, **states),
    )


def _delta_product(n: int, gated: bool, width: int = 4):
    """DeltaProduct with a convolution and beta up to 2; gated, without and up to 1."""
    rule = _naive("gated_delta_product").naive_recurrent_gated_delta_product

    def run(w, x, state):
        qkv = torch.cat([F.linear(x, w[name]) for name in "qkv"], dim=-1)
        final, g = {}, None
        if not gated:
            qkv, final["conv"] = _convolved(qkv, state["conv"], w["conv"])
        q, k, v = F.silu(qkv).split([H * K, n * H * K, n * H * V], dim=-1)
        q = q.unflatten(-1, (H, K))
        k, v = (part.unflatten(-1, (n, H, -1)).flatten(1, 2) for part in (k, v))
        beta = torch.sigmoid(F.linear(x, w["beta"])).unflatten(-1, (n, H)).flatten(1, 2)
        if gated:
            g = -w["A_log"].exp() * F.softplus(F.linear(x, w["a"]) + w["dt_bias"])
        o, final["memory"] = rule(
            _unit(q), _unit(k), v, g, beta if gated else 2 * beta, K**-0.5,
            initial_state=state["memory"], num_householder=n,
        )  # fmt: skip
        o = _rms_norm(o, w["norm"]).flatten(2)
        return F.linear(o * F.silu(F.linear(x, w["g"])) if gated else o, w["o"]), final

    channels = H * (K + n * (K + V))
    shapes = _projections(k=(n * H * K, D), v=(n * H * V, D), beta=(n * H, D), norm=(V,))
    states = {"memory": (B, H, K, V)}
    if gated:
        shapes |= {"a": (H, D), "A_log": (H,), "dt_bias": (H,), "g": (H * V, D)}
    else:
        shapes["conv"] = (channels, width)
        states["conv"] = (B, channels, width - 1)
    return record(
        _source("naive_recurrent_gated_delta_product"),
        run,
        draw(13, **shapes),
        normal(B, T, D),
        warm(14, **states),
    )


def _kimi_delta(channel_gates: bool, width: int = 4):
    """Kimi delta attention, or Gated DeltaNet-2 with gates to erase and to write by channel."""
    kda = _naive("kda", **{"x.to(torch.float)": "x.to(torch.float64)"}).naive_recurrent_kda
    gdn2 = _naive("gdn2").naive_recurrent_gdn2
    rank = V

    def run(w, x, state):
        qkv = torch.cat([F.linear(x, w[name]) for name in "qkv"], dim=-1)
        qkv, conv = _convolved(qkv, state["conv"], w["conv"])
        parts = F.silu(qkv).split([H * K, H * K, H * V], dim=-1)
        q, k, v = (part.unflatten(-1, (H, -1)) for part in parts)
        g = F.linear(F.linear(x, w["f_low"]), w["f"]) + w["dt_bias"]
        g = -w["A_log"].exp()[:, None] * F.softplus(g.unflatten(-1, (H, K)))
        q, k, start = _unit(q), _unit(k), state["memory"]
        if channel_gates:
            b, u = (torch.sigmoid(_heads(x, w[name])) for name in "bw")
            o, memory = gdn2(q, k, v, g, b, u, None, start, True)
        else:
            beta = torch.sigmoid(F.linear(x, w["b"]))
            o, memory = kda(q, k, v, g, beta, None, start, True)
        gate = F.linear(F.linear(x, w["g_low"]), w["g"])
        o = _rms_norm(o, w["norm"]).flatten(2) * torch.sigmoid(gate)
        return F.linear(o, w["o"]), {"memory": memory, "conv": conv}

    channels = H * (2 * K + V)
    shapes = _projections(
        f_low=(rank, D), f=(H * K, rank), A_log=(H,), dt_bias=(H * K,), g_low=(rank, D),
        g=(H * V, rank), norm=(V,), conv=(channels, width),
        **({"b": (H * K, D), "w": (H * V, D)} if channel_gates else {"b": (H, D)}),
    )  # fmt: skip
    return record(
        _source("naive_recurrent_gdn2" if channel_gates else "naive_recurrent_kda"),
        run,
        draw(15, **shapes),
        normal(B, T, D),
        warm(16, memory=(B, H, K, V), conv=(B, channels, width - 1)),
    )


def _shifted(x, state):
    """The inputs of the step before, and the last ones."""
    return torch.cat([state, x[:, :-1]], dim=1), x[:, -1:]


def _rwkv7(residual: str | None):
    """RWKV-7's time mixing, alone or with the first layer's values beside the inputs."""
    rule = _naive("generalized_delta_rule/dplr").dplr_recurrence
    ranks, size = (3, 2, 4, 5), V

    def low(w, name, x, activate=None, bias=True):
        x = F.linear(x, w[f"{name}1"])
        x = F.linear(x if activate is None else activate(x), w[f"{name}2"])
        return x + w[f"{name}0"] if bias else x

    def run(w, inputs, state):
        x, first = inputs[..., :D], inputs[..., D:]
        before, shift = _shifted(x, state["shift"])
        xr, xw, xk, xv, xa, xg = (torch.lerp(x, before, w[f"x_{name}"]) for name in "rwkvag")
        r, k, v = F.linear(xr, w["r"]), F.linear(xk, w["k"]), F.linear(xv, w["v"])
        if residual == "later":
            v = torch.lerp(v, first, low(w, "v", xv).sigmoid())
        decay = -(torch.tensor(-0.5).double().exp()) * low(w, "w", xw, torch.tanh).sigmoid()
        a = low(w, "a", xa).sigmoid()
        gate = low(w, "g", xg, torch.sigmoid, bias=False)
        kk = F.normalize((k * w["k_k"]).unflatten(-1, (H, size)), dim=-1)
        k = k * torch.lerp(torch.ones_like(a), a, w["k_a"])
        r, k, u, decay, a = (y.unflatten(-1, (H, size)) for y in (r, k, v, decay, a))
        # The reference divides queries by the root of their size.
        by_head = (y.transpose(1, 2) for y in (r * size**0.5, k, u, -kk, kk * a, decay))
        o, memory = rule(*by_head, initial_state=state["memory"])
        o = o.transpose(1, 2).flatten(0, 1).flatten(1)
        o = F.group_norm(o, H, w["ln_weight"], w["ln_bias"], 1e-3).unflatten(0, (-1, T))
        bonus = (r * k * w["r_k"].unflatten(-1, (H, size))).sum(-1, keepdim=True) * u
        y = F.linear((o + bonus.flatten(2)) * gate, w["o"])
        return y, {"memory": memory, "shift": shift}

    joined = H * size
    shapes = {"r": (joined, D), "k": (joined, D), "v": (joined, D), "o": (6, joined)}
    shapes |= {f"x_{name}": (D,) for name in "rwkvag"}
    for name, rank in zip("wavg", ranks, strict=True):
        if name != "v" or residual == "later":
            shapes |= {f"{name}1": (rank, D), f"{name}2": (joined, rank)}
            shapes |= {} if name == "g" else {f"{name}0": (joined,)}
    vectors = ("k_k", "k_a", "r_k", "ln_weight", "ln_bias")
    return record(
        _source("dplr_recurrence"),
        run,
        draw(17, **shapes, **dict.fromkeys(vectors, (joined,))),
        normal(B, T, D + (joined if residual == "later" else 0)),
        warm(18, memory=(B, H, size, size), shift=(B, 1, D)),
    )


def _rwkv7_mlp():
    def run(w, x, state):
        before, shift = _shifted(x, state["shift"])
        k = F.relu(F.linear(torch.lerp(x, before, w["x_k"]), w["key"])) ** 2
        return F.linear(k, w["value"]), {"shift": shift}

    return record(
        f"{version('torch')}: lerp, relu and linear, as the authors' RWKV_CMix_x070 has them",
        run,
        draw(19, x_k=(D,), key=(7, D), value=(6, 7)),
        normal(B, T, D),
        warm(20, shift=(B, 1, D)),
    )


def _level_weights(x, w):
    """As `fla.layers.log_linear_mamba2`, `(B, T, heads, levels)`."""
    heads, levels = w["L"].shape
    return F.softplus(F.linear(x, w["dl"]).unflatten(-1, (heads, levels)) * w["L"])


def _log_linear_mamba2(heads: int = 4, groups: int = 2, states: int = 3, size: int = 2):
    """The paper's Mamba-2, of width 4, without a state; 11 steps are 5 levels."""
    attention = _naive("log_linear_attn").naive_log_linear_attn
    inner, channels = heads * size, heads * size + 2 * groups * states

    def run(w, x, state):
        z, xbc, dt = F.linear(x, w["in_proj"]).split([inner, channels, heads], dim=-1)
        xbc, _ = _convolved(xbc, torch.zeros(B, channels, 3, dtype=x.dtype), w["conv"])
        parts = F.silu(xbc + w["conv_bias"]).split([inner, groups * states, groups * states], -1)
        values = parts[0].unflatten(-1, (heads, size))
        b, c = (part.unflatten(-1, (groups, states)) for part in parts[1:])
        dt = F.softplus(dt + w["dt_bias"])
        decay, weights = -w["A_log"].exp() * dt, _level_weights(x, w)
        y = attention(c, b, values * dt[..., None], decay, weights)
        y = (y + values * w["D"][:, None]).flatten(2) * F.silu(z)
        y = F.rms_norm(y.unflatten(-1, (groups, -1)), (inner // groups,), None, 1e-5).flatten(2)
        return F.linear(y * w["norm"], w["out_proj"]), {}

    shapes = {
        "in_proj": (inner + channels + heads, 4), "conv": (channels, 4), "conv_bias": (channels,),
        "dt_bias": (heads,), "A_log": (heads,), "D": (heads,), "norm": (inner,),
        "out_proj": (4, inner), "dl": (5 * heads, 4), "L": (heads, 5),
    }  # fmt: skip
    return record(_source("naive_log_linear_attn"), run, draw(17, **shapes), normal(B, T, 4))


def _log_linear_delta_net(width: int = 4):
    """The paper's Gated DeltaNet, linear in the values: one run of the rule for those of a step."""
    rule = _naive("gated_delta_rule").naive_recurrent_gated_delta_rule
    mask = _naive("log_linear_attn").construct_H_matrix
    channels = H * (2 * K + V)

    def run(w, x, state):
        qkv = torch.cat([F.linear(x, w[name]) for name in "qkv"], dim=-1)
        qkv, _ = _convolved(qkv, torch.zeros(B, channels, width - 1, dtype=x.dtype), w["conv"])
        parts = F.silu(qkv).split([H * K, H * K, H * V], dim=-1)
        q, k, v = (part.unflatten(-1, (H, -1)) for part in parts)
        beta = torch.sigmoid(F.linear(x, w["beta"]))
        g = -w["A_log"].exp() * F.softplus(F.linear(x, w["a"]) + w["dt_bias"])
        weights = _level_weights(x, w).permute(0, 2, 3, 1)
        seen = mask(torch.zeros(B, H, T, dtype=x.dtype), weights)  # (B, H, T, T)
        o = torch.zeros_like(v)
        for s in range(T):
            alone = v * (torch.arange(T) == s).to(v)[:, None, None]
            of_s, _ = rule(_unit(q), _unit(k), alone, beta, g, None, None, True)
            o = o + seen[..., s].transpose(1, 2)[..., None] * of_s
        o = _rms_norm(o, w["norm"]).flatten(2) * F.silu(F.linear(x, w["g"]))
        return F.linear(o, w["o"]), {}

    shapes = _projections(
        beta=(H, D), norm=(V,), a=(H, D), A_log=(H,), dt_bias=(H,), g=(H * V, D),
        conv=(channels, width), dl=(5 * H, D), L=(H, 5),
    )  # fmt: skip
    return record(
        _source("naive_recurrent_gated_delta_rule, construct_H_matrix"),
        run,
        draw(18, **shapes),
        normal(B, T, D),
    )
