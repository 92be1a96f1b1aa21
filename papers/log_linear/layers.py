"""Log-linear attention (Guo et al., 2025): Mamba-2 and Gated DeltaNet, read by levels."""

from functools import partial

import keras
from keras import ops

from common.checks import check_integers
from common.layers import SequenceLayer, StateSpec
from common.ops.fenwick import MOST_LEVELS
from common.ops.log_linear import (
    log_linear_delta_rule,
    log_linear_flops,
    log_linear_gated_attention,
    log_linear_step,
)
from common.ops.short_convolution import causal_convolution_step
from papers.delta_net.layers import DeltaNet
from papers.mamba2.layers import Mamba2


class _ByLevel(SequenceLayer):
    """A layer with one memory a head, which is kept by level and read with weights.

    Its memory is under the name `memory` in the state of the layer that this stands before.
    """

    memory: str
    num_heads: int
    num_levels: int

    def _set_levels(self, num_levels):
        check_integers(self, 2, MOST_LEVELS, num_levels=num_levels)
        self.num_levels = num_levels

    def _add_levels(self, width, initializer):
        size = self.num_heads * self.num_levels
        self.level_kernel = self.add_weight((width, size), initializer, name="level_kernel")
        self.level_scale = self.add_weight(
            (self.num_heads, self.num_levels), "ones", name="level_scale", dtype=self.state_dtype
        )

    def state_spec(self) -> dict:
        spec = super().state_spec()
        heads, *sizes = spec[self.memory].shape
        spec[self.memory] = StateSpec((heads, self.num_levels - 1, *sizes))
        return spec | {"count": StateSpec((), "int32")}

    def features(self, inputs, training=None):
        features = super().features(inputs, training)
        levels = ops.matmul(inputs, self.cast(self.level_kernel))
        shape = (*ops.shape(levels)[:-1], self.num_heads, self.num_levels)
        levels = ops.reshape(ops.cast(levels, self.state_dtype), shape)
        levels = ops.softplus(levels * ops.convert_to_tensor(self.level_scale))
        return features | {"levels": levels}

    # Step by step as `recur` says.
    recurrent = SequenceLayer.recurrent

    def chunkwise(self, features, state, initial, mask, reset):
        return self._by_level(self.chunk_size, features, state, initial, mask, reset)

    def _by_level(self, chunk_size, features, state, initial, mask, reset):
        """The forms but the recurrent one, by the base's `_mix`, which hands the memory on."""
        memory = None if state is initial else _packed(state, self.memory)
        state = {name: x for name, x in state.items() if name != "count"}
        attend = partial(self._attend, features["levels"], chunk_size)
        emitted, new = self._mix(attend, features, state | {self.memory: memory}, mask, reset)
        return emitted, _unpacked(new, self.memory)

    def _level_flops(self, length, key_dim, value_dim, **more):
        """Those of the levels' weights, of `D` inputs, and of the mixing, for one sequence."""
        weights = 2 * length * self.level_kernel.shape[0] * self.level_kernel.shape[1]
        mixing = log_linear_flops(
            self.resolved_form,
            length,
            key_dim,
            value_dim,
            self.num_levels,
            chunk_size=self.chunk_size,
            **more,
        )
        return weights + self.num_heads * mixing


