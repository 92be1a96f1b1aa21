"""Golden vectors: what a layer of somebody else's makes of given weights, inputs and states."""

import importlib.metadata
import sys
import types
from collections.abc import Callable

import numpy as np
import torch

Arrays = dict[str, np.ndarray]


def draw(seed: int, **shapes: tuple[int, ...]) -> Arrays:
    """Float64 arrays of the given shapes, normal with a standard deviation of a half."""
    rng = np.random.default_rng(seed)
    return {name: 0.5 * rng.standard_normal(shape) for name, shape in shapes.items()}


def draw_weights(module: torch.nn.Module, seed: int) -> Arrays:
    """New values for all parameters of `module`, as by `draw`."""
    return draw(seed, **{name: tuple(p.shape) for name, p in module.named_parameters()})


def warm(seed: int, **shapes: tuple[int, ...]) -> Arrays:
    """States to start from: zeros in the first sequence, a state on its way in the others."""
    states = draw(seed, **shapes)
    for state in states.values():
        state[0] = 0
    return states


def record(
    source: str,
    run: Callable,
    weights: Arrays,
    inputs: np.ndarray,
    state: Arrays | None = None,
    seed: int = 0,
) -> Arrays:
    """Runs `run` in PyTorch and differentiates a random weighted sum of all that it returns.

    Args:
        source: Peer, version, and what of it.
        run: From tensors `(weights, inputs, state)` to the outputs and a dict, the final state.
        weights: Weights by their names.
        inputs: Inputs `(B, T, D)`.
        state: Initial state by name; integers are passed on as they are.
        seed: Of the sum's weights.

    Returns:
        Arrays by the names `source`, `inputs`, `outputs`, `weights/NAME`, `state/NAME` and
        `final/NAME`; `upstream/outputs` and `upstream/final/NAME`, the sum's weights; and
        `gradients/inputs`, `gradients/weights/NAME`, `gradients/state/NAME`, the sum's gradients.
    """
    state = state or {}
    tensors = {name: _leaf(x) for name, x in _named(weights, inputs, state).items()}
    outputs, final = run(_of(tensors, "weights/"), tensors["inputs"], _of(tensors, "state/"))
    results = {"outputs": outputs, **{f"final/{name}": x for name, x in final.items()}}
    upstream = _upstream({name: x.detach().numpy() for name, x in results.items()}, seed)
    total = sum((results[name] * torch.from_numpy(x)).sum() for name, x in upstream.items())
    leaves = {name: x for name, x in tensors.items() if x.requires_grad}
    grads = torch.autograd.grad(total, list(leaves.values()))
    assert all(x.dtype in (torch.float64, torch.int64) for x in results.values()), source
    return pack(
        source,
        weights,
        inputs,
        state,
        {name: x.detach().numpy() for name, x in results.items()},
        upstream,
        {name: x.numpy() for name, x in zip(leaves, grads, strict=True)},
    )


def pack(source, weights, inputs, state, results, upstream, gradients) -> Arrays:
    """The arrays of a vector by name; the arguments by the names that `record` returns."""
    return {
        "source": np.array(source),
        **_named(weights, inputs, state),
        **results,
        **{f"upstream/{name}": x for name, x in upstream.items()},
        **{f"gradients/{name}": x for name, x in gradients.items()},
    }


def _upstream(results: Arrays, seed: int) -> Arrays:
    floating = {name: x.shape for name, x in results.items() if x.dtype.kind == "f"}
    return draw(seed + 1000, **floating)


upstream_of = _upstream


def _named(weights, inputs, state) -> Arrays:
    return {
        **{f"weights/{name}": x for name, x in weights.items()},
        "inputs": inputs,
        **{f"state/{name}": x for name, x in state.items()},
    }


def _leaf(x: np.ndarray) -> torch.Tensor:
    tensor = torch.from_numpy(np.array(x))
    return tensor.requires_grad_() if tensor.dtype == torch.float64 else tensor


def _of(tensors: dict, prefix: str) -> dict:
    return {n.removeprefix(prefix): x for n, x in tensors.items() if n.startswith(prefix)}


def version(package: str) -> str:
    """`"package 1.2.3"`, of the installed package."""
    number, _, _ = importlib.metadata.version(package).partition("+")
    return f"{package} {number}"


def in_float64(package: str, path: str, **replaced: str) -> types.ModuleType:
    """A module of an installed package, from its file, with float32 read as float64 throughout.

    The peers' references and layers convert to float32 inside.

    Args:
        package: Name of the distribution.
        path: The module's file in it.
        **replaced: `old=new` texts to replace as well, for what a peer does not offer.
    """
    (file,) = (f for f in importlib.metadata.files(package) or () if str(f) == path)
    text = file.locate().read_text(encoding="utf-8")
    replacements = {
        "torch.float32": "torch.float64",
        ".float()": ".double()",
        "dtype=torch.float)": "dtype=torch.float64)",
        "dtype=torch.float,": "dtype=torch.float64,",
        **replaced,
    }
    for old, new in replacements.items():
        text = text.replace(old, new)
    name = path.removesuffix(".py").replace("/", ".")
    module = types.ModuleType(f"{name}_in_float64")
    module.__package__ = name.rpartition(".")[0]
    module.__file__ = str(file.locate())
    sys.modules[module.__name__] = module  # where decorators look for the file
    exec(compile(text, module.__file__, "exec"), module.__dict__)
    return module


def normal(*shape: int, seed: int = 5) -> np.ndarray:
    """Inputs: standard normal values."""
    return np.random.default_rng(seed).standard_normal(shape)
