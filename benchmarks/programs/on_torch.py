"""Programs on torch, eager: Keras's torch backend, and torch's own modules on any."""

import keras
import torch

from benchmarks.models import Model
from benchmarks.programs import SMALL, Program, Workload


def make(model: Model, workload: Workload, compiler: str) -> Program:
    """See `benchmarks.programs.make_program`."""
    parameters = [v.value if isinstance(v, keras.Variable) else v for v in model.variables]
    device = model.torch_device or keras.ops.zeros(1).device
    *inputs, upstream = (
        torch.tensor(x, device=device, dtype=getattr(torch, workload.dtype))
        for x in (*workload.inputs, workload.upstream)
    )
    call = model.call
    if workload.mode == "step":
        step, initial_state = model.step, model.initial_state
        assert step is not None and initial_state is not None
        state = initial_state(len(inputs[0]))
        return Program(torch.no_grad()(lambda: step(*inputs, state)))
    assert call is not None
    if workload.mode == "forward":
        return Program(torch.no_grad()(lambda: call(*inputs)))
    if workload.mode == "train":
        optimizer = torch.optim.Adam(parameters, lr=SMALL)

        def train_step() -> list[torch.Tensor]:
            optimizer.zero_grad()
            (call(*inputs).float() ** 2).mean().backward()
            optimizer.step()
            return parameters

        return Program(train_step)
    for x in inputs:
        x.requires_grad_()

    def gradients() -> list[torch.Tensor]:
        y = call(*inputs)
        found = torch.autograd.grad(y, [*inputs, *parameters], upstream, allow_unused=True)
        return [y.detach(), *(gradient for gradient in found if gradient is not None)]

    return Program(gradients)