@keras.saving.register_keras_serializable(package="papers")
class LogLinearMamba2(_ByLevel, Mamba2):
    """Mamba-2 whose past is kept in parts that double, each with a weight (sections 3.1 and 3.3).

    With `Mamba2`'s B, C, Delta, x and a, in each head

        l(t, s)  = 0 for s = t, else 1 + the highest bit in which t and s differ, steps from 0
        H_t^(l)  = the sum of a_{s+1} ... a_t B_s (Delta_s x_s)^T over the s with l(t, s) = l
        w_t^(l)  = softplus(L^(l) (W_l u_t)^(l))           a number a head and level
        y_t      = sum_l w_t^(l) H_t^(l)^T C_t + D x_t

    and the rest is `Mamba2`; with all w = 1 all of it is. In the parallel form `y = (M * C B^T)
    (Delta x)` with `M_ts = w_t^(l(t, s)) a_{s+1} ... a_t`. Of L =
    `num_levels` levels there are at most `ceil(log2 T) + 1` in T steps; the last one takes all that
    is older, so that from 2^(L - 1) steps on it is more than a power of two.

    State: `{"conv": (B, kernel_size - 1, E + 2 G N), "ssm": (B, H, L - 1, N, P), "count": (B,)
    int32}`: as `Mamba2`, H^(l) for l from 1 on, and the steps since the state was empty, whose bits
    of value 2^(l - 1) tell in which levels there is something.

    `level_scale`, the L^(l), is not to decay either.

    Args:
        units: Width of the output.
        num_levels: L, from 2 to 31; 15 tell 16,384 steps apart.
        **kwargs: Arguments of `Mamba2` and of `SequenceLayer`.

    Raises:
        ValueError: if `num_levels` is no such integer, and as `Mamba2` does.
    """

    no_decay = (*Mamba2.no_decay, "level_scale")  # type: ignore[assignment]
    memory = "ssm"

    def __init__(self, units: int, num_levels: int = 15, **kwargs):
        super().__init__(units, **kwargs)
        self._set_levels(num_levels)

    def build(self, input_shape):
        super().build(input_shape)
        bound = input_shape[-1] ** -0.5  # as W_in's
        self._add_levels(input_shape[-1], keras.initializers.RandomUniform(-bound, bound))

    def recur(self, features, state):
        xbc, conv = causal_convolution_step(
            features["xbc"], self.cast(self.conv_kernel), state["conv"]
        )
        x, b, c = self._activate(xbc)
        delta = features["delta"]
        y, memory = log_linear_step(
            self._all_heads(c),
            self._all_heads(b),
            delta[..., None] * x,
            self._log_decay(delta)[..., 0],
            features["levels"],
            _packed(state, "ssm"),
        )
        return self._emit(y, x, features["z"]), _unpacked({"conv": conv, "ssm": memory}, "ssm")

    def parallel(self, features, state, initial, mask, reset):
        return self._by_level(None, features, state, initial, mask, reset)

    def _attend(self, levels, chunk_size, c, b, v, log_decay, state, mask, reset):
        return log_linear_gated_attention(
            self._all_heads(c),
            self._all_heads(b),
            v,
            log_decay[..., 0],
            levels,
            state,
            mask=mask,
            reset=reset,
            chunk_size=chunk_size,
        )

    def _all_heads(self, groups):
        return ops.repeat(groups, self.num_heads // self.num_groups, axis=-2)

    def count_flops(self, batch_size: int, length: int) -> int:
        """As `Mamba2`, `2 B T D H L` for the weights; `common.ops.log_linear` for the mixing."""
        weights = self.kernel.shape[0] * self.kernel.shape[1] + self.inner_units * self.units
        mixing = self._level_flops(length, self.state_dim, self.head_dim)
        return batch_size * (2 * length * weights + mixing)


@keras.saving.register_keras_serializable(package="papers")
class LogLinearDeltaNet(_ByLevel, DeltaNet):
    """Gated DeltaNet whose past is kept in parts that double, each with a weight (section 3.3).

    With `DeltaNet`'s q, k, v, beta and a, `M_t = a_t (I - beta_t k_t k_t^T)`, and the levels
    l(t, s) and weights w of `LogLinearMamba2`, in each head

        S_t^(l) = the sum of M_t ... M_{s+1} beta_s k_s v_s^T over the s with l(t, s) = l
        y_t     = W_o (norm(sum_l w_t^(l) S_t^(l)^T q_t) silu(W_g x_t))

    and the rest is `DeltaNet`; with all w = 1 all of it is. Without `gated` a is 1 and there is no
    gate of the output.

    State: `{"memory": (B, H, L - 1, K, V), "conv": (B, kernel_size - 1, H (2 K + V)), "count":
    (B,) int32}`: as `DeltaNet`, S^(l) for l from 1 on, and the steps since the state was empty.

    Args:
        units: Width of the output.
        num_heads: Number of heads H.
        num_levels: L, from 2 to 31; 15 tell 16,384 steps apart.
        gated: Whether the memory forgets and the output is gated.
        **kwargs: Arguments of `DeltaNet`.

    Raises:
        ValueError: if `num_levels` is no such integer, and as `DeltaNet` does.
    """

    no_decay = ("level_scale",)
    memory = "memory"

    def __init__(
        self, units: int, num_heads: int, num_levels: int = 15, gated: bool = True, **kwargs
    ):
        super().__init__(units, num_heads, gated=gated, **kwargs)
        self._set_levels(num_levels)

    def build(self, input_shape):
        super().build(input_shape)
        self._add_levels(input_shape[-1], "glorot_uniform")

    def features(self, inputs, training=None):
        features = super().features(inputs, training)
        return features if self.gated else features | {"log_decay": 0 * features["beta"]}

    def recur(self, features, state):
        projected, new = features["qkv"], {}
        if self.kernel_size is not None:
            projected, new["conv"] = causal_convolution_step(
                projected, self.cast(self.conv_kernel), state["conv"]
            )
        q, k, v = self._heads(projected)
        read, new["memory"] = log_linear_step(
            q,
            k,
            v,
            features["log_decay"],
            features["levels"],
            _packed(state, "memory"),
            beta=features["beta"],
        )
        return self._normalise(read, features), _unpacked(new, "memory")

    def _attend(self, levels, chunk_size, q, k, v, beta, state, log_decay, mask, reset):
        return log_linear_delta_rule(
            q,
            k,
            v,
            log_decay,
            beta,
            levels,
            state,
            mask=mask,
            reset=reset,
            chunk_size=chunk_size,
        )

    def mixing_flops(self, batch_size: int, length: int) -> int:
        """`2 B T D H L` for the weights, and `common.ops.log_linear.log_linear_flops`."""
        return batch_size * self._level_flops(length, self.key_dim, self.value_dim, delta=True)


def _packed(state, name):
    """The ops' state: memories and count."""
    return {"memory": state[name], "count": state["count"]}


def _unpacked(state, name):
    """The layer's state, from one whose memory is the ops' state."""
    return {**state, name: state[name]["memory"], "count": state[name]["count"]}
