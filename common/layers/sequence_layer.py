"""`SequenceLayer`: the contract that every layer of every paper keeps."""

from types import FunctionType
from typing import Any, Self

import keras
import numpy as np
from keras import ops, tree

from common.checks import check_choice, check_flags, check_integers
from common.layers.lora import LowRankAdaptation
from common.layers.state import StateSpec, check_state, spec_bytes, symbolic_state
from common.ops.scan import scan_marked
from common.ops.time_axis import backwards, check_marks, last_step, zero_where_masked
from common.precision import keep_float64
from common.typing import Nest, Shape, Size, State, Tensor


class SequenceLayer(LowRankAdaptation):
    """Base of layers that map a sequence to a sequence and carry a state through time.

    A subclass describes one time step, in three parts. `features` and `readout` work on all
    time steps at once; only `recur`, between them, is looped over time. From these the base
    makes the whole-sequence `call`, the streaming `step`, masks, resets and state handling. A
    subclass that knows a faster way over a whole sequence adds it as `parallel` or `chunkwise`
    and names it in `forms`.

    A layer in float64 computes in float64 on every backend: it has Keras keep float64, which
    outside TensorFlow it does not by itself (`common.precision.keep_float64`). On JAX that takes
    JAX_ENABLE_X64=1.

    A state is a nested dict of named tensors with the batch first. It is float32 under the mixed
    policies (float64 under float64), in and out of `call`, so nothing is lost between calls.

    What holds and what does not: outputs up to t do not change with inputs after t as long as all
    are finite; an unmasked NaN or infinity may reach earlier steps of its own row in the chunkwise
    and parallel forms, which multiply what a step does not see by 0. Such steps are to be masked.
    float16 ends at 65504, which inputs of the size of 1e4 pass in a projection: bfloat16 or float32
    is for those. Many forms have custom gradients, in reverse mode only: on JAX `jax.grad`, and
    `jax.grad` of it, work, while `jax.jvp` and what rests on it (`jax.jacfwd`, `jax.hessian`) is
    refused; take `jax.jacrev(jax.jacrev(f))`.

    `keras.layers.Bidirectional` takes any of these layers; `enable_lora` adapts one that is built,
    `quantize("int8")` keeps its kernels in eight bits. The config is Keras's own record of the
    constructor's arguments: a subclass writes no `get_config`.

    Args:
        form: How `call` computes: one of the class's `forms`, or `"auto"`, which takes the
            first of them. `resolved_form` tells which that is.
        go_backwards: Whether `call` takes the last step first. Outputs stand in the order in which
            they were computed, as those of `keras.layers.RNN` do; `mask` and `reset` are those of
            the inputs, `reset` true at a document's first step in time.
        return_sequences: Whether `call` returns the outputs of all steps, or of the last valid one
            only, zeros where none is valid.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor of shape `(B, T, D)`.
        initial_state: State to start from, as `get_initial_state` or an earlier call gave it.
            `None` starts from `get_initial_state`. Floating point tensors of another width are
            cast to the state's.
        mask: Boolean tensor of shape `(B, T)`, or integers 0 and 1. A step where it is false leaves
            the state as it was and emits zeros; what stands in `inputs` there, NaN included, has
            no influence on anything, gradients included.
        reset: Boolean tensor of shape `(B, T)`, or integers 0 and 1. Where it is true the state is
            put back to `get_initial_state` before that step is taken, masked or not (packed
            documents).
        training: Whether dropout acts.
        return_state: Whether to return the final state too.

    Returns:
        Tensor of shape `(B, T, output_dim)` in the compute dtype, `(B, output_dim)` without
        `return_sequences`; with `return_state`, the pair `(outputs, state)`.

    Raises:
        ValueError: if `form` is unknown, `inputs`, `mask` or `reset` have the wrong shape, `mask`
            or `reset` holds anything but truth values, or `initial_state` has the wrong structure,
            shape, batch size or kind of dtype, or the dtype is float64 and JAX has no such type.
    """

    forms: tuple[str, ...] = ("recurrent",)

    # What `keras.layers.Bidirectional` asks of a layer beside its arguments.
    return_state = False
    stateful = False

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        # Keras records the arguments where all are plain values; it keeps `dtype` by itself.
        kwargs = {name: _plain(value) for name, value in kwargs.items() if name != "dtype"}
        return super().__new__(cls, *map(_plain, args), **kwargs)

    def __init__(
        self,
        form: str = "auto",
        go_backwards: bool = False,
        return_sequences: bool = True,
        **kwargs: Any,
    ):
        # Keras would otherwise cast the float32 state that a caller hands back to the compute
        # dtype, and every variable with it. Layers cast what they compute with: `self.cast`.
        kwargs.setdefault("autocast", False)
        super().__init__(**kwargs)
        if "float64" in (self.compute_dtype, self.variable_dtype):
            keep_float64()
        check_choice(self, ("auto", *self.forms), form=form)
        check_flags(self, go_backwards=go_backwards, return_sequences=return_sequences)
        self.form = form
        self.go_backwards = go_backwards
        self.return_sequences = return_sequences
        self.supports_masking = True
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def build(self, input_shape: Shape) -> None:
        """Notes the width of the inputs; subclasses call it and add their weights."""
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: input_shape[-1]})

    def add_weight(self, *args: Any, **kwargs: Any) -> Any:
        # Keras opens its autocast scope even for layers with `autocast=False`.
        kwargs.setdefault("autocast", False)
        return super().add_weight(*args, **kwargs)

    # For subclasses to define.

    @property
    def output_dim(self) -> int:
        """Width of the output."""
        raise NotImplementedError

    def state_spec(self) -> dict[str, Any]:
        """Nested dict of `StateSpec`: names, shapes and dtypes of the state."""
        raise NotImplementedError

    def initial_values(self) -> State:
        """The state before the first step, as a nested dict of tensors without a batch axis.

        Zeros unless overridden; may return learned values.
        """
        return tree.map_structure(
            lambda leaf: ops.zeros(leaf.shape, leaf.dtype or self.state_dtype), self.state_spec()
        )

    def features(self, inputs: Tensor, training: bool | None = None) -> Nest:
        """What the loop needs of the inputs, `(B, T, D)`, as a nest of `(B, T, ...)` tensors."""
        return inputs

    def recur(self, features: Nest, state: State) -> tuple[Nest, State]:
        """One time step: features `(B, ...)` and a state to emitted values and a state."""
        raise NotImplementedError

    def readout(self, emitted: Nest) -> Tensor:
        """The outputs, `(B, T, output_dim)`, from what the steps emitted, `(B, T, ...)`."""
        return emitted

    def recurrent(
        self,
        features: Nest,
        state: State,
        initial: State,
        mask: Tensor | None,
        reset: Tensor | None,
    ) -> tuple[Nest, State]:
        """Step by step.

        Args:
            features: What `features` returned, `(B, T, ...)`.
            state: State before the first step.
            initial: State that a reset puts back.
            mask: `(B, T)` bool or `None`.
            reset: `(B, T)` bool or `None`.

        Returns:
            `(emitted, state)`: what the steps emitted, `(B, T, ...)`, and the last state.
        """
        state, emitted = scan_marked(
            lambda state, x: self.recur(x, state)[::-1], state, features, initial, mask, reset
        )
        return emitted, state

    def parallel(
        self,
        features: Nest,
        state: State,
        initial: State,
        mask: Tensor | None,
        reset: Tensor | None,
    ) -> tuple[Nest, State]:
        """All time steps at once; the same arguments and results as `recurrent`."""
        raise NotImplementedError

    def chunkwise(
        self,
        features: Nest,
        state: State,
        initial: State,
        mask: Tensor | None,
        reset: Tensor | None,
    ) -> tuple[Nest, State]:
        """Chunk by chunk; the same arguments and results as `recurrent`."""
        raise NotImplementedError

    def count_flops(self, batch_size: int, length: int) -> int:
        """What `flops` returns, of a built layer."""
        raise NotImplementedError

    # Provided by the base.

    @property
    def resolved_form(self) -> str:
        """The form that `call` computes in."""
        return self.forms[0] if self.form == "auto" else self.form

    @property
    def state_dtype(self) -> str:
        """Dtype of the state: float32, or float64 where the weights are."""
        return "float64" if self.variable_dtype == "float64" else "float32"

    def cast(self, x: Tensor) -> Tensor:
        """`x`, a tensor or a weight, in the compute dtype."""
        return ops.cast(self.adapted(x), self.compute_dtype)

    def flops(self, batch_size: int, length: int) -> int:
        """Floating-point operations of the matrix products of one forward `call`.

        A multiply-add counts as two; elementwise work is not counted.

        Raises:
            ValueError: if a number is not a positive integer, or the layer is not built yet.
        """
        check_integers(self, 1, batch_size=batch_size, length=length)
        if not self.built:
            raise ValueError(f"{type(self).__name__}: build the layer first, to count its FLOPs.")
        return self.count_flops(batch_size, length)

    def state_bytes(self, batch_size: int) -> int:
        """Bytes of the state of `batch_size` sequences."""
        check_integers(self, 0, batch_size=batch_size)
        return batch_size * spec_bytes(self.state_spec(), self.state_dtype)

    def get_initial_state(self, batch_size: Size) -> State:
        """The state before the first step.

        Args:
            batch_size: Number of sequences, an integer or a scalar tensor.

        Returns:
            Nested dict of tensors of shape `(batch_size, ...)`.

        Raises:
            ValueError: if `batch_size` is no such number, or the state is the layer's own and the
                layer is not built yet.
        """
        if batch_size is None or isinstance(batch_size, int | float | str | list | tuple):
            check_integers(self, 0, batch_size=batch_size)
        own = type(self).initial_values is not SequenceLayer.initial_values
        if own and not self.built:
            raise ValueError(
                f"{type(self).__name__}: build the layer first; its initial state may be learned."
            )
        return tree.map_structure(
            lambda leaf: ops.broadcast_to(leaf[None], (batch_size, *leaf.shape)),
            self._in_state_dtypes(self.initial_values()),
        )

    def call(
        self,
        inputs: Tensor,
        initial_state: State | None = None,
        mask: Tensor | None = None,
        reset: Tensor | None = None,
        training: bool | None = None,
        return_state: bool = False,
    ) -> Tensor | tuple[Tensor, State]:
        self._check_inputs(inputs, rank=3)
        if mask is None:
            # Keras attaches the mask by itself only where `inputs` is the only tensor argument.
            mask = getattr(inputs, "_keras_mask", None)
        batch_size = inputs.shape[0] if inputs.shape[0] is not None else ops.shape(inputs)[0]
        initial = self.get_initial_state(batch_size)
        state = initial if initial_state is None else self._as_state(initial_state, inputs)
        mask, reset = (
            check_marks(marks, inputs.shape, name, type(self).__name__)
            for name, marks in (("mask", mask), ("reset", reset))
        )
        if self.go_backwards:
            inputs, mask, reset = backwards(inputs, mask, reset)
        features = self.features(self.cast(zero_where_masked(inputs, mask)), training)
        run = getattr(self, self.resolved_form)
        emitted, state = run(features, state, initial, mask, reset)
        outputs = zero_where_masked(self.cast(self.readout(emitted)), mask)
        if not self.return_sequences:
            outputs = last_step(outputs, mask)
        return (outputs, self._in_state_dtypes(state)) if return_state else outputs

    def step(
        self, inputs: Tensor, state: State, training: bool | None = None
    ) -> tuple[Tensor, State]:
        """Takes one time step: streaming and generation.

        Args:
            inputs: Tensor of shape `(B, D)`.
            state: State as `get_initial_state`, `call` or an earlier `step` gave it.
            training: Whether dropout acts.

        Returns:
            `(outputs, state)`, the outputs of shape `(B, output_dim)`.
        """
        inputs = ops.convert_to_tensor(inputs)
        self._check_inputs(inputs, rank=2)
        if not getattr(self, "built", False):
            self.build((inputs.shape[0], None, inputs.shape[1]))
        state = self._as_state(state, inputs)
        features = self.features(self.cast(inputs)[:, None], training)
        features = tree.map_structure(lambda x: ops.squeeze(x, 1), features)
        emitted, state = self.recur(features, state)
        emitted = tree.map_structure(lambda x: x[:, None], emitted)
        return self.cast(self.readout(emitted))[:, 0], state

    def _as_state(self, state: State, inputs: Tensor) -> State:
        check_state(state, self.state_spec(), inputs.shape[0], type(self).__name__)
        return self._in_state_dtypes(state)

    def _in_state_dtypes(self, state: State) -> State:
        return tree.map_structure(
            lambda leaf, value: ops.cast(value, leaf.dtype or self.state_dtype),
            self.state_spec(),
            state,
        )

    def _check_inputs(self, inputs: Tensor, rank: int) -> None:
        axes = "(batch, time, features)" if rank == 3 else "(batch, features)"
        if len(inputs.shape) != rank:
            raise ValueError(
                f"{type(self).__name__}: `inputs` must have shape {axes}; "
                f"got {tuple(inputs.shape)}."
            )
        width = self.input_spec.axes.get(-1)
        if width is not None and inputs.shape[-1] != width:
            raise ValueError(
                f"{type(self).__name__}: `inputs` must have {width} features, which the layer was "
                f"built for; got shape {tuple(inputs.shape)}."
            )
        if rank == 3 and inputs.shape[1] == 0:
            raise ValueError(
                f"{type(self).__name__}: `inputs` must have at least one time step; "
                f"got shape {tuple(inputs.shape)}."
            )

    # Keras.

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        steps = input_shape[1:2] if self.return_sequences else ()
        return (*input_shape[:1], *steps, self.output_dim)

    def compute_output_spec(
        self,
        inputs: Tensor,
        initial_state: State | None = None,
        mask: Tensor | None = None,
        reset: Tensor | None = None,
        training: bool | None = None,
        return_state: bool = False,
    ) -> Tensor | tuple[Tensor, State]:
        self._check_inputs(inputs, rank=3)
        for name, marks in (("mask", mask), ("reset", reset)):
            check_marks(marks, inputs.shape, name, type(self).__name__)
        if initial_state is not None:
            check_state(initial_state, self.state_spec(), inputs.shape[0], type(self).__name__)
        outputs = keras.KerasTensor(
            self.compute_output_shape(inputs.shape), dtype=self.compute_dtype
        )
        if not return_state:
            return outputs
        return outputs, symbolic_state(self.state_spec(), inputs.shape[0], self.state_dtype)

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None) -> Tensor | None:
        if previous_mask is None or not self.return_sequences:
            return None
        return ops.flip(previous_mask, axis=1) if self.go_backwards else previous_mask

    def get_config(self) -> dict[str, Any]:
        """The recorded arguments, also where a subclass adds to them."""
        if self._auto_config is None:
            raise NotImplementedError(
                f"{type(self).__name__}: an argument of the constructor is an object that Keras "
                "can't record; write `get_config`, without `super()`."
            )
        return {**self._auto_config.config, **super().get_config()}


def _plain(argument: Any) -> Any:
    """An argument as Keras can record it: objects as what they are saved as."""
    if isinstance(argument, np.generic):
        return argument.item()
    if hasattr(argument, "get_config") or isinstance(argument, FunctionType):
        return keras.saving.serialize_keras_object(argument)
    return argument


__all__ = ["SequenceLayer", "StateSpec"]
