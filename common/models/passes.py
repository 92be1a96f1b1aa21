"""The two ways through a model: over whole sequences, and one step on.

A model writes its forward pass once, in terms of one of these, so that `step` is `call`.
"""

from typing import Any

from keras import ops

from common.layers.sequence_layer import SequenceLayer
from common.ops.masking import zero_where_masked
from common.ops.rotary import count_steps
from common.typing import State, Tensor


class WholeSequences:
    """A pass over whole sequences.

    Args:
        state: The state to start from, or `None` for the layers' own.
        mask: `(B, T)` bool or `None`.
        reset: `(B, T)` bool or `None`.
        training: Whether dropout acts.
    """

    def __init__(
        self, state: State | None, mask: Tensor | None, reset: Tensor | None, training: bool | None
    ):
        # Whether the steps' positions are those in the tensor.
        self.plain = state is None and mask is None and reset is None
        self.old = state
        self.mask = mask
        self.reset = reset
        self.training = training
        self.state: dict[str, Any] = {}

    def mix(self, name: str, layer: SequenceLayer, inputs: Tensor) -> Tensor:
        """`layer`, whose state has this name, over `(B, T, D)`."""
        # A layer that knows that it starts anew can spare what an earlier state would take.
        outputs, self.state[name] = layer(
            inputs,
            initial_state=None if self.old is None else self.old[name],
            mask=self.mask,
            reset=self.reset,
            training=self.training,
            return_state=True,
        )
        return outputs

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
        if self.mask is None:
            return hidden[:, -1]
        back = ops.argmax(ops.flip(ops.cast(self.mask, "int32"), axis=1), axis=1)
        at = ops.shape(hidden)[1] - 1 - ops.cast(back, "int32")
        return ops.take_along_axis(hidden, at[:, None, None], axis=1)[:, 0]


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

    def mix(self, name: str, layer: SequenceLayer, inputs: Tensor) -> Tensor:
        """A step of `layer`, whose state has this name, on `(B, D)`."""
        outputs, self.state[name] = layer.step(inputs, self.old[name], training=self.training)
        return outputs

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
