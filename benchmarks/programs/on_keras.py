"""Programs on TensorFlow and JAX: `tf.function`, that compiled by XLA, eager; `jax.jit`."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import keras

from benchmarks.models import Model
from benchmarks.programs import SMALL, Program, Workload
from common.reproduce.execute.timing import compiled, compiled_gradient
from common.typing import Nest, Tensor


def make(model: Model, workload: Workload, compiler: str) -> Program:
    """See `benchmarks.programs.make_program`."""
    program = _launched(*function_of(model, workload, compiler), compiler)
    if workload.mode != "forward+backward":
        return program
    call_all: Callable[[], Any] = program.call
    return replace(program, call=lambda: [x for x in call_all() if x is not None])


def function_of(
    model: Model, workload: Workload, compiler: str, explicit: bool = False
) -> tuple[Any, tuple]:
    """What `compiled` or `compiled_gradient` makes of the work, and the arguments of the call.

    Of "forward+backward" the function returns the outputs, gradients in the inputs and in the
    weights, None where there is none.

    Args:
        model: what does it.
        workload: what is to be done.
        compiler: as of `make_program`.
        explicit: whether the weights are always among the arguments, as they are on JAX.
    """
    explicit = explicit or keras.backend.backend() == "jax"
    *inputs, upstream = (
        keras.ops.cast(keras.ops.convert_to_tensor(x), workload.dtype)
        for x in (*workload.inputs, workload.upstream)
    )
    weights = [variable.value for variable in model.variables]
    if workload.mode == "train":
        step, arguments = _train_step(model, compiler, inputs, weights)
        return compiled(step, compiler != "graph"), arguments
    if workload.mode == "forward+backward":
        return _gradient(model, compiler), (upstream, *inputs, *weights)
    function, arguments = model.call, tuple(inputs)
    if workload.mode in ("step", "stream"):
        assert model.initial_state is not None
        function = model.step if workload.mode == "step" else model.stream
        arguments = (*inputs, model.initial_state(len(inputs[0])))
    assert function is not None
    if explicit:  # JAX would take the weights for constants
        function, arguments = _of_weights(model, function), (weights, *arguments)
    return compiled(function, compiler != "graph"), arguments


def _gradient(model: Model, compiler: str) -> Callable:
    assert model.call is not None
    call, count = _of_weights(model, model.call), len(model.variables)

    def loss(upstream: Tensor, *tensors: Tensor) -> Tensor:
        inputs = tensors[: len(tensors) - count]
        return _paired(call(tensors[len(inputs) :], *inputs), upstream)

    return compiled_gradient(loss, compiler != "graph")


@keras.ops.custom_gradient
def _paired(outputs: Tensor, upstream: Tensor) -> tuple[Tensor, Callable]:
    """A number whose gradient in `outputs` is `upstream`, and in that the outputs, at no cost."""

    def backward(_: Tensor) -> tuple[Tensor, Tensor]:
        return upstream, outputs

    return keras.ops.zeros(()), backward


def _train_step(
    model: Model, compiler: str, inputs: list[Tensor], weights: list[Tensor]
) -> tuple[Callable, tuple]:
    optimizer = keras.optimizers.Adam(SMALL)
    optimizer.build(model.variables)
    assert model.call is not None
    call = _of_weights(model, model.call)

    def gradients(weights: Sequence[Tensor], inputs: Sequence[Tensor]) -> list[Tensor]:
        def loss(*weights: Tensor) -> Tensor:
            return keras.ops.mean(keras.ops.cast(call(weights, *inputs), "float32") ** 2)

        gradient = compiled_gradient(loss, compiler != "graph")
        return list(_eager_if_asked(gradient, compiler)(*weights))

    def functional(weights: list[Tensor], slots: list[Tensor], *inputs: Tensor) -> Nest:
        return optimizer.stateless_apply(slots, gradients(weights, inputs), weights)

    def assigning(*inputs: Tensor) -> list[Tensor]:
        optimizer.apply(gradients(weights, inputs), model.variables)
        return [keras.ops.convert_to_tensor(weight) for weight in weights]

    if keras.backend.backend() == "jax":
        return functional, (weights, [slot.value for slot in optimizer.variables], *inputs)
    return assigning, tuple(inputs)


def _of_weights(model: Model, function: Callable) -> Callable:
    """The function with the values of the weights as its first argument."""

    def call(weights: Sequence[Tensor], *arguments: Any) -> Any:
        with keras.StatelessScope(list(zip(model.variables, weights, strict=True))):
            return function(*arguments)

    return call


def _launched(function: Any, arguments: tuple, compiler: str) -> Program:
    """A program that calls what `compiled` or `compiled_gradient` made."""
    if keras.backend.backend() == "jax":
        return _ahead_of_time(function, arguments)
    function = _eager_if_asked(function, compiler)
    return Program(lambda: function(*arguments))


def _eager_if_asked(function: Any, compiler: str) -> Callable:
    return function.python_function if compiler == "eager" else function


def _ahead_of_time(function: Any, arguments: tuple) -> Program:
    import jax

    on_cpu = all(d.platform == "cpu" for d in jax.tree.leaves(arguments)[0].devices())

    @cache
    def executable() -> Any:
        # At the first call, which is timed as the compilation.
        return function.lower(*arguments).compile()

    def call() -> Any:
        result = executable()(*arguments)
        if on_cpu:
            # Calls would run beside each other.
            jax.block_until_ready(result)
        return result

    def memory() -> int | None:
        plan = executable().memory_analysis()
        return None if plan is None else plan.temp_size_in_bytes + plan.output_size_in_bytes

    return Program(call, memory)
