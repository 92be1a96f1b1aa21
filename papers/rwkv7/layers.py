"""RWKV-7's time mixing, and its MLP, which sees the step before (Peng et al., 2025)."""

from functools import partial

import keras
from einops import rearrange
from keras import ops

from common.checks import (
    check_choice,
    check_divides,
    check_integers,
    check_numbers,
    check_positive,
    check_powers_of_two,
    given,
    refuse,
)
from common.layers import SequenceLayer, StateSpec
from common.ops.generalized_delta_rule import (
    chunkwise_generalized_delta_rule,
    generalized_delta_rule_flops,
    generalized_delta_rule_step,
    recurrent_generalized_delta_rule,
)
from common.ops.short_convolution import causal_convolution
from papers.rwkv7.initial import (
    bias_of_decays,
    bias_of_rates,
    bias_of_residuals,
    orthogonal,
    ramp,
    scale_of_removals,
    shifts,
)

# exp(-0.5): a step keeps at least exp(-exp(-0.5)), 0.545, of what the memory holds.
_SLOWEST = 0.6065306597126334

# Keeps the length of a key from zero; their code takes 1e-12 where it is less.
_LENGTH = 1e-20

RESIDUALS = ("first", "later")


class TokenShift(SequenceLayer):
    """Base of layers that see, beside each step's inputs, those of the valid step before.

    State: `{"shift": (B, 1, D)}`, the inputs of the last step, in the compute dtype.

    Args:
        units: Width of the output.
        index: Which of a model's blocks the layer is in, from 0 on, and `num_layers`, how many
            there are: initial values depend on them.
        num_layers: See `index`.
        output_gain: Of the projection's orthogonal initial values. In the authors' models it is 0:
            a block starts as the identity.
        **kwargs: Arguments of `SequenceLayer`.

    Raises:
        ValueError: if a size is not a positive integer or `index` not one from 0 to
            `num_layers - 1`; when the state is asked for, if the layer is not built yet.
    """

    def __init__(
        self,
        units: int,
        index: int = 0,
        num_layers: int = 1,
        output_gain: float = 1.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(self, units=units, num_layers=num_layers)
        check_integers(self, 0, num_layers - 1, index=index)
        check_numbers(self, at_least=0, output_gain=output_gain)
        self.units = units
        self.index = index
        self.num_layers = num_layers
        self.output_gain = output_gain

    @property
    def output_dim(self) -> int:
        return self.units

    def state_spec(self) -> dict:
        if not self.built:
            raise ValueError(
                f"{type(self).__name__}: build the layer first; its state is as wide as the inputs."
            )
        return {"shift": StateSpec((1, self.shift.shape[-1]), self.compute_dtype)}

    def _before(self, inputs, state, mask, reset):
        """The inputs of the step before, `(B, T, D)`, and the new state."""
        width = inputs.shape[-1]
        kernel = ops.concatenate([ops.ones((1, width)), ops.zeros((1, width))])
        kernel = ops.cast(kernel, inputs.dtype)
        return causal_convolution(inputs, kernel, state["shift"], mask=mask, reset=reset)


@keras.saving.register_keras_serializable(package="papers")
class RWKV7(TokenShift):
    """Time mixing: a memory S that replaces what a key finds at a rate of its own a channel.

    Six mixtures x^r, x^w, x^k, x^v, x^a, x^g of a step's inputs and those of the step before,
    `x + mu (x_{t-1} - x_t)`, are projected (eq. 3 to 15), with `low(x) = f(x A) B`:

        r_t, k_t, v_t = x^r W_r, x^k W_k, x^v W_v
        w_t = exp(-exp(-0.5) sigmoid(low(x^w) + bias)),   f = tanh,   decay
        a_t = sigmoid(low(x^a) + bias),   in-context learning rate
        g_t = low(x^g),   f = sigmoid,   gate of the output
        l_t = xi k_t / |xi k_t|,   removal key, a head at a time
        m_t = k_t (1 + alpha (a_t - 1)),   replacement key

    and the memory of a head, the paper's transposed, is a diagonal plus a rank of one (eq. 17):

        S_t = (diag(w_t) - (a_t l_t) l_t^T) S_{t-1} + m_t v_t^T
        p_t = layer_norm(S_t^T r_t) + (r_t . rho m_t) v_t,   y_t = W_o (g_t p_t)   (eq. 20 to 22)

    With `value_residual="later"` the values are mixed with those of a model's first layer, which
    come beside the inputs (eq. 8 to 10), and with `"first"` go out beside the outputs:

        v_t = v_t + sigmoid(low(x^v) + bias) (first_t - v_t)

    Forms: chunk by chunk, and step by step. Memory, gates, keys and values are float32 under mixed
    policies.

    State: `{"memory": (B, H, K, K), "shift": (B, 1, D)}`: S, and the last inputs, in the compute
    dtype.

    Args:
        units: Width of the output.
        num_heads: Number of heads H.
        head_dim: Size K of a head's keys and values; `units / num_heads` by default.
        ranks: Of the products that decays, rates, the mixing of values and gates come from, four
            numbers; by default the authors' suggestion for a width of H K.
        value_residual: `None`, `"first"`: outputs are `(B, T, units + H K)`, the values behind, or
            `"later"`: inputs are `(B, T, D + H K)`, the first layer's values behind.
        index: As of `TokenShift`, as are `num_layers` and `output_gain`.
        num_layers: See `index`.
        output_gain: See `index`.
        chunk_size: Steps in a chunk of the chunkwise form, a power of two.
        epsilon: Of the heads' norm.
        **kwargs: Arguments of `SequenceLayer`.

    Raises:
        ValueError: if a size or a rank is not a positive integer, `num_heads` does not divide
            `units` where it has to, there are not four ranks, `value_residual` is another,
            `chunk_size` no power of two, `epsilon` not positive, or another argument of the wrong
            type; when built, if with `"later"` there is nothing beside the values.
    """

    forms = ("chunkwise", "recurrent")

    def __init__(
        self,
        units: int,
        num_heads: int,
        head_dim: int | None = None,
        ranks: tuple[int, int, int, int] | None = None,
        value_residual: str | None = None,
        index: int = 0,
        num_layers: int = 1,
        output_gain: float = 1.0,
        chunk_size: int = 64,
        epsilon: float = 64e-5,
        **kwargs,
    ):
        super().__init__(units, index, num_layers, output_gain, **kwargs)
        check_positive(self, num_heads=num_heads, **given(head_dim=head_dim))
        if head_dim is None:
            check_divides(self, "`units`", units, num_heads=num_heads)
        if ranks is not None:
            if not isinstance(ranks, tuple | list) or len(ranks) != 4:
                refuse(self, "ranks", "four positive integers", ranks)
            for i, rank in enumerate(ranks):
                check_positive(self, **{f"ranks[{i}]": rank})
        if value_residual is not None:
            check_choice(self, RESIDUALS, value_residual=value_residual)
        check_powers_of_two(self, chunk_size=chunk_size)
        check_numbers(self, above=0, epsilon=epsilon)
        self.num_heads = num_heads
        self.head_dim = units // num_heads if head_dim is None else head_dim
        self.joined = num_heads * self.head_dim
        self.ranks = suggested_ranks(self.joined) if ranks is None else tuple(ranks)
        self.value_residual = value_residual
        self.chunk_size = chunk_size
        self.epsilon = epsilon

    @property
    def output_dim(self) -> int:
        return self.units + (self.joined if self.value_residual == "first" else 0)

    def build(self, input_shape):
        super().build(input_shape)
        width, joined, at = input_shape[-1], self.joined, self.index / self.num_layers
        if self.value_residual == "later":
            width -= joined
            if width < 1:
                refuse(self, "inputs", f"wider than the {joined} values behind", input_shape)
        deep = self.index / max(1, self.num_layers - 1)

        def add(name, shape, initial):
            setattr(self, name, self.add_weight(shape, initial, name=name))

        def add_low(name, rank, initial=None):
            add(f"{name}_in_kernel", (width, rank), "zeros")
            add(f"{name}_kernel", (rank, joined), orthogonal(0.1))
            if initial is not None:
                add(f"{name}_bias", (joined,), initial)

        # Powers for r, w, k, v, a and g.
        add("shift", (6, width), shifts((0.2, 0.9, 0.7, 0.7, 0.9, 0.2), 1 - at))
        add("kernel", (width, 3 * joined), orthogonal(1.0, 0.1, 1.0))
        add("output_kernel", (joined, self.units), orthogonal(self.output_gain))
        decay, rate, residual, gate = self.ranks
        add_low("decay", decay, bias_of_decays(self.head_dim, deep))
        add_low("rate", rate, bias_of_rates(self.head_dim))
        if self.value_residual == "later":
            add_low("residual", residual, bias_of_residuals)
        add_low("gate", gate)
        add("removal_scale", (joined,), scale_of_removals)
        add("rate_scale", (joined,), keras.initializers.Constant(1.02))
        add("bonus", (joined,), keras.initializers.Constant(-0.04))
        scale = ((self.index + 1) / self.num_layers) ** 0.7
        add("norm_scale", (joined,), keras.initializers.Constant(scale))
        add("norm_bias", (joined,), "zeros")

    def state_spec(self) -> dict:
        memory = StateSpec((self.num_heads, self.head_dim, self.head_dim))
        return {"memory": memory, **super().state_spec()}

    def recur(self, features, state):
        inputs, first = self._parts(features)
        steps, gate = self._prepare(inputs, ops.cast(state["shift"][:, 0], inputs.dtype), first)
        read, memory = generalized_delta_rule_step(state=state["memory"], **steps)
        return self._emit(read, steps, gate), {"memory": memory, "shift": inputs[:, None]}

    def recurrent(self, features, state, initial, mask, reset):
        return self._mix(recurrent_generalized_delta_rule, features, state, mask, reset)

    def chunkwise(self, features, state, initial, mask, reset):
        rule = partial(chunkwise_generalized_delta_rule, chunk_size=self.chunk_size)
        return self._mix(rule, features, state, mask, reset)

    def _mix(self, rule, features, state, mask, reset):
        inputs, first = self._parts(features)
        before, shift = self._before(inputs, state, mask, reset)
        steps, gate = self._prepare(inputs, before, first)
        # A reset puts zeros back, which is what the ops do by default.
        read, memory = rule(state=state["memory"], mask=mask, reset=reset, **steps)
        return self._emit(read, steps, gate), {"memory": memory, "shift": shift}

    def _parts(self, inputs):
        """The inputs, and what stands behind them: the first layer's values, or `None`."""
        if self.value_residual != "later":
            return inputs, None
        return ops.split(inputs, (inputs.shape[-1] - self.joined,), axis=-1)

    def _prepare(self, inputs, before, first):
        """The rule's arguments, `(..., H, K)`, and the gate of the output, `(..., H K)`."""
        shift = ops.unstack(self.cast(self.shift))
        xr, xw, xk, xv, xa, xg = (inputs + (before - inputs) * mu for mu in shift)
        kernels = ops.split(self.cast(self.kernel), 3, axis=-1)
        projected = (ops.matmul(x, y) for x, y in zip((xr, xk, xv), kernels, strict=True))
        r, k, v = (self._wide(x) for x in projected)
        # Decays and rates multiply along the whole sequence: they are float32 at least.
        decay = ops.sigmoid(self._low(xw, "decay", ops.tanh) + self._wide(self.decay_bias))
        rate = ops.sigmoid(self._low(xa, "rate") + self._wide(self.rate_bias))
        if first is not None:
            mixing = ops.sigmoid(self._low(xv, "residual") + self._wide(self.residual_bias))
            v = v + mixing * (self._wide(first) - v)
        removal = _unit(self._heads(k * self._wide(self.removal_scale)))
        k = k * (1 + (rate - 1) * self._wide(self.rate_scale))
        steps = {
            "q": self._heads(r),
            "k": self._heads(k),
            "v": self._heads(v),
            "right": removal,
            "log_decay": self._heads(-_SLOWEST * decay),
            "left": -self._heads(rate) * removal,
        }
        return steps, self._low(xg, "gate", ops.sigmoid)

    def _low(self, x, name, activate=None):
        x = ops.matmul(x, self.cast(getattr(self, f"{name}_in_kernel")))
        x = x if activate is None else activate(x)
        return self._wide(ops.matmul(x, self.cast(getattr(self, f"{name}_kernel"))))

    def _emit(self, read, steps, gate):
        """What the output is projected from, `(..., H K)`, and the values beside it."""
        mean = ops.mean(read, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(read - mean), axis=-1, keepdims=True)
        read = _joined((read - mean) * ops.rsqrt(variance + self.epsilon))
        read = read * self._wide(self.norm_scale) + self._wide(self.norm_bias)
        weight = steps["q"] * steps["k"] * self._heads(self._wide(self.bonus))
        added = _joined(ops.sum(weight, axis=-1, keepdims=True) * steps["v"])
        emitted = {"mixed": (read + added) * gate}
        if self.value_residual == "first":
            emitted["values"] = _joined(steps["v"])
        return emitted

    def readout(self, emitted):
        outputs = ops.matmul(self.cast(emitted["mixed"]), self.cast(self.output_kernel))
        if self.value_residual != "first":
            return outputs
        return ops.concatenate([outputs, self.cast(emitted["values"])], axis=-1)

    def _heads(self, x):
        return rearrange(x, "... (h k) -> ... h k", h=self.num_heads)

    def _wide(self, x):
        return ops.cast(x, self.state_dtype)

    def count_flops(self, batch_size: int, length: int) -> int:
        """`2 B T` times the entries of all kernels, and the mixing along time.

        Recurrent that is `4 B H T K K`, to read before and after the step; chunkwise `B H` times
        `generalized_delta_rule_flops` with `left` apart.
        """
        decay, rate, residual, gate = self.ranks
        ranks = decay + rate + gate + (residual if self.value_residual == "later" else 0)
        width, joined = self.shift.shape[-1], self.joined
        weights = 3 * width * joined + joined * self.units + ranks * (width + joined)
        if self.resolved_form == "recurrent":
            mixing = 4 * length * self.head_dim**2
        else:
            mixing = generalized_delta_rule_flops(
                length, self.head_dim, self.head_dim, self.chunk_size, left=True
            )
        return batch_size * (2 * length * weights + self.num_heads * mixing)


@keras.saving.register_keras_serializable(package="papers")
class RWKV7MLP(TokenShift):
    """The MLP of RWKV-7, which sees the step before (eq. 23 and 24).

        k_t = (x_t + mu (x_{t-1} - x_t)) W_k
        y_t = relu(k_t)^2 W_v

    Forms: all steps at once, and step by step.

    State: `{"shift": (B, 1, D)}`, the last inputs, in the compute dtype.

    Args:
        units: Width of the output.
        hidden_units: Width inside; `4 units` by default.
        index: As of `TokenShift`, as are `num_layers` and `output_gain`.
        num_layers: See `index`.
        output_gain: See `index`.
        **kwargs: Arguments of `SequenceLayer`.

    Raises:
        ValueError: if a size is not a positive integer, or `index` not one from 0 to
            `num_layers - 1`.
    """

    forms = ("parallel", "recurrent")

    def __init__(
        self,
        units: int,
        hidden_units: int | None = None,
        index: int = 0,
        num_layers: int = 1,
        output_gain: float = 1.0,
        **kwargs,
    ):
        super().__init__(units, index, num_layers, output_gain, **kwargs)
        check_positive(self, **given(hidden_units=hidden_units))
        self.hidden_units = 4 * units if hidden_units is None else hidden_units

    def build(self, input_shape):
        super().build(input_shape)
        width, rest = input_shape[-1], 1 - self.index / self.num_layers
        self.shift = self.add_weight((width,), ramp(rest**4), name="shift")
        self.kernel = self.add_weight((width, self.hidden_units), orthogonal(1.0), name="kernel")
        self.output_kernel = self.add_weight(
            (self.hidden_units, self.units), orthogonal(self.output_gain), name="output_kernel"
        )

    def recur(self, features, state):
        before = ops.cast(state["shift"][:, 0], features.dtype)
        return self._shifted(features, before), {"shift": features[:, None]}

    def parallel(self, features, state, initial, mask, reset):
        before, shift = self._before(features, state, mask, reset)
        return self._shifted(features, before), {"shift": shift}

    def _shifted(self, inputs, before):
        return inputs + (before - inputs) * self.cast(self.shift)

    def readout(self, emitted):
        inside = ops.square(ops.relu(ops.matmul(emitted, self.cast(self.kernel))))
        return ops.matmul(inside, self.cast(self.output_kernel))

    def count_flops(self, batch_size: int, length: int) -> int:
        """`2 B T` times the entries of both kernels."""
        width = self.kernel.shape[0] + self.units
        return 2 * batch_size * length * self.hidden_units * width


def suggested_ranks(width: int) -> tuple[int, int, int, int]:
    """Of decays, rates, the mixing of values and gates, by the formulas in the authors' code."""
    factors = (2.5, 2.5, 1.7, 5.0)
    decay, rate, residual, gate = (max(32, 32 * round(x * width**0.5 / 32)) for x in factors)
    return decay, rate, residual, gate


def _joined(x):
    return rearrange(x, "... h k -> ... (h k)")


def _unit(x):
    return x * ops.rsqrt(ops.sum(x * x, axis=-1, keepdims=True) + _LENGTH)
