"""S4D and H3 from their papers' equations, with real matrices and one step after the other.

Nobody publishes the authors' code as a package. So that it shares nothing with a layer that works
with complex numbers, convolutions and closed forms, all is dense here: each complex pole is a real
2 x 2 matrix, a zero-order hold is a matrix exponential, the bilinear transform a linear solve, the
shift a matrix.
"""

import torch
from torch.nn import functional as F

from tests.golden.peers.recording import draw, normal, record, version, warm


def vectors():
    yield "s4d", _s4d()
    yield "h3", _h3()


def _poles(log_decay, frequency):
    """`A = -exp(log_decay) + i frequency` as 2 x 2 matrices, `(..., 2, 2)`."""
    re, im = -log_decay.exp(), frequency
    return torch.stack([torch.stack([re, -im], -1), torch.stack([im, re], -1)], -2)


def _hold(a, step):
    """Zero-order hold of `x' = A x + B u`, B = 1 (S4D, eq. 3): the exponential of `[[A, B], 0]`."""
    system = torch.zeros(*a.shape[:-2], 3, 3, dtype=torch.float64)
    system[..., :2, :2] = a
    system[..., 0, 2] = 1
    exponential = torch.matrix_exp(system * step[..., None, None])
    return exponential[..., :2, :2], exponential[..., :2, 2]


def _bilinear(a, step):
    """`A' = (1 - Delta A / 2)^-1 (1 + Delta A / 2)`, `B' = (1 - Delta A / 2)^-1 Delta`."""
    half = step[..., None, None] * a / 2
    eye = torch.eye(2, dtype=torch.float64)
    one = torch.tensor([1.0, 0.0], dtype=torch.float64)
    write = (step[..., None] * one).expand(half.shape[:-1])
    return torch.linalg.solve(eye - half, eye + half), torch.linalg.solve(eye - half, write)


def _multiply(x, y):
    """Complex product of numbers `(..., 2)`."""
    re = x[..., 0] * y[..., 0] - x[..., 1] * y[..., 1]
    return torch.stack([re, x[..., 0] * y[..., 1] + x[..., 1] * y[..., 0]], -1)


def _pairs(x):
    """Real parts and, behind them, imaginary parts, `(..., N)`, as numbers `(..., N / 2, 2)`."""
    return torch.stack(x.chunk(2, dim=-1), -1)


def _run(u, x, pole, write, read, skip):
    """`y_t = 2 Re(sum_n C_n B'_n x_n) + D u_t`, `x_t = A' x_{t-1} + u_t`: `(B, T, D)`.

    The states `(B, D, N / 2, 2)` are kept without the factor B'.
    """
    outputs = []
    one = torch.tensor([1.0, 0.0], dtype=torch.float64)
    for u_t in u.unbind(1):
        x = (pole @ x[..., None])[..., 0] + u_t[..., None, None] * one
        seen = _multiply(read, _multiply(write, x))[..., 0]
        outputs.append(2 * seen.sum(-1) + skip * u_t)
    return torch.stack(outputs, dim=1), x


def _joined(x):
    return torch.cat([x[..., 0], x[..., 1]], dim=-1)


def _s4d(channels: int = 3, size: int = 4):
    def run(w, u, state):
        a = _poles(w["log_decay"], w["frequency"])
        step = w["log_step"].exp()[:, None]
        pole, write = _hold(a, step.expand(a.shape[:-2]))
        y, x = _run(u, _pairs(state["x"]), pole, write, _pairs(w["C"]), w["D"])
        return F.linear(F.gelu(y), w["W"], w["b"]), {"x": _joined(x)}

    weights = draw(
        1,
        log_step=(channels,),
        log_decay=(channels, size // 2),
        frequency=(channels, size // 2),
        C=(channels, size),
        D=(channels,),
        W=(5, channels),
        b=(5,),
    )
    weights["log_step"] -= 2
    weights["frequency"] *= 6
    return record(
        f"by hand, with {version('torch')}: S4D's equations 1 to 3",
        run,
        weights,
        normal(2, 11, channels),
        warm(2, x=(2, channels, size)),
    )


def _h3(width: int = 3, units: int = 6, size: int = 4, head: int = 2):
    heads = units // head

    def shift(k, before, b, c, d):
        """Section 3.2, eq. 2 and 3: `s_t = A s_{t-1} + B k_t`, A moves every entry on by one."""
        move = torch.diag(torch.ones(size - 1, dtype=torch.float64), -1)
        s = torch.zeros(len(k), units, size, dtype=torch.float64)
        outputs = []
        for k_t in torch.cat([before, k], dim=1).unbind(1):
            s = s @ move.T + k_t[..., None] * b
            outputs.append((s * c).sum(-1) + d * k_t)
        return torch.stack(outputs[before.shape[1] :], dim=1)

    def run(w, u, state):
        q, k, v = F.linear(u, w["qkv"], w["qkv_bias"]).chunk(3, dim=-1)
        keys = torch.cat([state["keys"], k], dim=1)
        k = shift(k, state["keys"], w["shift_B"], w["shift_C"], w["shift_D"])
        q, k, v = (x.unflatten(-1, (heads, head)) for x in (q, k, v))
        a = _poles(w["log_decay"], w["frequency"])
        pole, write = _bilinear(a, w["log_step"].exp()[:, None].expand(a.shape[:-2]))
        write = _multiply(write, _pairs(w["B"]))
        rows, final = [], []
        for i in range(head):
            row = []
            for j in range(head):
                x = _pairs(state["x"][:, head * i + j])
                args = (pole, write, _pairs(w["C"]), w["D"])
                y, x = _run(k[..., i] * v[..., j], x, *args)
                row.append(q[..., i] * y)  # (B, T, H)
                final.append(_joined(x))
            rows.append(torch.stack(row, dim=-1))
        o = sum(rows).flatten(2)
        final = {"keys": keys[:, 1 - size :], "x": torch.stack(final, dim=1)}
        return F.linear(o, w["o"], w["o_bias"]), final

    weights = draw(
        3,
        qkv=(3 * units, width),
        qkv_bias=(3 * units,),
        shift_B=(units, size),
        shift_C=(units, size),
        shift_D=(units,),
        log_step=(heads,),
        log_decay=(heads, size // 2),
        frequency=(heads, size // 2),
        B=(heads, size),
        C=(heads, size),
        D=(heads,),
        o=(units, units),
        o_bias=(units,),
    )
    weights["log_step"] -= 2
    weights["frequency"] *= 6
    return record(
        f"by hand, with {version('torch')}: H3's section 3, bilinear transform",
        run,
        weights,
        normal(2, 11, width),
        warm(4, keys=(2, size - 1, units), x=(2, head * head, heads, size)),
    )
