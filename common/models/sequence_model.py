"""`SequenceModel`: the contract that every model of every paper keeps.

There are two ways through a model: over whole sequences, and one step on. A model writes its
forward pass once, in terms of one of these, so that `step` is `call`.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from common.checks import refuse
from common.layers.sequence_layer import SequenceLayer
from common.models.recorded_model import RecordedModel
from common.ops.operands import check_below
from common.ops.rotary import count_steps
from common.ops.time_axis import check_marks, last_step, zero_where_masked
from common.typing import Nest, Size, State, Tensor


class WholeSequences:
    """A pass over whole sequences.

    Args:
        state: The state to start from, or `None` for the layers' own.
        mask: `(B, T)` bool or `None`.
        reset: `(B, T)` bool or `None`.
        training: Whether dropout acts.
        remat: Whether what happens inside the layers is computed again for the gradient.
    """

    def __init__(
        self,
        state: State | None,
        mask: Tensor | None,
        reset: Tensor | None,
        training: bool | None,
        remat: bool = False,
    ):
        # Whether the steps' positions are those in the tensor.
        self.plain = state is None and mask is None and reset is None
        self.old = state
        self.mask = mask
        self.reset = reset
        self.training = training
        self.remat = remat
        self.state: dict[str, Any] = {}

    def mix(
        self, name: str, layer: SequenceLayer, inputs: Tensor, norm: Callable | None = None
    ) -> Tensor:
        """`layer`, whose state has this name, over `(B, T, D)`, which `norm` sees first."""

        def mixed(inputs: Tensor, *old: State) -> tuple[Tensor, State]:
            # A layer that knows that it starts anew can spare what an earlier state would take.
            return layer(
                inputs if norm is None else norm(inputs),
                initial_state=old[0] if old else None,
                mask=self.mask,
                reset=self.reset,
                training=self.training,
                return_state=True,
            )

        # The state is an argument, or no gradient would reach it.
        old = () if self.old is None else (self.old[name],)
        outputs, self.state[name] = self._run(mixed, inputs, *old)
        return outputs

    def map(self, layer: Callable, inputs: Tensor, norm: Callable) -> Tensor:
        """`layer`, which takes every step on its own, over `norm` of `(B, T, D)`."""
        return self._run(lambda x: layer(norm(x)), inputs)

    def _run(self, function: Callable, *arguments: Any) -> Any:
        return keras.remat(function)(*arguments) if self.remat else function(*arguments)

    def positions(self, inputs: Tensor) -> Tensor:
        """The position of every step, `(B, T)` or `(1, T)`: of valid steps since the last reset.

        They are counted as attention counts them: padding is not, and a document starts at 0.
        """
        batch_size, length = ops.shape(inputs)[:2]
        if self.plain:
            self.state["position"] = ops.full((batch_size,), length, "int32")
            return ops.arange(length, dtype="int32")[None]
        start = ops.zeros((batch_size,), "int32") if self.old is None else self.old["position"]
        positions, self.state["position"] = count_steps(start, length, self.mask, self.reset)
        return positions

    def without_padding(self, inputs: Tensor) -> Tensor:
        """`(B, T, D)` with zeros at masked steps."""
        return zero_where_masked(inputs, self.mask)

    def last(self, hidden: Tensor) -> Tensor:
        """`(B, T, D)` to the last valid step's `(B, D)`."""
        return last_step(hidden, self.mask)


class OneStep:
    """A pass one step on; the same methods, without the axis of time.

    Args:
        state: The state before the step.
        training: Whether dropout acts.
    """

    plain = False

    def __init__(self, state: State, training: bool | None):
        self.old = state
        self.training = training
        self.state: dict[str, Any] = {}

    def mix(
        self, name: str, layer: SequenceLayer, inputs: Tensor, norm: Callable | None = None
    ) -> Tensor:
        """A step of `layer`, whose state has this name, on `(B, D)`, which `norm` sees first."""
        if norm is not None:
            inputs = norm(inputs)
        outputs, self.state[name] = layer.step(inputs, self.old[name], training=self.training)
        return outputs

    def map(self, layer: Callable, inputs: Tensor, norm: Callable) -> Tensor:
        """`layer` of `norm` of `(B, D)`."""
        return layer(norm(inputs))

    def positions(self, inputs: Tensor) -> Tensor:
        """The positions of the step, `(B,)`."""
        self.state["position"] = self.old["position"] + 1
        return self.old["position"]

    def without_padding(self, inputs: Tensor) -> Tensor:
        """The inputs: a step is no padding."""
        return inputs

    def last(self, hidden: Tensor) -> Tensor:
        """The step itself."""
        return hidden


Pass = WholeSequences | OneStep


