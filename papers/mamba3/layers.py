"""Mamba-3's block: a state-space model by the trapezoidal rule, whose state turns (Lahoti 2026)."""

import math
from functools import partial
from itertools import accumulate

import keras
from einops import rearrange
from keras import ops

from common.checks import (
    check_choice,
    check_divides,
    check_numbers,
    check_positive,
    check_powers_of_two,
    given,
    refuse,
)
from common.layers import SequenceLayer, StateSpec
from common.ops.gated_attention import (
    chunkwise_gated_attention,
    gated_attention_flops,
    parallel_gated_attention,
)
from common.ops.time_axis import (
    compact,
    expand_like,
    spread,
    steps_taken,
    take_steps,
    zero_unless,
)
from papers.mamba3.rotation import sum_angles, turn_back, wrap

ROTATIONS = ("data_dependent", "standard")
DISCRETIZATIONS = ("trapezoidal", "euler")
RATES = ("softplus", "heavy_tail")

# As in the authors' code: the range of the initial step sizes, and the least -A.
DELTA_RANGE = (1e-3, 1e-1)
LEAST_RATE = 1e-4
# Of standard rotary positions.
_BASE = 1e4


@keras.saving.register_keras_serializable(package="papers")
class Mamba3(SequenceLayer):
    """A Mamba-3 block (section 3.4, figure 2), without its norm and residual connection.

        z, x, B, C, r, a, l, w = W_in u                     at every step t
        Delta = softplus(r + b_dt),   lambda = sigmoid(l)    one number a head
        A     = -softplus(a)
        B, C  = norm(B) + b_B,  norm(C) + b_C                RMS over N; the biases of each head
        theta = pi tanh(w)                                   M = N/2 numbers, for all heads
        alpha_t = exp(Delta_t A_t),   T_t turns each pair of coordinates by Delta_t theta_t
        H_t = alpha_t T_t (H_{t-1} + (1 - lambda_t) Delta_t B_{t-1} x_{t-1}^T)
              + lambda_t Delta_t B_t x_t^T                   N x P, a head of P of the E channels
        y_t = H_t^T C_t + D x_t
        o_t = W_out (y_t * silu(z_t))

    (propositions 1 and 4, eqs. 5 and 6; the mask is eq. 7's). The trapezoidal rule weighs the
    inputs at both ends of a step, which is a convolution of two steps inside the recurrence: there
    is no other. With `discretization="euler"` lambda is 1, as in Mamba-2. The rotations make the
    state complex, a pair of coordinates i and i + N/2 the real and the imaginary part of a number
    (proposition 2). With `rotation="standard"` T_t turns by 10000^(-2i/N) at every step, and with
    `None` not at all, which are the paper's ablations.

    Seen from a frame that turns with T, B_t and C_t are turned back by the sum of the angles up to
    t, and H by none (proposition 3). What is written at t is read at t with the weight
    lambda_t Delta_t, and with (1 - lambda_{t+1}) Delta_{t+1} more after it. So the forms are
    Mamba-2's, `common.ops.gated_attention`: chunk by chunk, or one masked product, with the weight
    of later steps, less what is too much at the step itself. Or the equations, step by step.

    With a `rank` R above 1 the layer has many inputs and outputs (MIMO, section 3.3 and appendix
    C): B and C are N x R, of one state. x, z and y have R columns, each channel's times R learned
    numbers, and the outputs' columns, gated, are added up:

        H_t = ... + lambda_t Delta_t B_t X_t^T,   X_t = x_t * mimo_x       P x R
        Y_t = H_t^T C_t + D X_t
        o_t = W_out sum_r (Y_t * silu(z_t * mimo_z) * mimo_o)_r

    The columns are R steps for the op, of which only the first decays (eqs. 12 to 14), and a chunk
    holds C / R steps, as in the paper; what a column is to read of the columns after it is added.

    State: `{"ssm": (B, H, N, P), "angle": (B, H, M), "b": (B, H, R, N), "x": (B, H, P)}`: H as
    seen from the frame, the sums of the M angles (fewer by `rotary_fraction`), from -pi to pi
    however long the sequence, and the last step's B, as seen from the frame, and x, in the compute
    dtype, in which it was computed. `"angle"` only with a rotation, `"b"` and `"x"` only with the
    trapezoidal rule.

    `skip` (D) and `dt_bias` are float32 under mixed policies and are not to decay:
    `optimizer.exclude_from_weight_decay(var_names=Mamba3.no_decay)`.

    Args:
        units: Width of the output.
        state_dim: N, even with a rotation.
        head_dim: P, a divisor of E.
        num_groups: G, groups of heads with a B and a C of their own, but for the biases.
        expansion: E over `units`.
        rotation: `"data_dependent"`, `"standard"` or `None`.
        discretization: `"trapezoidal"` or `"euler"`.
        rotary_fraction: Share of the N/2 pairs, from the first on, that turn; the authors' code has
            half of them turn unless told otherwise.
        rate_activation: What makes -A of a: `"softplus"`, or `"heavy_tail"`, 1 + a above 0 and
            1 / (1 - a) below, which the authors' code has since June 2026.
        rank: R, columns of B, C and x. 1 is the layer with one input and one output (SISO).
        chunk_size: C, steps in a chunk of the chunkwise form, R of which are one of the sequence,
            and of the sums of angles; a power of two.
        num_residuals: Branches of the stack that are added to its stream; the initial W_out is
            divided by its square root, as in the authors' code.
        epsilon: Of the norms.
        **kwargs: Arguments of `SequenceLayer`.

    Raises:
        ValueError: if a size is not a positive integer, `state_dim` is odd with a rotation,
            `head_dim` does not divide E or `num_groups` the heads, `chunk_size` is no power of
            two, `epsilon` not positive, `rotary_fraction` turns no pair or more than all, or
            another argument is unknown.
    """

    forms = ("chunkwise", "parallel", "recurrent")
    no_decay = ("skip", "dt_bias")

    def __init__(
        self,
        units: int,
        state_dim: int = 128,
        head_dim: int = 64,
        num_groups: int = 1,
        expansion: int = 2,
        rotation: str | None = "data_dependent",
        discretization: str = "trapezoidal",
        rotary_fraction: float = 1.0,
        rate_activation: str = "softplus",
        rank: int = 1,
        chunk_size: int = 64,
        num_residuals: int = 1,
        epsilon: float = 1e-5,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(
            self,
            units=units,
            state_dim=state_dim,
            head_dim=head_dim,
            num_groups=num_groups,
            expansion=expansion,
            rank=rank,
            num_residuals=num_residuals,
        )
        check_choice(self, ROTATIONS, **given(rotation=rotation))
        check_choice(self, DISCRETIZATIONS, discretization=discretization)
        check_choice(self, RATES, rate_activation=rate_activation)
        check_powers_of_two(self, chunk_size=chunk_size)
        check_numbers(self, above=0, epsilon=epsilon, rotary_fraction=rotary_fraction)
        if rotation is not None and state_dim % 2:
            refuse(self, "state_dim", "even with a rotation", state_dim)
        num_angles = int(state_dim * rotary_fraction) // 2
        if rotation is not None and not 1 <= num_angles <= state_dim // 2:
            expected = f"at least 2 / `state_dim` = {2 / state_dim} and at most 1"
            refuse(self, "rotary_fraction", expected, rotary_fraction)
        inner = expansion * units
        check_divides(self, "`expansion` `units`", inner, head_dim=head_dim)
        check_divides(self, "the number of heads", inner // head_dim, num_groups=num_groups)
        self.units = units
        self.state_dim = state_dim
        self.head_dim = head_dim
        self.num_groups = num_groups
        self.rotation = rotation
        self.num_angles = num_angles
        self.trapezoidal = discretization == "trapezoidal"
        self.rate_activation = rate_activation
        self.rank = rank
        self.chunk_size = chunk_size
        self.num_residuals = num_residuals
        self.epsilon = epsilon
        self.inner_units = inner
        self.num_heads = inner // head_dim

    @property
    def output_dim(self) -> int:
        return self.units

    def state_spec(self) -> dict:
        heads = self.num_heads
        spec = {"ssm": StateSpec((heads, self.state_dim, self.head_dim))}
        if self.rotation is not None:
            spec["angle"] = StateSpec((heads, self.num_angles))
        if self.trapezoidal:
            spec["b"] = StateSpec((heads, self.rank, self.state_dim))
            spec["x"] = StateSpec((heads, self.head_dim), self.compute_dtype)
        return spec

    @property
    def _split_sizes(self) -> dict[str, int]:
        """What W_in makes, in its order, and of what width."""
        groups = self.rank * self.num_groups * self.state_dim
        sizes = {"z": self.inner_units, "x": self.inner_units, "b": groups, "c": groups}
        sizes |= {"delta": self.num_heads, "rate": self.num_heads}
        if self.trapezoidal:
            sizes["share"] = self.num_heads
        if self.rotation == "data_dependent":
            sizes["angle"] = self.num_angles
        return sizes

    def build(self, input_shape):
        super().build(input_shape)
        width, projected = input_shape[-1], sum(self._split_sizes.values())

        def uniform(fan_in, scale=1.0):
            # PyTorch's default, which the authors' code leaves as it is.
            bound = scale * fan_in**-0.5
            return keras.initializers.RandomUniform(-bound, bound)

        self.kernel = self.add_weight((width, projected), uniform(width), name="kernel")
        kept = {"dtype": self.state_dtype}
        self.dt_bias = self.add_weight((self.num_heads,), _initial_dt_bias, name="dt_bias", **kept)
        for name in ("b", "c"):
            scale = self.add_weight((self.state_dim,), "ones", name=f"{name}_scale")
            shape = (self.num_heads, self.rank, self.state_dim)
            bias = self.add_weight(shape, "ones", name=f"{name}_bias")
            setattr(self, f"{name}_scale", scale)
            setattr(self, f"{name}_bias", bias)
        self.skip = self.add_weight((self.num_heads,), "ones", name="skip", **kept)
        if self.rank > 1:
            # As in the authors' code. Columns with the same B and C would be one, but for D / R.
            share = keras.initializers.Constant(1 / self.rank)
            for name, start in (("mimo_x", share), ("mimo_z", "ones"), ("mimo_o", share)):
                shape = (self.num_heads, self.rank, self.head_dim)
                setattr(self, name, self.add_weight(shape, start, name=name))
        self.output_kernel = self.add_weight(
            (self.inner_units, self.units),
            uniform(self.inner_units, self.num_residuals**-0.5),
            name="output_kernel",
        )

    def features(self, inputs, training=None):
        sizes = self._split_sizes
        ends = list(accumulate(sizes.values()))[:-1]
        parts = ops.split(ops.matmul(inputs, self.cast(self.kernel)), ends, axis=-1)
        # What is summed along the sequence is float32 at least.
        part = dict(zip(sizes, (self._wide(one) for one in parts), strict=True))
        delta = ops.softplus(part["delta"] + self.dt_bias)
        rate = self._rate(part["rate"])
        least = ops.cast(LEAST_RATE, self.state_dtype)
        features = {
            "z": parts[0],
            "x": self._by_head(part["x"]),
            "b": self._normalise(part["b"], self.b_scale, self.b_bias),
            "c": self._normalise(part["c"], self.c_scale, self.c_bias),
            "log_decay": (-ops.where(rate > least, rate, least) * delta)[..., None],
            "own": delta[..., None],
        }
        if self.trapezoidal:
            share = ops.sigmoid(part["share"])
            features["own"] = (share * delta)[..., None]
            # 1 - share, without a difference that is rounded.
            features["before"] = (ops.sigmoid(-part["share"]) * delta)[..., None]
        if self.rotation == "data_dependent":
            theta = math.pi * ops.tanh(part["angle"])
            features["angle"] = delta[..., None] * theta[..., None, :]
        elif self.rotation == "standard":
            rates = [_BASE ** (-i / self.num_angles) for i in range(self.num_angles)]
            rates = ops.convert_to_tensor(rates, self.state_dtype)
            features["angle"] = ops.ones_like(delta)[..., None] * rates
        return features

    def _normalise(self, x, scale, bias):
        """B or C of every head, `(..., H, R, N)`."""
        x = rearrange(x, "... (r g n) -> ... g r n", r=self.rank, g=self.num_groups)
        size = ops.rsqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + self.epsilon)
        x = ops.repeat(x * size * self._wide(scale), self.num_heads // self.num_groups, axis=-3)
        return x + self._wide(bias)

    def _rate(self, x):
        if self.rate_activation == "softplus":
            return ops.softplus(x)
        return ops.relu(x) + 1 / (1 + ops.relu(-x))

    def _turn_back(self, x, angle):
        """`x (..., H, R, N)` seen from the frame that has turned by `angle (..., H, M)`."""
        still = self.state_dim // 2 - self.num_angles
        if still:
            angle = ops.pad(angle, [(0, 0)] * (len(angle.shape) - 1) + [(0, still)])
        return turn_back(x, angle[..., None, :])

    def _by_head(self, x):
        return rearrange(x, "... (h p) -> ... h p", h=self.num_heads)

    def _columns(self, x, name):
        """The columns `(..., H, R, P)` of `x (..., H, P)`: times the weight of that name."""
        x = x[..., None, :]
        return x * self._wide(getattr(self, name)) if self.rank > 1 else x

    def recur(self, features, state):
        b, c, x = features["b"], features["c"], self._columns(features["x"], "mimo_x")
        new = dict.fromkeys(self.state_spec())
        if self.rotation is not None:
            new["angle"] = angle = wrap(state["angle"] + features["angle"])
            b, c = self._turn_back(b, angle), self._turn_back(c, angle)
        memory = state["ssm"]
        if self.trapezoidal:
            new["b"], new["x"] = b, self.cast(features["x"])
            memory = memory + self._written(features["before"], state)
        decay = ops.exp(features["log_decay"])[..., None]
        new["ssm"] = decay * memory + _outer(b, features["own"][..., None] * x)
        return self._emit(c @ new["ssm"], x, features), new

    def parallel(self, features, state, initial, mask, reset):
        return self._mix(parallel_gated_attention, features, state, mask, reset)

    def chunkwise(self, features, state, initial, mask, reset):
        attention = partial(chunkwise_gated_attention, chunk_size=self.chunk_size)
        return self._mix(attention, features, state, mask, reset)

    def _mix(self, attention, features, state, mask, reset):
        # A reset puts zeros back, which is what the ops do by default.
        b, c, x = features["b"], features["c"], self._columns(features["x"], "mimo_x")
        new = dict.fromkeys(self.state_spec())
        if self.rotation is not None:
            angle, new["angle"] = sum_angles(
                features["angle"], state["angle"], mask, reset, self.chunk_size
            )
            b, c = self._turn_back(b, angle), self._turn_back(c, angle)
        memory, own = state["ssm"], features["own"][..., None]
        # What a column reads of a column at its own step is too much or lacking.
        weight, after = own, ops.triu(ops.ones((self.rank, self.rank), own.dtype), k=1)
        correction = own * after
        if self.trapezoidal:
            # The last step's is the next call's to add: what is left is the state of now.
            first, later = _following(features["before"], mask)
            memory = memory + self._written(first, state)
            later = later[..., None]
            weight, correction = own + later, correction - later * (1 - after)
            new["b"], new["x"] = _last(
                (b, self.cast(features["x"])), (state["b"], state["x"]), mask, reset
            )
        y, new["ssm"] = attention(
            *(_in_steps(one) for one in (c, b, weight * x)),
            _in_steps(self._at_first_column(features["log_decay"][..., None, :])),
            memory,
            mask=None if mask is None else ops.repeat(mask, self.rank, axis=1),
            reset=None if reset is None else self._reset_in_steps(reset),
        )
        y = rearrange(y, "b (t r) h p -> b t h r p", r=self.rank)
        if self.trapezoidal or self.rank > 1:
            y = y + (correction * (c @ ops.swapaxes(b, -1, -2))) @ x
        return self._emit(y, x, features), new

    def _at_first_column(self, x):
        """`x (..., 1, M)` and zeros for the other columns, `(..., R, M)`."""
        return ops.pad(x, [(0, 0)] * (len(x.shape) - 2) + [(0, self.rank - 1), (0, 0)])

    def _reset_in_steps(self, reset):
        flags = self._at_first_column(ops.cast(reset, "int32")[..., None, None])
        return ops.cast(rearrange(flags, "b t r 1 -> b (t r)"), "bool")

    def _written(self, weight, state):
        """What the step before wrote, so weighed once more, `(B, H, N, P)`."""
        x = self._columns(self._wide(state["x"]), "mimo_x")
        return _outer(weight[..., None] * state["b"], x)

    def _emit(self, y, x, features):
        return {"y": y + ops.convert_to_tensor(self.skip)[:, None, None] * x, "z": features["z"]}

    def readout(self, emitted):
        z = self._by_head(emitted["z"])
        if self.rank > 1:
            z = self._columns(self._wide(z), "mimo_z")
            gated = emitted["y"] * ops.silu(z) * self._wide(self.mimo_o)
        else:
            gated = emitted["y"] * self._wide(ops.silu(z))[..., None, :]
        joined = rearrange(ops.sum(gated, axis=-2), "... h p -> ... (h p)")
        return ops.matmul(self.cast(joined), self.cast(self.output_kernel))

    def _wide(self, x):
        return ops.cast(x, self.state_dtype)

    def count_flops(self, batch_size: int, length: int) -> int:
        """`2 B T (D (2 E + 2 R G N + 3 H + M) + E units)`, and what is done along time.

        Those of `common.ops.gated_attention` for R T steps, with as many groups as heads, and
        `2 B T H R^2 (N + P)` for what columns read of their own step. Recurrent, each of two
        products that write costs as much as the one that reads, the second by the trapezoidal rule
        alone. Else the sums of angles cost `2 B T C H M`.
        """
        weights = self.kernel.shape[0] * self.kernel.shape[1] + self.inner_units * self.units
        heads, n, p = self.num_heads, self.state_dim, self.head_dim
        steps = self.rank * length
        form, chunk = self.resolved_form, self.chunk_size
        mixing = gated_attention_flops(form, steps, heads, n, p, chunk_size=chunk)
        if form == "recurrent":
            mixing *= 3 if self.trapezoidal else 2
        else:
            if self.trapezoidal or self.rank > 1:
                mixing += 2 * heads * steps * self.rank * (n + p)
            if self.rotation is not None:
                mixing += 2 * -(-length // chunk) * chunk * chunk * heads * self.num_angles
        return batch_size * (2 * length * weights + mixing)


def _following(x, mask):
    """Of `x (B, T, ...)` what stands at the first valid step, and after each valid one.

    Returns:
        `(first, later)`: `(B, ...)` and `(B, T, ...)`, zeros where there is no such step.
    """
    valid = x if mask is None else compact(x, mask)
    later = ops.concatenate([valid[:, 1:], ops.zeros_like(valid[:, :1])], axis=1)
    return valid[:, 0], later if mask is None else spread(later, steps_taken(mask))


def _last(xs, states, mask, reset):
    """What the last valid step left of `xs`, each `(B, T, ...)`, in place of `states (B, ...)`.

    That is zeros where a reset came after it, and the state where there was no valid step.
    """
    if mask is None:
        return tuple(x[:, -1] for x in xs)
    numbers = ops.arange(ops.shape(mask)[1]) + 1
    at = ops.max(ops.where(mask, numbers, 0), axis=1)[:, None]
    left = [
        take_steps(ops.concatenate([s[:, None], x], axis=1), at)[:, 0]
        for x, s in zip(xs, states, strict=True)
    ]
    if reset is None:
        return tuple(left)
    document = ops.cumsum(ops.cast(reset, "int32"), axis=1)
    own = ops.equal(take_steps(ops.pad(document, ((0, 0), (1, 0))), at), document[:, -1:])
    return tuple(zero_unless(expand_like(own[:, 0], x), x) for x in left)


def _outer(b, x):
    """`(..., N, P)`, the products of the columns of `b (..., R, N)` and `x (..., R, P)`, summed."""
    return ops.swapaxes(b, -1, -2) @ x


def _in_steps(x):
    """Every column of `x (B, T, H, R, M)` as a step, `(B, T R, H, M)`."""
    return rearrange(x, "b t h r m -> b (t r) h m")


def _initial_dt_bias(shape, dtype=None):
    """The inverse softplus of step sizes whose logarithms are uniform in `DELTA_RANGE`."""
    low, high = (math.log(value) for value in DELTA_RANGE)
    delta = ops.exp(keras.random.uniform(shape, low, high, dtype="float32"))
    return ops.cast(delta + ops.log(-ops.expm1(-delta)), dtype)
