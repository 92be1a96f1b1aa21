"""xlstm, the authors' package: the layers of mLSTM and sLSTM."""

from functools import partial

import torch
import xlstm.blocks.slstm.src.vanilla.slstm as pointwise
from xlstm import mLSTMLayer, mLSTMLayerConfig, sLSTMLayer, sLSTMLayerConfig
from xlstm.blocks.mlstm.backends import recurrent_step_stabilized_simple

from tests.golden.peers.recording import draw, draw_weights, normal, record, version, warm

# Names of the norms' scales, which the package keeps as their differences from 1.
_SCALES = ("mlstm_cell.outnorm.weight", "group_norm.weight")


def vectors():
    yield "mlstm", _mlstm()
    yield "slstm", _slstm(kernel_size=3, start=False, exponential=False)
    yield "slstm-warm", _slstm(kernel_size=3, start=True, exponential=False)
    yield "slstm-exponential", _slstm(kernel_size=0, start=True, exponential=True)


def _as_kept(weights):
    return {name: x - 1 if name in _SCALES else x for name, x in weights.items()}


class _Steps(torch.nn.Module):
    """The mLSTM layer step by step, since only so it takes and gives a state."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, inputs, c, n, m, window):
        # The package's window has one more step, which it drops before it looks.
        outputs, conv = [], (torch.nn.functional.pad(window, (0, 0, 1, 0)),)
        mlstm = c, n[..., None], m[..., None, None]
        for x in inputs.split(1, dim=1):
            # The package writes into the window that it is given.
            conv = tuple(x.clone() for x in conv)
            y, state = self.layer.step(x, mlstm, conv)
            mlstm, conv = state["mlstm_state"], state["conv_state"]
            outputs.append(y)
        c, n, m = mlstm
        return torch.cat(outputs, dim=1), c, n[..., 0], m[..., 0, 0], conv[0][:, 1:]


def _mlstm():
    config = mLSTMLayerConfig(
        conv1d_kernel_size=3,
        qkv_proj_blocksize=4,
        num_heads=2,
        embedding_dim=4,
        context_length=16,
        round_proj_up_to_multiple_of=8,
    )
    steps = _Steps(mLSTMLayer(config).double())
    # The package adds 1e-6 to the divisor of eq. 21, in units of exp(m), which is no function of
    # the inputs alone: another m for the same memory gives another output.
    steps.layer.mlstm_cell.backend_fn_step = partial(recurrent_step_stabilized_simple, eps=0.0)

    def run(weights, inputs, state):
        named = {f"layer.{name}": x for name, x in _as_kept(weights).items()}
        args = (inputs, state["c"], state["n"], state["m"], state["window"])
        outputs, c, n, m, window = torch.func.functional_call(steps, named, args)
        return outputs, {"c": c, "n": n, "m": m, "window": window}

    inner = config._inner_embedding_dim
    return record(
        f"{version('xlstm')}: mLSTMLayer.step, eps=0 in eq. 21",
        run,
        draw_weights(steps.layer, 1),
        normal(2, 9, 4),
        warm(
            2,
            c=(2, 2, inner // 2, inner // 2),
            n=(2, 2, inner // 2),
            m=(2, 2),
            window=(2, 2, inner),
        ),
    )


def _slstm(kernel_size: int, start: bool, exponential: bool):
    config = sLSTMLayerConfig(
        embedding_dim=6, num_heads=2, conv1d_kernel_size=kernel_size, backend="vanilla"
    )
    module = sLSTMLayer(config).double()
    log_sigmoid = pointwise.logsigmoid

    def run(weights, inputs, state):
        states = torch.stack([state[name] for name in "hcnm"]) if start else None
        window = state["window"] if start and kernel_size else None
        try:
            if exponential:
                pointwise.logsigmoid = lambda x: x
            outputs, final = torch.func.functional_call(
                module, _as_kept(weights), (inputs, window, states), {"return_last_state": True}
            )
        finally:
            pointwise.logsigmoid = log_sigmoid
        final = dict(zip("hcnm", final["slstm_state"], strict=True)), final["conv_state"]
        return outputs, final[0] | ({"window": final[1]} if kernel_size else {})

    state = None
    if start:
        state = draw(3, h=(2, 6), c=(2, 6), n=(2, 6), m=(2, 6))
        state["n"] = abs(state["n"]) + 1
        if kernel_size:
            state |= draw(4, window=(2, kernel_size - 1, 6))
    gate = ", the forget gate's log sigmoid replaced by the identity (eq. 13)"
    return record(
        f"{version('xlstm')}: sLSTMLayer{gate if exponential else ''}",
        run,
        draw_weights(module, 5),
        normal(2, 9, 6),
        state,
    )