class SequenceModel(RecordedModel):
    """Base of models made of sequence layers, with the state of them all in and out.

    A subclass states in `state_layers` which of its layers carry a state, and writes its `compute`
    once, over whole sequences and for a step alike (`forward` is a name of torch's). From these the
    base makes `call`, `step` and `get_initial_state`.

    Args:
        **kwargs: Arguments of `RecordedModel`.

    Call arguments:
        inputs: `(B, T)` or `(B, T, D)`.
        initial_state: State of `get_initial_state` or an earlier call, a dict; `None` starts anew.
        mask: `(B, T)` bool; false where a step is padding: it changes no state and no position,
            and what comes out there means nothing.
        reset: `(B, T)` bool; true at the first step of a document, before which the state is put
            back to its initial value.
        training: Whether dropout acts.
        return_state: Whether to return the final state too.

    Returns:
        `(B, T, ...)`; with `return_state` the pair of it and the state.

    Raises:
        ValueError: if `initial_state` has other names than the model's state, or `mask` or `reset`
            another shape than `(B, T)` or anything but truth values.
    """

    # Whether the state has a "position", the valid steps since the start or the last reset.
    counts = False
    # Whether what happens inside the layers is computed again for the gradient.
    remat = False

    def __init__(self, **kwargs: Any):
        # Keras would otherwise cast a float32 state that comes in to the compute dtype.
        kwargs.setdefault("autocast", False)
        super().__init__(**kwargs)
        self.supports_masking = True

    # For subclasses to define.

    @property
    def state_layers(self) -> dict[str, Any]:
        """The layers that carry a state, by the state's name."""
        raise NotImplementedError

    def compute(self, inputs: Nest, through: Pass) -> Tensor:
        """The outputs, by `through.mix` and the other methods of a pass."""
        raise NotImplementedError

    # Provided by the base.

    def get_initial_state(self, batch_size: Size) -> State:
        """The state before the first step, of a built model: the layers', and the position."""
        state: dict[str, Any] = {
            name: layer.get_initial_state(batch_size) for name, layer in self.state_layers.items()
        }
        if self.counts:
            state["position"] = ops.zeros((batch_size,), "int32")
        return state

    def call(
        self,
        inputs: Nest,
        initial_state: State | None = None,
        mask: Nest | None = None,
        reset: Tensor | None = None,
        training: bool | None = None,
        return_state: bool = False,
    ) -> Tensor | tuple[Tensor, State]:
        if isinstance(mask, dict):  # as Keras hands on the masks of a dict of inputs
            mask = mask["inputs"]
        if initial_state is not None:
            self._check_state("initial_state", initial_state)
        shape = (inputs["inputs"] if isinstance(inputs, dict) else inputs).shape
        mask = check_marks(mask, shape, "mask", type(self).__name__)
        reset = check_marks(reset, shape, "reset", type(self).__name__)
        through = WholeSequences(initial_state, mask, reset, training, self.remat)
        outputs = self.compute(inputs, through)
        return (outputs, through.state) if return_state else outputs

    def step(
        self, inputs: Tensor, state: State, training: bool | None = None
    ) -> tuple[Tensor, State]:
        """One step: streaming and generation.

        Args:
            inputs: `(B,)` or `(B, D)`.
            state: State of `get_initial_state`, a call or an earlier step.
            training: Whether dropout acts.

        Returns:
            `(outputs, state)`, the outputs `(B, ...)`.

        Raises:
            ValueError: if `state` has other names than the model's state.
        """
        self._check_state("state", state)
        through = OneStep(state, training)
        return self.compute(ops.convert_to_tensor(inputs), through), through.state

    def positions_of(self, inputs: Tensor, through: Pass, name: str, size: int | None) -> Tensor:
        """The steps' positions, as far as they are known below `size`, the argument `name`."""
        if through.plain and size is not None:
            length = inputs.shape[1]
            if length is not None and length > size:
                refuse(self, "inputs", f"of at most `{name}` = {size} steps", tuple(inputs.shape))
            return through.positions(inputs)
        positions = through.positions(inputs)
        if size is not None:
            check_below(self, "position", positions, size, f"of `{name}`")
        return positions

    def _check_state(self, argument: str, state: State) -> None:
        names = sorted([*self.state_layers, *(["position"] if self.counts else [])])
        got = sorted(state) if isinstance(state, dict) else state
        if got != names:
            refuse(self, argument, f"a dict with the keys {names}", got)

    # Keras.

    def compute_mask(self, inputs: Nest, previous_mask: Nest | None) -> Nest | None:
        # Outputs that are chosen among the steps have no mask.
        return None if isinstance(inputs, dict) else previous_mask
