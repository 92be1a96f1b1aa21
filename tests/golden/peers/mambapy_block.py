"""mambapy: Mamba's block, step by step from a state."""

import torch
from mambapy.mamba import MambaConfig

from tests.golden.peers.recording import draw_weights, in_float64, normal, record, version, warm


def vectors():
    mamba = in_float64("mambapy", "mambapy/mamba.py")
    config = MambaConfig(d_model=4, n_layers=1, d_state=3, d_conv=4, expand_factor=2, dt_rank=2)
    module = mamba.MambaBlock(config).double()

    class Steps(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.block = module

        def forward(self, inputs, h, window):
            outputs = []
            for x in inputs.unbind(1):
                y, (h, window) = self.block.step(x, (h, window))
                outputs.append(y)
            return torch.stack(outputs, dim=1), h, window

    steps = Steps()

    def run(weights, inputs, state):
        named = {f"block.{name}": x for name, x in weights.items()}
        args = (inputs, state["ssm"], state["conv"])
        outputs, h, window = torch.func.functional_call(steps, named, args)
        return outputs, {"ssm": h, "conv": window}

    yield (
        "mamba-steps",
        record(
            f"{version('mambapy')}: MambaBlock.step",
            run,
            draw_weights(module, 1),
            normal(2, 9, 4),
            warm(2, ssm=(2, 8, 3), conv=(2, 8, 3)),
        ),
    )
