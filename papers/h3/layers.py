"""S4D (Gu et al., 2022) and H3 (Fu et al., 2022): layers of linear state space models."""

import math

import keras
import numpy as np
from einops import rearrange
from keras import initializers, ops

from common.checks import check_choice, check_divides, check_flags, check_positive, refuse
from common.layers import SequenceLayer, StateSpec
from common.ops.activations import gelu
from common.ops.complex_pairs import join, parts, times
from common.ops.diagonal_ssm import (
    SHORT,
    diagonal_ssm_step,
    parallel_diagonal_ssm,
    recurrent_diagonal_ssm,
)
from common.ops.short_convolution import causal_convolution, causal_convolution_step
from papers.h3.shift import parallel_causal_convolution, shift_response

DISCRETISATIONS = ("zoh", "bilinear")

# The steps Delta are log-uniform between these at first, in both papers' code.
_SMALLEST_STEP, _LARGEST_STEP = 1e-3, 1e-1

# Of |A'|^2, whose logarithm is taken.
_SMALLEST_SIZE = 1e-6


def initial_frequencies(name: str, state_dim: int) -> np.ndarray:
    """Imaginary parts of the initial poles, `(state_dim / 2,)`.

    `"linear"` is S4D-Lin, `pi n`; `"inverse"` is S4D-Inv, `N / pi (N / (2 n + 1) - 1)`. All real
    parts are -1/2.
    """
    n = np.arange(state_dim // 2)
    if name == "linear":
        return np.pi * n
    return state_dim / np.pi * (state_dim / (2 * n + 1) - 1)


class _StateSpaceLayer(SequenceLayer):
    """Holds the diagonal state space models, a system a channel.

        x'(t) = A x(t) + u(t)        y(t) = 2 Re(C . x(t)) + D u(t)

    with a complex diagonal A, of whose conjugate pairs one half is kept. Over steps of Delta this
    becomes `x_t = A' x_{t-1} + B' u_t`, by a zero-order hold or by the bilinear transform:

        "zoh"         A' = e^{Delta A}                            B' = (e^{Delta A} - 1) / A
        "bilinear"    A' = (1 + Delta A / 2) / (1 - Delta A / 2)  B' = Delta / (1 - Delta A / 2)

    Because B' only scales what C reads, the state is kept without it and C B' is read.
    """

    forms = ("parallel", "recurrent")
    # A and Delta, which the authors' code leaves out of weight decay.
    no_decay: tuple[str, ...] = ("log_step", "log_decay", "frequency")

    def __init__(
        self,
        units: int,
        state_dim: int = 64,
        initialisation: str = "linear",
        discretisation: str = "zoh",
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(self, units=units, state_dim=state_dim)
        if state_dim % 2:
            refuse(self, "state_dim", "even, two a conjugate pair", state_dim)
        check_choice(self, ("linear", "inverse"), initialisation=initialisation)
        check_choice(self, DISCRETISATIONS, discretisation=discretisation)
        self.units = units
        self.state_dim = state_dim
        self.initialisation = initialisation
        self.discretisation = discretisation

    @property
    def output_dim(self) -> int:
        return self.units

    def build_systems(self, channels: int, copies: int, read_stddev: float) -> None:
        """Adds the weights of `channels` systems.

        Args:
            channels: Number of systems.
            copies: Sets of poles: `channels`, or 1 for one set that all share.
            read_stddev: Standard deviation of the real and imaginary parts of the initial C.
        """
        pairs = self.state_dim // 2
        frequencies = initial_frequencies(self.initialisation, self.state_dim)
        self.log_step = self.add_weight(
            (channels,),
            initializers.RandomUniform(math.log(_SMALLEST_STEP), math.log(_LARGEST_STEP)),
            name="log_step",
        )
        # A = -exp(log_decay) + i frequency
        self.log_decay = self.add_weight(
            (copies, pairs), initializers.Constant(math.log(0.5)), name="log_decay"
        )
        self.frequency = self.add_weight(
            (copies, pairs),
            lambda shape, dtype: ops.tile(ops.cast(frequencies, dtype)[None], (copies, 1)),
            name="frequency",
        )
        self.read = self.add_weight(
            (channels, self.state_dim), initializers.RandomNormal(0, read_stddev), name="read"
        )
        self.skip = self.add_weight((channels,), initializers.RandomNormal(0, 1), name="skip")

    def system(self):
        """`log A'` and `C B'`, both `(channels, state_dim)`: real parts and imaginary parts."""
        step = ops.exp(self._wide(self.log_step))[:, None]
        pole = -ops.exp(self._wide(self.log_decay)), self._wide(self.frequency)
        discretise = _hold if self.discretisation == "zoh" else _bilinear
        log_pole, gain = discretise(step, *pole)
        return join(log_pole), join(times(parts(self._wide(self.read)), gain))

    def _wide(self, weight):
        return ops.cast(weight, self.state_dtype)

    def _system_flops(self, sequences: int, channels: int, length: int) -> int:
        """In the parallel form `2 N D T (1 + B)`, for the kernel and the last state.

        T is padded to whole blocks of about its root. The convolution comes on top, and a step of
        the recurrent form is elementwise.
        """
        if self.resolved_form == "recurrent":
            return 0
        block = 2 ** math.ceil(math.log2(length) / 2)
        padded = -(-length // block) * block
        products = 2 * self.state_dim * channels * padded * (1 + sequences)
        return products + self._convolution_flops(sequences, channels, length)

    def _convolution_flops(self, sequences: int, channels: int, length: int) -> int:
        """`2 B D T^2` where T is short, in the parallel form; transforms are not counted."""
        if self.resolved_form == "recurrent" or length > SHORT:
            return 0
        return 2 * sequences * channels * length**2


def _hold(step, a_re, a_im):
    """`log A'` and `B'` of a zero-order hold, as pairs of real and imaginary parts."""
    re, im = step * a_re, step * a_im
    # e^{re + i im} - 1, without the cancellation for small steps.
    grown = (
        ops.expm1(re) * ops.cos(im) - 2 * ops.square(ops.sin(im / 2)),
        ops.exp(re) * ops.sin(im),
    )
    size = ops.square(a_re) + ops.square(a_im)
    b_re, b_im = times(grown, (a_re, -a_im))
    return (re, im), (b_re / size, b_im / size)


def _bilinear(step, a_re, a_im):
    """`log A'` and `B'` of the bilinear transform, as pairs of real and imaginary parts."""
    re, im = step * a_re / 2, step * a_im / 2
    size = ops.square(1 - re) + ops.square(im)
    # |A'|^2 = |1 + z|^2 / |1 - z|^2 = 1 + 4 Re z / |1 - z|^2, which is 0 only at z = -1.
    log_size = ops.log1p(ops.maximum(4 * re / size, -1 + _SMALLEST_SIZE)) / 2
    angle = ops.arctan2(im, 1 + re) + ops.arctan2(im, 1 - re)
    return (log_size, angle), (step * (1 - re) / size, step * im / size)


@keras.saving.register_keras_serializable(package="papers")
class S4D(_StateSpaceLayer):
    """Diagonal state space models, one a channel, and a layer that mixes the channels.

    Gu et al. (2022). Each channel of the input drives a system of its own, by default

        x_t = e^{Delta A} x_{t-1} + (e^{Delta A} - 1) / A u_t
        y_t = 2 Re(C . x_t) + D u_t

    and the output is `W gelu(y_t) + b`, as in the authors' code. Because nothing in it depends on
    the input, all outputs are a convolution (`parallel`, by FFT). The systems are computed in the
    state dtype.

    State: `{"memory": (B, D, state_dim)}`, the real parts of x and then the imaginary ones,
    without the factor B' of u.

    Args:
        units: Width of the output.
        state_dim: Size N of a system's state; N / 2 complex numbers.
        initialisation: Of A, `"linear"` (S4D-Lin) or `"inverse"` (S4D-Inv).
        discretisation: `"zoh"`, a zero-order hold, or `"bilinear"`.
        shared_poles: Whether one A serves all channels; Delta, C and D stay a channel's own.
        **kwargs: Arguments of `SequenceLayer`.

    Raises:
        ValueError: if a size is not a positive integer, `state_dim` is odd, or `initialisation`
            or `discretisation` is unknown.
    """

    def __init__(
        self,
        units: int,
        state_dim: int = 64,
        initialisation: str = "linear",
        discretisation: str = "zoh",
        shared_poles: bool = False,
        **kwargs,
    ):
        super().__init__(units, state_dim, initialisation, discretisation, **kwargs)
        check_flags(self, shared_poles=shared_poles)
        self.shared_poles = shared_poles

    def build(self, input_shape):
        super().build(input_shape)
        channels = input_shape[-1]
        # With this, a constant input of 1 is answered in the end with a variance of 1.
        poles = -0.5 + 1j * initial_frequencies(self.initialisation, self.state_dim)
        stddev = float(np.sum(2 * np.abs(poles) ** -2.0) ** -0.5)
        self.build_systems(channels, 1 if self.shared_poles else channels, stddev * math.sqrt(0.5))
        self.kernel = self.add_weight((channels, self.units), "glorot_uniform", name="kernel")
        self.bias = self.add_weight((self.units,), "zeros", name="bias")

    def state_spec(self) -> dict:
        return {"memory": StateSpec((self.log_step.shape[0], self.state_dim))}

    def features(self, inputs, training=None):
        return ops.cast(inputs, self.state_dtype)

    def recur(self, features, state):
        log_pole, weight = self.system()
        y, memory = diagonal_ssm_step(features, log_pole, weight, state["memory"])
        return y + self._wide(self.skip) * features, {"memory": memory}

    def recurrent(self, features, state, initial, mask, reset):
        return self._mix(recurrent_diagonal_ssm, features, state["memory"], mask, reset)

    def parallel(self, features, state, initial, mask, reset):
        # From the beginning there is nothing to read: zeros.
        start = None if state is initial else state["memory"]
        return self._mix(parallel_diagonal_ssm, features, start, mask, reset)

    def _mix(self, run, features, state, mask, reset):
        y, final = run(features, *self.system(), state, mask=mask, reset=reset)
        return y + self._wide(self.skip) * features, {"memory": final}

    def readout(self, emitted):
        emitted = self.cast(gelu(emitted))
        return ops.matmul(emitted, self.cast(self.kernel)) + self.cast(self.bias)

    def count_flops(self, batch_size: int, length: int) -> int:
        """`2 B T D units`, and in the parallel form what the systems take (`_system_flops`)."""
        channels = self.kernel.shape[0]
        mixing = 2 * batch_size * length * channels * self.units
        return mixing + self._system_flops(batch_size, channels, length)


@keras.saving.register_keras_serializable(package="papers")
class H3(_StateSpaceLayer):
    """Two state space models and two products, which do what attention does (section 3.2).

    With q, k, v projections of the input and heads of size `head_dim`,

        k'_t = sum_j K_j k_{t-j} + D k_t, j < state_dim       shift: the last keys
        S_t  = the systems of `S4D`, driven by k'_t v_t^T     diagonal: a memory of pairs
        o_t  = W (q_t^T S_t) + b

    The shift system's state matrix moves the state on by one place, and K_j = C . A^j B; the
    diagonal systems are one a head, which all its `head_dim^2` products share. Both systems learn
    their input vectors B, which begin as the first unit vector and as ones. They only change what
    C does, but with them training is faster. Products, systems and the shift are computed in the
    state dtype.

    State: `{"shift": (B, state_dim - 1, units), "memory": (B, head_dim^2, H, state_dim)}`, the
    keys in the compute dtype, in which they were computed, the newest last, and the memory as in
    `S4D`.

    Args:
        units: Width of projections and output.
        state_dim: Size of the diagonal systems' states, and how many keys the shift remembers.
        head_dim: Size of a head; `units / head_dim` is their number H.
        initialisation: Of A, `"linear"` (S4D-Lin) or `"inverse"` (S4D-Inv).
        discretisation: `"zoh"`, a zero-order hold, or `"bilinear"`, as in the authors' code.
        **kwargs: Arguments of `SequenceLayer`.

    Raises:
        ValueError: if a size is not a positive integer, `state_dim` is odd, `head_dim` does not
            divide `units`, or `initialisation` or `discretisation` is unknown.
    """

    # And both B: `write` and `shift_write`.
    no_decay = (*_StateSpaceLayer.no_decay, "write")

    def __init__(
        self,
        units: int,
        state_dim: int = 64,
        head_dim: int = 1,
        initialisation: str = "linear",
        discretisation: str = "bilinear",
        **kwargs,
    ):
        super().__init__(units, state_dim, initialisation, discretisation, **kwargs)
        check_positive(self, head_dim=head_dim)
        check_divides(self, "`units`", units, head_dim=head_dim)
        self.head_dim = head_dim
        self.num_heads = units // head_dim

    def build(self, input_shape):
        super().build(input_shape)
        width = self.units
        self.kernel = self.add_weight(
            (input_shape[-1], 3 * width), self._initial_kernel, name="kernel"
        )
        self.bias = self.add_weight((3 * width,), "zeros", name="bias")
        # As PyTorch initialises a convolution of this width.
        bound = self.state_dim**-0.5
        self.shift_read = self.add_weight(
            (self.state_dim, width), initializers.RandomUniform(-bound, bound), name="shift_read"
        )
        self.shift_write = self.add_weight(
            (self.state_dim, width), _first_unit_vector, name="shift_write"
        )
        self.shift_skip = self.add_weight(
            (width,), initializers.RandomNormal(0, 1), name="shift_skip"
        )
        self.build_systems(self.num_heads, self.num_heads, math.sqrt(0.5))
        self.write = self.add_weight((self.num_heads, self.state_dim), _complex_ones, name="write")
        self.output_kernel = self.add_weight((width, width), "glorot_uniform", name="output_kernel")
        self.output_bias = self.add_weight((width,), "zeros", name="output_bias")

    def system(self):
        log_pole, read = super().system()
        return log_pole, join(times(parts(read), parts(self._wide(self.write))))

    def _initial_kernel(self, shape, dtype=None):
        # Three projections side by side, each with its own bounds. An initializer gives the same
        # values whenever it is called, so there are three.
        third = (shape[0], shape[1] // 3)
        thirds = [initializers.GlorotUniform()(third, dtype) for _ in range(3)]
        return ops.concatenate(thirds, axis=-1)

    def state_spec(self) -> dict:
        products = (self.head_dim**2, self.num_heads, self.state_dim)
        return {
            "shift": StateSpec((self.state_dim - 1, self.units), self.compute_dtype),
            "memory": StateSpec(products),
        }

    def features(self, inputs, training=None):
        projected = ops.matmul(inputs, self.cast(self.kernel)) + self.cast(self.bias)
        return dict(zip("qkv", ops.split(projected, 3, axis=-1), strict=True))

    def recur(self, features, state):
        k, shift = causal_convolution_step(features["k"], self._shift_kernel(), state["shift"])
        # As a sequence of one step.
        q, k, v = (x[:, None] for x in (features["q"], k, features["v"]))
        products = self._products(k, v)
        log_pole, weight = self.system()
        folded = self._fold(state["memory"])
        y, memory = diagonal_ssm_step(products[:, 0], log_pole, weight, folded)
        emitted = self._attend(q, y[:, None], products)
        return emitted[:, 0], {"shift": shift, "memory": self._unfold(memory)}

    def recurrent(self, features, state, initial, mask, reset):
        runs = causal_convolution, recurrent_diagonal_ssm
        return self._mix(*runs, features, state["shift"], state["memory"], mask, reset)

    def parallel(self, features, state, initial, mask, reset):
        # From the beginning there is nothing to read: zeros.
        keys, memory = (None, None) if state is initial else (state["shift"], state["memory"])
        shift, run = parallel_causal_convolution, parallel_diagonal_ssm
        return self._mix(shift, run, features, keys, memory, mask, reset)

    def _mix(self, shift, run, features, keys, memory, mask, reset):
        k, keys = shift(features["k"], self._shift_kernel(), keys, mask=mask, reset=reset)
        products = self._products(k, features["v"])
        # All products of a head run through the same system, as sequences of their own.
        count = self.head_dim**2
        marks = {"mask": mask, "reset": reset}
        marks = {
            name: None if flags is None else ops.repeat(flags, count, axis=0)
            for name, flags in marks.items()
        }
        memory = None if memory is None else self._fold(memory)
        y, memory = run(products, *self.system(), memory, **marks)
        emitted = self._attend(features["q"], y, products)
        return emitted, {"shift": keys, "memory": self._unfold(memory)}

    def _shift_kernel(self):
        """B, C and D of the shift as one kernel, the current step last, `(state_dim, units)`."""
        response = shift_response(self._wide(self.shift_write), self._wide(self.shift_read))
        current = response[:1] + self._wide(self.shift_skip)
        return ops.flip(ops.concatenate([current, response[1:]], axis=0), axis=0)

    def _products(self, k, v):
        """`k_t v_t^T` of all heads, in the state dtype: `(B head_dim^2, T, H)`."""
        k, v = (rearrange(self._wide(x), "b t (h d) -> b d t h", d=self.head_dim) for x in (k, v))
        return rearrange(k[:, :, None] * v[:, None], "b k v t h -> (b k v) t h")

    def _attend(self, q, y, products):
        """`q_t^T S_t` with `S_t = y_t + D k_t v_t^T`, heads joined: `(B, T, units)`."""
        size = self.head_dim
        memory = y + self._wide(self.skip) * products
        memory = rearrange(memory, "(b k v) t h -> b k v t h", k=size, v=size)
        q = rearrange(self._wide(q), "b t (h d) -> b d t h", d=size)
        return rearrange(ops.sum(q[:, :, None] * memory, axis=1), "b v t h -> b t (h v)")

    def _fold(self, memory):
        return rearrange(memory, "b e h n -> (b e) h n")

    def _unfold(self, memory):
        return rearrange(memory, "(b e) h n -> b e h n", e=self.head_dim**2)

    def readout(self, emitted):
        emitted = self.cast(emitted)
        return ops.matmul(emitted, self.cast(self.output_kernel)) + self.cast(self.output_bias)

    def count_flops(self, batch_size: int, length: int) -> int:
        """`2 B T (3 D units + units^2)`, and in the parallel form more.

        That is `2 N H T (1 + B head_dim^2)` for the diagonal systems and, up to `SHORT` steps,
        `2 B T^2 (H head_dim^2 + units)` for the two convolutions.
        """
        projections = self.kernel.shape[0] * 3 * self.units + self.units**2
        return (
            2 * batch_size * length * projections
            + self._system_flops(batch_size * self.head_dim**2, self.num_heads, length)
            + self._convolution_flops(batch_size, self.units, length)
        )


def _first_unit_vector(shape, dtype=None):
    return ops.cast(ops.arange(shape[0])[:, None] == 0, dtype) * ops.ones(shape, dtype)


def _complex_ones(shape, dtype=None):
    return ops.cast(ops.arange(shape[1])[None] < shape[1] // 2, dtype) * ops.ones(shape, dtype)
