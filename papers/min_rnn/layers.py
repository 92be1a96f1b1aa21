"""minGRU and minLSTM (Feng et al., 2024): gates that see the input only."""

import keras
from keras import ops

from common.checks import check_flags, check_numbers, check_positive
from common.layers import ScanLayer, StateSpec
from common.ops.linear_scan import linear_scan, log_linear_scan


def g(x):
    """`x + 0.5` where x >= 0, else `sigmoid(x)`: positive and continuous (appendix B)."""
    # The branch not taken must not overflow, or its gradient would be NaN.
    positive = ops.where(x >= 0, x, ops.zeros_like(x))
    return ops.where(x >= 0, positive + 0.5, ops.sigmoid(x))


def log_g(x):
    """Logarithm of `g`."""
    positive = ops.where(x >= 0, x, ops.zeros_like(x))
    return ops.where(x >= 0, ops.log(positive + 0.5), -ops.softplus(-x))


class _MinRNN(ScanLayer):
    """`h_t = a_t h_{t-1} + b_t c_t`, the gates `a`, `b` and the candidate `c` from the input."""

    forms: tuple[str, ...] = ("chunkwise", "parallel", "recurrent")
    # Products of the input that a step takes: the candidate and the gates.
    _parts: int

    def __init__(
        self, units: int, positive: bool = True, learned_initial_state: bool = False, **kwargs
    ):
        check_flags(self, positive=positive, learned_initial_state=learned_initial_state)
        if not positive:
            self.forms = ("chunkwise", "recurrent")
        super().__init__(**kwargs)
        check_positive(self, units=units)
        self.units = units
        self.positive = positive
        self.learned_initial_state = learned_initial_state

    @property
    def output_dim(self) -> int:
        return self.units

    def state_spec(self) -> dict:
        return {"hidden": StateSpec((self.units,))}

    def build(self, input_shape):
        super().build(input_shape)
        width = self._parts * self.units
        self.kernel = self.add_weight(
            (input_shape[-1], width), _uniform(input_shape[-1]), name="kernel"
        )
        self.bias = self.add_weight((width,), self._initial_bias, name="bias")
        if self.learned_initial_state:
            normal = keras.initializers.RandomNormal(0, 1)
            self.initial = self.add_weight((self.units,), normal, name="initial")

    def _initial_bias(self, shape, dtype=None):
        return _uniform(self.kernel.shape[0])(shape, dtype)

    def initial_values(self) -> dict:
        if not self.learned_initial_state:
            return super().initial_values()
        initial = ops.cast(self.initial, self.state_dtype)
        return {"hidden": g(initial) if self.positive else initial}

    def features(self, inputs, training=None):
        x = ops.matmul(inputs, self.cast(self.kernel)) + self.cast(self.bias)
        # Gates multiply along the whole sequence: they are float32 at least.
        parts = ops.split(ops.cast(x, self.state_dtype), self._parts, axis=-1)
        return {"candidate": parts[0], **self._gates(*parts[1:])}

    def _gates(self, *parts) -> dict:
        """`log_keep` and `log_write`, the logarithms of a and b."""
        raise NotImplementedError

    def _candidate(self, features):
        return g(features["candidate"]) if self.positive else features["candidate"]

    def recur(self, features, state):
        written = ops.exp(features["log_write"]) * self._candidate(features)
        hidden = ops.exp(features["log_keep"]) * state["hidden"] + written
        return self.cast(hidden), {"hidden": hidden}

    def chunkwise(self, features, state, initial, mask, reset):
        """The diagonal scan of `common.ops`, as it is (paper, section 3 and appendix A)."""
        hidden, final = linear_scan(
            ops.exp(features["log_keep"]),
            ops.exp(features["log_write"]) * self._candidate(features),
            state["hidden"],
            initial=initial["hidden"],
            mask=mask,
            reset=reset,
            scan=self.scan,
        )
        return self.cast(hidden), {"hidden": final}

    def parallel(self, features, state, initial, mask, reset):
        """The scan in log space (appendix B)."""
        zero = None if self.learned_initial_state else initial
        hidden, final = log_linear_scan(
            features["log_keep"],
            features["log_write"] + log_g(features["candidate"]),
            # Nothing is left of a state that is known to be 0.
            None if state is zero else state["hidden"],
            initial=None if zero is initial else initial["hidden"],
            mask=mask,
            reset=reset,
            scan=self.scan,
        )
        return self.cast(hidden), {"hidden": final}

    def count_flops(self, batch_size: int, length: int) -> int:
        """`2 B T D n units` with n = 2 (minGRU) or 3 (minLSTM); the scan is elementwise."""
        return 2 * batch_size * length * self.kernel.shape[0] * self.kernel.shape[1]


def _uniform(fan_in: int):
    """PyTorch's default for a linear layer, which the paper's code leaves as it is."""
    bound = fan_in**-0.5
    return keras.initializers.RandomUniform(-bound, bound)


@keras.saving.register_keras_serializable(package="papers")
class MinGRU(_MinRNN):
    """Minimal gated recurrent unit (section 3.1).

        z_t = sigmoid(W_z x_t + b_z),   c_t = W_h x_t + b_h
        h_t = (1 - z_t) h_{t-1} + z_t g(c_t)

    with `g` the identity unless `positive`. The forms: `chunkwise` is the scan over blocks,
    `parallel` the scan in log space, which needs positive states.

    State: `{"hidden": (B, units)}`.

    Args:
        units: Width of the output and of the state.
        positive: Whether `g` keeps the state positive (appendix B), as in the experiments.
        learned_initial_state: Whether the state before the first step is learned, as `g` of
            normal values in the authors' code; zeros otherwise.
        **kwargs: Arguments of `ScanLayer`.

    Raises:
        ValueError: if `units` is not a positive integer, or the form is `parallel` and `positive`
            is false.
    """

    _parts = 2

    def _gates(self, gate):
        return {"log_keep": -ops.softplus(gate), "log_write": -ops.softplus(-gate)}


@keras.saving.register_keras_serializable(package="papers")
class MinLSTM(_MinRNN):
    """Minimal long short-term memory (section 3.2), its two gates normalised to sum to one.

        f_t, i_t = sigmoid(W_f x_t + b_f), sigmoid(W_i x_t + b_i),   c_t = W_h x_t + b_h
        h_t = f_t / (f_t + i_t) h_{t-1} + i_t / (f_t + i_t) g(c_t)

    with `g` the identity unless `positive`. Forms and state are those of `MinGRU`.

    Args:
        units: Width of the output and of the state.
        positive: As for `MinGRU`.
        learned_initial_state: As for `MinGRU`.
        forget_bias: Added to the forget gates' initial biases; 3 in the authors' configurations.
        **kwargs: Arguments of `ScanLayer`.

    Raises:
        ValueError: as `MinGRU`.
    """

    _parts = 3

    def __init__(self, units: int, forget_bias: float = 0.0, **kwargs):
        super().__init__(units, **kwargs)
        check_numbers(self, forget_bias=forget_bias)
        self.forget_bias = forget_bias

    def _initial_bias(self, shape, dtype=None):
        shift = ops.repeat(ops.cast([0.0, self.forget_bias, 0.0], dtype), self.units)
        return super()._initial_bias(shape, dtype) + shift

    def _gates(self, forget, write):
        # log f - log i; f / (f + i) is its sigmoid.
        difference = ops.softplus(-write) - ops.softplus(-forget)
        return {
            "log_keep": -ops.softplus(-difference),
            "log_write": -ops.softplus(difference),
        }
