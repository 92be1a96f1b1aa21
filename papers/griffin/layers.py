"""RG-LRU and the recurrent block of Hawk and Griffin (De et al., 2024, sections 2.3 and 2.4)."""

import keras
from einops import rearrange
from keras import ops

from common.checks import check_choice, check_divides, check_positive
from common.layers import ScanLayer, StateSpec
from common.ops.activations import GELUS
from common.ops.linear_scan import linear_scan
from common.ops.rotary import count_steps
from common.ops.short_convolution import causal_convolution, causal_convolution_step

# The exponent c of eq. 3.
C = 8.0
# The decay `a^c` of a wide open recurrence gate is at first uniform in this interval.
SLOWEST, FASTEST = 0.999, 0.9
# Largest derivative of the square root, as in the authors' code.
STEEPEST = 1000.0


@ops.custom_gradient
def bounded_sqrt(x):
    """Square root whose derivative, `1 / (2 sqrt(x))`, is at most `STEEPEST`."""
    root = ops.sqrt(x)

    def grad(*args, upstream=None):
        g = args[0] if upstream is None else upstream
        flattest = ops.full_like(root, 0.5 / STEEPEST)
        return 0.5 * g / ops.where(root > flattest, root, flattest)

    return root, grad


@keras.saving.register_keras_serializable(package="papers")
class RGLRU(ScanLayer):
    """Real-gated linear recurrent unit.

        r_t = sigmoid(W_a x_t + b_a),   i_t = sigmoid(W_x x_t + b_x)         (eq. 1, 2)
        log a_t = -8 r_t softplus(Lambda)                                    (eq. 3, 6)
        h_t = a_t h_{t-1} + sqrt(1 - a_t^2) (i_t x_t)                        (eq. 4)

    The kernels W are block-diagonal. At the first step of a document there is nothing to weigh
    the input against: it counts in full, the factor `sqrt(1 - a_t^2)` is 1. The equations do not
    say so, the authors' code does. The state therefore knows whether a step was taken.

    State: `{"hidden": (B, units), "started": (B,) int32}`, `started` 0 or 1.

    Args:
        units: Width of inputs, state and outputs.
        num_blocks: Blocks of the two gates' kernels; 16 in the paper.
        **kwargs: Arguments of `ScanLayer`.

    Raises:
        ValueError: if a size is not a positive integer, `num_blocks` does not divide `units`, or
            the inputs are not `units` wide.
    """

    forms = ("chunkwise", "recurrent")

    def __init__(self, units: int, num_blocks: int = 16, **kwargs):
        super().__init__(**kwargs)
        check_positive(self, units=units, num_blocks=num_blocks)
        check_divides(self, "`units`", units, num_blocks=num_blocks)
        self.units = units
        self.num_blocks = num_blocks

    @property
    def output_dim(self) -> int:
        return self.units

    def state_spec(self) -> dict:
        return {"hidden": StateSpec((self.units,)), "started": StateSpec((), "int32")}

    def build(self, input_shape):
        if input_shape[-1] != self.units:
            raise ValueError(
                f"RGLRU: `inputs` must be as wide as `units` = {self.units}; "
                f"got shape {tuple(input_shape)}."
            )
        super().build(input_shape)
        width = self.units // self.num_blocks
        # W_a and W_x of a block side by side.
        shape = (self.num_blocks, width, 2 * width)
        self.gate_kernel = self.add_weight(shape, lecun(width), name="gate_kernel")
        self.gate_bias = self.add_weight((shape[0], shape[2]), "zeros", name="gate_bias")
        self.decay = self.add_weight((self.units,), initial_decay, name="decay")  # Lambda

    def features(self, inputs, training=None):
        blocks = rearrange(inputs, "b t (k i) -> b t k i", k=self.num_blocks)
        gates = ops.einsum("btki,kij->btkj", blocks, self.cast(self.gate_kernel))
        # Gates multiply along the whole sequence: they are float32 at least.
        gates = ops.cast(gates, self.state_dtype) + ops.cast(self.gate_bias, self.state_dtype)
        r, i = (
            rearrange(ops.sigmoid(x), "b t k j -> b t (k j)") for x in ops.split(gates, 2, axis=-1)
        )
        log_a = -C * r * ops.softplus(ops.cast(self.decay, self.state_dtype))
        gated = i * ops.cast(inputs, self.state_dtype)
        return {
            "a": ops.exp(log_a),
            "first": gated,
            # 1 - a^2 without cancellation where a is close to 1.
            "later": bounded_sqrt(-ops.expm1(2.0 * log_a)) * gated,
        }

    def recur(self, features, state):
        started = state["started"][:, None] > 0
        written = ops.where(started, features["later"], features["first"])
        hidden = features["a"] * state["hidden"] + written
        return self.cast(hidden), {"hidden": hidden, "started": ops.ones_like(state["started"])}

    def chunkwise(self, features, state, initial, mask, reset):
        """The diagonal scan of `common.ops`, one pass over memory (section 4.2)."""
        a, first, later = (features[name] for name in ("a", "first", "later"))
        positions, count = count_steps(state["started"], ops.shape(a)[1], mask, reset)
        written = ops.where(positions[..., None] == 0, first, later)
        hidden, final = linear_scan(
            a, written, state["hidden"], mask=mask, reset=reset, scan=self.scan
        )
        started = ops.cast(count > 0, "int32")
        return self.cast(hidden), {"hidden": final, "started": started}

    def count_flops(self, batch_size: int, length: int) -> int:
        """`4 B T units^2 / num_blocks`, the gates' products; the scan is elementwise."""
        return 4 * batch_size * length * self.units * (self.units // self.num_blocks)


@keras.saving.register_keras_serializable(package="papers")
class RecurrentBlock(ScanLayer):
    """The temporal mixing of Hawk and Griffin (section 2.3, figure 2c).

        u_t = RG-LRU(conv(W_u x_t + b_u)),   y_t = W_y (gelu(W_g x_t + b_g) * u_t) + b_y

    where `conv` is causal, on each channel by itself, over four steps, and has a bias.

    State: `{"convolution": (B, kernel_size - 1, recurrent_units)}`, the last inputs of the
    convolution in the compute dtype, and the entries of the state of `RGLRU`.

    Args:
        units: Width of the output.
        recurrent_units: Width of the RG-LRU; about `4 / 3 units` in the paper.
        num_blocks: Blocks of the gates' kernels.
        kernel_size: Steps that the convolution sees.
        activation: `"gelu"`, or `"gelu_tanh"`, its approximation by a hyperbolic tangent.
        **kwargs: Arguments of `ScanLayer`.

    Raises:
        ValueError: if a size is not a positive integer, or `num_blocks` does not divide
            `recurrent_units`.
    """

    forms = ("chunkwise", "recurrent")

    def __init__(
        self,
        units: int,
        recurrent_units: int,
        num_blocks: int = 16,
        kernel_size: int = 4,
        activation: str = "gelu",
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(self, units=units, recurrent_units=recurrent_units, kernel_size=kernel_size)
        self.units = units
        self.recurrent_units = recurrent_units
        self.num_blocks = num_blocks
        self.kernel_size = kernel_size
        check_choice(self, tuple(GELUS), activation=activation)
        self.activation = activation
        self.recurrence = RGLRU(
            recurrent_units, num_blocks, form=self.form, scan=self.scan, dtype=self.dtype_policy
        )

    @property
    def output_dim(self) -> int:
        return self.units

    def state_spec(self) -> dict:
        seen = StateSpec((self.kernel_size - 1, self.recurrent_units), self.compute_dtype)
        return {"convolution": seen, **self.recurrence.state_spec()}

    def build(self, input_shape):
        super().build(input_shape)
        width, inner = input_shape[-1], self.recurrent_units
        # W_u and W_g side by side.
        self.kernel = self.add_weight((width, 2 * inner), lecun(width), name="kernel")
        self.bias = self.add_weight((2 * inner,), "zeros", name="bias")
        self.convolution_kernel = self.add_weight(
            (self.kernel_size, inner), lecun(self.kernel_size), name="convolution_kernel"
        )
        self.convolution_bias = self.add_weight((inner,), "zeros", name="convolution_bias")
        self.recurrence.build((*input_shape[:-1], inner))
        self.output_kernel = self.add_weight(
            (inner, self.units), lecun(inner), name="output_kernel"
        )
        self.output_bias = self.add_weight((self.units,), "zeros", name="output_bias")

    def features(self, inputs, training=None):
        projected = ops.matmul(inputs, self.cast(self.kernel)) + self.cast(self.bias)
        x, gate = ops.split(projected, 2, axis=-1)
        return {"x": x, "gate": GELUS[self.activation](gate)}

    def recur(self, features, state):
        x, seen = causal_convolution_step(
            features["x"], self.cast(self.convolution_kernel), state["convolution"]
        )
        inner = self.recurrence.features((x + self.cast(self.convolution_bias))[:, None])
        inner = {name: value[:, 0] for name, value in inner.items()}
        hidden, state = self.recurrence.recur(inner, _recurrent_part(state))
        return hidden * features["gate"], {"convolution": seen, **state}

    def recurrent(self, features, state, initial, mask, reset):
        return self._mix(self.recurrence.recurrent, features, state, initial, mask, reset)

    def chunkwise(self, features, state, initial, mask, reset):
        return self._mix(self.recurrence.chunkwise, features, state, initial, mask, reset)

    def _mix(self, recurrence, features, state, initial, mask, reset):
        x, seen = causal_convolution(
            features["x"],
            self.cast(self.convolution_kernel),
            state["convolution"],
            mask=mask,
            reset=reset,
        )
        inner = self.recurrence.features(x + self.cast(self.convolution_bias))
        hidden, state = recurrence(
            inner, _recurrent_part(state), _recurrent_part(initial), mask, reset
        )
        return hidden * features["gate"], {"convolution": seen, **state}

    def readout(self, emitted):
        return ops.matmul(emitted, self.cast(self.output_kernel)) + self.cast(self.output_bias)

    def count_flops(self, batch_size: int, length: int) -> int:
        """`2 B T R (2 D + units)` and those of the RG-LRU, for inputs D wide; R its width."""
        width = 2 * self.kernel.shape[0] + self.units
        projections = 2 * batch_size * length * self.recurrent_units * width
        return projections + self.recurrence.flops(batch_size, length)


def _recurrent_part(state) -> dict:
    return {name: value for name, value in state.items() if name != "convolution"}


def lecun(fan_in: int) -> keras.initializers.Initializer:
    """Normal with variance `1 / fan_in`, which the shape of a kernel in blocks does not tell."""
    return keras.initializers.RandomNormal(stddev=fan_in**-0.5)


def initial_decay(shape, dtype=None):
    """Lambda for which `a^c = exp(-c softplus(Lambda))` is uniform in `[FASTEST, SLOWEST]`."""
    decay = keras.initializers.RandomUniform(FASTEST, SLOWEST)(shape, dtype)
    return ops.log(ops.expm1(-ops.log(decay) / C))
