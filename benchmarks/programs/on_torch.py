"""Programs on torch, eager: Keras's torch backend, and torch's own modules."""

import keras
import numpy as np
import torch

from benchmarks.models import Model, draw
from benchmarks.programs.program import SMALL, Program


def make(model: Model, mode: str, compiler: str, inputs: np.ndarray, dtype: str) -> Program:
    """See `benchmarks.programs.make_program`."""
    parameters = [_parameter(variable) for variable in model.variables]
    device = parameters[0].device if parameters else keras.ops.zeros(1).device
    x = torch.tensor(inputs, device=device, dtype=getattr(torch, dtype))
    if mode == "forward":
        return Program(torch.no_grad()(lambda: model.call(x)))
    if mode == "step":
        step = model.step
        assert step is not None and model.initial_state is not None
        state = model.initial_state(len(inputs))
        return Program(torch.no_grad()(lambda: step(x, state)))
    if mode == "train":
        return _train_step(model, parameters, x)
    upstream = torch.tensor(draw(*inputs.shape[:2], model.units, seed=1), device=device).to(x.dtype)
    x.requires_grad_()

    def gradients():
        y = model.call(x)
        found = torch.autograd.grad(y, [x, *parameters], upstream, allow_unused=True)
        return [y.detach(), *(gradient for gradient in found if gradient is not None)]

    return Program(gradients)


def _parameter(variable) -> torch.Tensor:
    return variable.value if isinstance(variable, keras.Variable) else variable


def _train_step(model: Model, parameters: list[torch.Tensor], x: torch.Tensor) -> Program:
    if not parameters:
        raise NotImplementedError("nothing to train")
    optimizer = torch.optim.Adam(parameters, lr=SMALL)

    def train_step():
        optimizer.zero_grad()
        loss = (model.call(x).float() ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return Program(train_step)
