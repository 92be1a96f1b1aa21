"""What is timed: a function of a sequence, its weights, and what it costs by formula."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras

from benchmarks.kernels import HEADS, SIZE, WINDOW, Kernel
from common.reproduce.declare.spec import LayerCase


@dataclass(frozen=True)
class Model:
    """A built layer, or an op, of ours or of another library.

    Attributes:
        call: tensors, the first of them `(B, T, ...)`, to one `(B, T, ...)`, differentiable; None
            of what has a step only.
        variables: trainable weights: Keras variables, or torch parameters.
        parameters: numbers in the weights.
        flops: `(batch, length)` to floating-point operations of the products of a forward pass.
        step: tensors `(B, ...)` and a state to the outputs `(B, ...)` and a state, or None.
        stream: tensors `(B, T, ...)` and a state to the outputs and a state, or None.
        initial_state: batch size to a state, where there is a `step`.
        state_bytes: of one sequence, where there is a `step`.
        cache_bytes: length to the bytes of one sequence that decoding goes on from, of what keeps
            something of every step.
        torch_device: where a module of torch's own computes; None of what is Keras's.
        without_xla: whether it is compiled without TensorFlow's XLA, which fails at it or
            differentiates it in time and memory quadratic in T, as it does Keras's loops.
    """

    call: Callable[..., Any] | None
    variables: list[Any] = field(default_factory=list)
    parameters: int = 0
    flops: Callable[[int, int], int] | None = None
    step: Callable[..., Any] | None = None
    stream: Callable[..., Any] | None = None
    initial_state: Callable[[int], Any] | None = None
    state_bytes: int | None = None
    cache_bytes: Callable[[int], int] | None = None
    torch_device: str | None = None
    without_xla: bool = False


@dataclass(frozen=True)
class Shape:
    """What peers must have.

    Attributes:
        dtype: compute dtype.
        torch_device: where torch's peers compute.
        input_dim, units, heads: the widths of the layers they are set beside.
        layers: these layers.
        kernel: the kernel they are set beside, where it is no layers.
    """

    dtype: str
    torch_device: str
    input_dim: int = 0
    units: int = 0
    heads: int = 0
    layers: dict[str, LayerCase] = field(hash=False, compare=False, default_factory=dict)
    kernel: str = ""

    @property
    def policy(self) -> str:
        """Keras's policy of layers of the dtype."""
        return dtype_policy(self.dtype)


def dtype_policy(dtype: str) -> str:
    """Weights stay float32."""
    return "mixed_bfloat16" if dtype == "bfloat16" else dtype


def layer_model(case: LayerCase, form: str, dtype: str) -> Model:
    """The layer of `case`, computing in `form`; its weights do not depend on the form."""
    keras.utils.set_random_seed(0)
    layer = load(case.factory)(**case.config, form=form, dtype=dtype_policy(dtype))
    layer.build((None, None, case.input_dim))
    return Model(
        call=layer,
        variables=layer.trainable_variables,
        parameters=layer.count_params(),
        flops=layer.flops,
        step=layer.step,
        stream=lambda x, state: layer(x, initial_state=state, return_state=True),
        initial_state=layer.get_initial_state,
        state_bytes=layer.state_bytes(1),
    )


def kernel_model(kernel: Kernel, form: str) -> Model:
    """The op of `form`."""
    if form in kernel.tokens:
        return _attention_step(kernel, form)
    flops = None
    if kernel.flops is not None:
        of_one = kernel.flops
        flops = lambda batch, length: batch * of_one(form, length)  # noqa: E731
    return Model(outputs_of(kernel, kernel.forms[form]), flops=flops)


def outputs_of(kernel: Kernel, target: str) -> Callable[..., Any]:
    """The function that `target` names, without the final state."""
    op = load(target)
    return lambda *inputs: op(*inputs, **kernel.options)[0]


def _attention_step(kernel: Kernel, form: str) -> Model:
    from common.ops.attention import empty_cache

    def state(batch: int) -> dict[str, Any]:
        position = keras.ops.full((batch,), kernel.tokens[form], "int32")
        return {**empty_cache(batch, WINDOW, HEADS, SIZE, SIZE), "position": position}

    entries = 2 * 4 * WINDOW * HEADS * SIZE
    return Model(None, step=load(kernel.forms[form]), initial_state=state, state_bytes=entries)


def load(target: str) -> Any:
    """What "package.module:name" stands for."""
    module, name = target.split(":")
    return getattr(importlib.import_module(module), name)
