"""The residual block of a TCN of torch's own modules, and torch's GRU and RNN.

Written from the paper (arXiv:1803.01271, figure 1b): convolutions that are padded at both ends and
cut at the right one, with torch's weight normalisation.
"""

import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import weight_norm

from tests.golden.peers.recording import draw, draw_weights, normal, record, version, warm

WIDTH, UNITS, LENGTH = 3, 5, 11


def vectors():
    yield "dilated-convolution", _convolution(kernel_size=3, dilation=2)
    yield "residual-block", _block(kernel_size=2, dilation=3)
    yield "gru", _recurrent(nn.GRU, gates=3)
    yield "elman-rnn", _recurrent(nn.RNN, gates=1)


class Causal(nn.Module):
    """A convolution of `(B, T, D)`, from the inputs before the first step on."""

    def __init__(self, width: int, kernel_size: int, dilation: int):
        super().__init__()
        self.padding = (kernel_size - 1) * dilation
        convolution = nn.Conv1d(
            width, UNITS, kernel_size, padding=self.padding, dilation=dilation, dtype=torch.float64
        )
        self.conv = weight_norm(convolution)

    def forward(self, x, window):
        seen = torch.cat([window, x], dim=1)
        # Outputs at the window's own steps see zeros before it, those after the end zeros there.
        y = self.conv(seen.transpose(1, 2))[:, :, self.padding : seen.shape[1]]
        return y.transpose(1, 2), seen[:, x.shape[1] :]


class Block(nn.Module):
    def __init__(self, kernel_size: int, dilation: int):
        super().__init__()
        self.first = Causal(WIDTH, kernel_size, dilation)
        self.second = Causal(UNITS, kernel_size, dilation)
        self.residual = nn.Conv1d(WIDTH, UNITS, 1, dtype=torch.float64)

    def forward(self, x, first, second):
        hidden, first = self.first(x, first)
        hidden, second = self.second(hidden.relu(), second)
        residual = self.residual(x.transpose(1, 2)).transpose(1, 2)
        return (residual + hidden.relu()).relu(), first, second


def _short(name: str) -> str:
    """A parameter's name without torch's words for gain and direction."""
    name = name.replace("parametrizations.weight.original0", "gain")
    return name.replace("parametrizations.weight.original1", "direction")


def _of_module(module: nn.Module, what: str, names: tuple[str, ...], shapes):
    full = {_short(name): name for name, _ in module.named_parameters()}
    drawn = {_short(name): value for name, value in draw_weights(module, 1).items()}

    def run(weights, inputs, state):
        values = {full[name]: value for name, value in weights.items()}
        args = (inputs, *(state[name] for name in names))
        outputs, *final = torch.func.functional_call(module, values, args)
        return outputs, dict(zip(names, final, strict=True))

    inputs, state = normal(2, LENGTH, WIDTH), warm(2, **dict(zip(names, shapes, strict=True)))
    return record(f"{version('torch')}: {what}", run, drawn, inputs, state)


def _convolution(kernel_size: int, dilation: int):
    module = Causal(WIDTH, kernel_size, dilation)
    assert parametrize.is_parametrized(module.conv)
    shapes = [(2, module.padding, WIDTH)]
    return _of_module(module, "nn.Conv1d, weight_norm", ("window",), shapes)


def _block(kernel_size: int, dilation: int):
    module = Block(kernel_size, dilation)
    span = (kernel_size - 1) * dilation
    shapes = [(2, span, WIDTH), (2, span, UNITS)]
    what = "two nn.Conv1d, weight_norm, beside one of width 1"
    return _of_module(module, what, ("first", "second"), shapes)


def _recurrent(cls: type[nn.Module], gates: int):
    module = cls(WIDTH, UNITS, batch_first=True, dtype=torch.float64)
    rows = gates * UNITS

    def run(weights, inputs, state):
        # The peer has two biases. A GRU's differ for the new state alone, where the second is
        # multiplied by the reset gate; elsewhere they are added.
        bias = weights["bias"]
        inner = torch.cat([torch.zeros_like(bias)[UNITS:], weights["inner"]]) if gates == 3 else 0
        values = {
            "weight_ih_l0": weights["weight_ih"],
            "weight_hh_l0": weights["weight_hh"],
            "bias_ih_l0": bias,
            "bias_hh_l0": torch.zeros_like(bias) + inner,
        }
        outputs, hidden = torch.func.functional_call(module, values, (inputs, state["h"][None]))
        return outputs, {"h": hidden[0]}

    shapes = {"weight_ih": (rows, WIDTH), "weight_hh": (rows, UNITS), "bias": (rows,)}
    if gates == 3:
        shapes["inner"] = (UNITS,)
    return record(
        f"{version('torch')}: nn.{cls.__name__}",
        run,
        draw(1, **shapes),
        normal(2, 9, WIDTH),
        warm(2, h=(2, UNITS)),
    )
