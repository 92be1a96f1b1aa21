"""Layers that the tests have timed: one whose forms agree, and one whose forms do not."""

from keras import ops

from common.layers import SequenceLayer, StateSpec


class RunningSum(SequenceLayer):
    """The sum of the inputs so far, times a weight."""

    forms = ("parallel", "recurrent")

    def __init__(self, error: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.error = error

    def build(self, input_shape):
        super().build(input_shape)
        self.scale = self.add_weight((input_shape[-1],), "ones", name="scale")

    @property
    def output_dim(self) -> int:
        return self.input_spec.axes.get(-1, 4) if self.input_spec else 4

    def state_spec(self) -> dict:
        return {"sum": StateSpec((4,))}

    def recur(self, features, state):
        total = state["sum"] + features
        return self.cast(self.scale) * self.cast(total), {"sum": total}

    def parallel(self, features, state, initial, mask, reset):
        total = ops.cumsum(features, axis=1) + state["sum"][:, None]
        emitted = self.cast(self.scale) * self.cast(total) * (1 + self.error)
        return emitted, {"sum": total[:, -1]}

    def flops(self, batch_size: int, length: int) -> int:
        return 4 * batch_size * length


class Wrong(RunningSum):
    """Its parallel form is off by a hundredth."""

    def __init__(self, **kwargs):
        super().__init__(error=0.01, **kwargs)


class Greedy(RunningSum):
    """Its parallel form asks for more memory than there is beyond the gate's length."""

    def parallel(self, features, state, initial, mask, reset):
        if features.shape[1] > 96:
            raise MemoryError("asked for 550 GB")
        return super().parallel(features, state, initial, mask, reset)
