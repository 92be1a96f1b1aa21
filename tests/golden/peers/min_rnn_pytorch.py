"""minGRU-pytorch: minGRU and minLSTM, step by step from a state.

Called with one step, its layers compute the recurrence itself. They have no biases: those are the
weights of one more input, which is always 1.
"""

import importlib

import torch

from tests.golden.peers.recording import draw, normal, record, version, warm

_INPUTS, _UNITS = 3, 5
_CELLS = {
    "mingru": ("minGRU", "to_hidden_and_gate", 2),
    "minlstm": ("minLSTM", "to_hidden_and_f_i_gate", 3),
}


def vectors():
    for name in _CELLS:
        yield name, _vector(name, positive=True, learned=False)
        yield f"{name}-real", _vector(name, positive=False, learned=False)
    yield "mingru-learned", _vector("mingru", positive=True, learned=True)


def _vector(name: str, positive: bool, learned: bool):
    layer, projection, parts = _CELLS[name]
    peer = importlib.import_module(f"minGRU_pytorch.{layer}")
    g = peer.g
    factor = _UNITS / (_INPUTS + 1)
    module = getattr(peer, layer)(_INPUTS + 1, factor, proj_out=False).double()

    def steps(weights, inputs, h):
        kernel = torch.cat([weights["kernel"], weights["bias"][:, None]], dim=1)
        inputs = torch.cat([inputs, torch.ones_like(inputs[..., :1])], dim=-1)
        outputs = []
        for x in inputs.split(1, dim=1):
            args = (x, h, True)
            y, h = torch.func.functional_call(module, {f"{projection}.weight": kernel}, args)
            outputs.append(y)
        return torch.cat(outputs, dim=1), h[:, 0]

    def run(weights, inputs, state):
        h = g(weights["initial"]).expand(2, -1) if learned else state["hidden"]
        try:
            if not positive:
                peer.g = lambda x: x
            outputs, hidden = steps(weights, inputs, h[:, None])
        finally:
            peer.g = g
        return outputs, {"hidden": hidden}

    shapes = {"kernel": (parts * _UNITS, _INPUTS), "bias": (parts * _UNITS,)}
    if learned:
        shapes["initial"] = (_UNITS,)
    state = None if learned else warm(2, hidden=(2, _UNITS))
    if positive and state:
        state["hidden"] = abs(state["hidden"])
    note = "" if positive else ", g replaced by the identity (section 3)"
    return record(
        f"{version('minGRU-pytorch')}: {layer}{note}",
        run,
        draw(1, **shapes),
        normal(2, 9, _INPUTS),
        state,
    )
