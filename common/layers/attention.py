"""Layers with heads: their projections, and causal softmax attention."""

from typing import Any

import keras
from einops import rearrange
from keras import ops

from common.checks import (
    check_divides,
    check_flags,
    check_integers,
    check_positive,
    check_rates,
    given,
    refuse,
)
from common.layers.sequence_layer import SequenceLayer
from common.layers.state import StateSpec
from common.ops.attention import causal_attention, causal_attention_step
from common.ops.rotary import count_steps, rotate
from common.typing import DType, Shape, State, Tensor

# Of Glorot's initial values in the code of RetNet's and GLA's authors.
SMALL_GAIN = 2**-2.5


class MultiHead(SequenceLayer):
    """Base of layers that mix values `v` along time by queries `q` and keys `k`, in heads.

    `q, k = x W_q, x W_k` of shape `(B, T, H, K)` and `v = x W_v` of shape `(B, T, H, V)` come from
    one product; the heads' outputs, `(B, T, H, V)`, are joined and projected to `units`.

    Args:
        units: Width of the output.
        num_heads: Number of heads H.
        key_dim: Key size K of a head; `units / num_heads` by default.
        value_dim: Value size V of a head; `units / num_heads` by default.
        use_bias: Whether the projections have biases; that of the output where `readout` is this
            class's, or adds it (`has_output_bias`).
        **kwargs: Arguments of `SequenceLayer`.

    Raises:
        ValueError: if a size is not a positive integer, `use_bias` no bool, or `num_heads` does
            not divide `units` where it has to.
    """

    # Gains of Glorot's initial values of the projections into the heads and out of them.
    kernel_gain = 1.0
    output_gain = 1.0
    # Whether `readout` adds a bias to the projected output.
    has_output_bias = True

    def __init__(
        self,
        units: int,
        num_heads: int,
        key_dim: int | None = None,
        value_dim: int | None = None,
        use_bias: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        check_positive(self, units=units, num_heads=num_heads)
        check_positive(self, **given(key_dim=key_dim, value_dim=value_dim))
        check_flags(self, use_bias=use_bias)
        if None in (key_dim, value_dim):  # else there is nothing to divide
            check_divides(self, "`units`", units, num_heads=num_heads)
        self.units = units
        self.num_heads = num_heads
        self.key_dim = units // num_heads if key_dim is None else key_dim
        self.value_dim = units // num_heads if value_dim is None else value_dim
        self.use_bias = use_bias

    @property
    def output_dim(self) -> int:
        return self.units

    @property
    def _split_sizes(self) -> tuple[int, int, int]:
        keys = self.num_heads * self.key_dim
        return keys, keys, self.num_heads * self.value_dim

    def build(self, input_shape: Shape) -> None:
        super().build(input_shape)
        width = sum(self._split_sizes)
        self.kernel = self.add_weight((input_shape[-1], width), self._initial_kernel, name="kernel")
        self.output_kernel = self.add_weight(
            (self.num_heads * self.value_dim, self.units),
            glorot(self.output_gain),
            name="output_kernel",
        )
        if self.use_bias:
            self.bias = self.add_weight((width,), "zeros", name="bias")
        if self.use_bias and self.has_output_bias:
            self.output_bias = self.add_weight((self.units,), "zeros", name="output_bias")

    def _initial_kernel(self, shape: tuple[int, ...], dtype: DType | None = None) -> Tensor:
        # Glorot's bounds are those of each projection, not of the three side by side; and each has
        # an initializer of its own, which would draw the same values for the same shape again.
        parts = [glorot(self.kernel_gain)((shape[0], size), dtype) for size in self._split_sizes]
        return ops.concatenate(parts, axis=-1)

    def features(self, inputs: Tensor, training: bool | None = None) -> dict[str, Tensor]:
        projected = ops.matmul(inputs, self.cast(self.kernel))
        if self.use_bias:
            projected = projected + self.cast(self.bias)
        queries, keys, _ = self._split_sizes
        q, k, v = ops.split(projected, (queries, queries + keys), axis=-1)
        sizes = {"q": (q, self.key_dim), "k": (k, self.key_dim), "v": (v, self.value_dim)}
        return {
            name: rearrange(x, "b t (h n) -> b t h n", n=size) for name, (x, size) in sizes.items()
        }

    def readout(self, emitted: Tensor) -> Tensor:
        joined = rearrange(self.cast(emitted), "b t h v -> b t (h v)")
        outputs = ops.matmul(joined, self.cast(self.output_kernel))
        return outputs + self.cast(self.output_bias) if self.use_bias else outputs

    def count_flops(self, batch_size: int, length: int) -> int:
        """`2 B T (D (2 H K + H V) + H V units)`, and those of the mixing along time."""
        joined = self.num_heads * self.value_dim
        weights = self.kernel.shape[0] * self.kernel.shape[1] + joined * self.units
        return 2 * batch_size * length * weights + self.mixing_flops(batch_size, length)

    def mixing_flops(self, batch_size: int, length: int) -> int:
        """FLOPs of the mixing along time, all heads together."""
        raise NotImplementedError


def glorot(gain: float) -> keras.initializers.Initializer:
    """Glorot's uniform initial values times `gain`."""
    return keras.initializers.VarianceScaling(gain**2, "fan_avg", "uniform")


@keras.saving.register_keras_serializable(package="papers")
class SoftmaxAttention(MultiHead):
    """Causal softmax attention over the last `window` steps, with a cache of keys and values.

    Vaswani et al. (2017), eq. 1. Masked steps are neither attended to nor counted. The window
    keeps the state of constant size: it can be scanned, streamed and compiled.

    State: `{"keys": (B, G, window, K), "values": (B, G, window, V), "position": (B,) int32}` with G
    = `num_kv_heads`, keys and values in the compute dtype, in which they were computed, the keys
    rotated with `rotary`. It is a ring: `position` counts the steps since the state was empty, and
    step n is entry `n mod window`. A step writes that entry alone; a compiled loop of steps does so
    in place, while a single call that must leave the state it was given as it is copies it first.

    Args:
        window: How many steps a query sees, its own included.
        num_kv_heads: Heads of keys and values, which groups of queries share (Ainslie 2023; 1 is
            multi-query attention, Shazeer 2019); `num_heads` by default.
        rotary: Whether queries and keys are rotated by their positions (Su 2021).
        dropout: Rate at which the weights of keys are dropped in training, in the parallel form.
        rotary_dim: With `rotary`, how many of a head's K entries are rotated, from the first on;
            even, all by default.
        output_bias: Whether the output's projection has a bias where the others have none.
        **kwargs: Arguments of `MultiHead`.

    Raises:
        ValueError: if `window` or `num_kv_heads` is not a positive integer, `num_kv_heads` does
            not divide `num_heads`, K or `rotary_dim` is odd with `rotary`, `dropout` is positive
            and `form` is `"recurrent"`, and as `MultiHead` does.
    """

    forms = ("parallel", "recurrent")

    def __init__(
        self,
        units: int,
        num_heads: int,
        window: int,
        num_kv_heads: int | None = None,
        rotary: bool = False,
        dropout: float = 0.0,
        rotary_dim: int | None = None,
        output_bias: bool = False,
        **kwargs: Any,
    ):
        super().__init__(units, num_heads, **kwargs)
        check_positive(self, window=window, **given(num_kv_heads=num_kv_heads))
        check_flags(self, rotary=rotary, output_bias=output_bias)
        check_rates(self, dropout=dropout)
        if rotary_dim is not None:
            check_integers(self, 2, self.key_dim, rotary_dim=rotary_dim)
            if rotary_dim % 2 or not rotary:
                refuse(self, "rotary_dim", "even, and None without `rotary`", rotary_dim)
        self.rotary_dim = rotary_dim
        # Of its own; with `use_bias` it is there anyway.
        self.adds_output_bias = output_bias and not self.use_bias
        self.window = window
        self.num_kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        check_divides(self, "`num_heads`", num_heads, num_kv_heads=self.num_kv_heads)
        self.rotary = rotary
        if rotary and self.key_dim % 2:
            raise ValueError(
                f"SoftmaxAttention: `key_dim` must be even with `rotary`; got {self.key_dim}."
            )
        if dropout and self.resolved_form == "recurrent":
            raise ValueError(
                "SoftmaxAttention: `dropout` must be 0 with `form='recurrent'`, in which no "
                f"weights are dropped; got {dropout!r}."
            )
        self.dropout = dropout
        # The weights stay float32 under mixed policies.
        self.weights_dropout = keras.layers.Dropout(dropout, autocast=False) if dropout else None

    @property
    def _split_sizes(self) -> tuple[int, int, int]:
        groups = self.num_kv_heads
        return self.num_heads * self.key_dim, groups * self.key_dim, groups * self.value_dim

    def state_spec(self) -> dict[str, StateSpec]:
        groups, dtype = self.num_kv_heads, self.compute_dtype
        return {
            "keys": StateSpec((groups, self.window, self.key_dim), dtype),
            "values": StateSpec((groups, self.window, self.value_dim), dtype),
            "position": StateSpec((), "int32"),
        }

    def build(self, input_shape: Shape) -> None:
        super().build(input_shape)
        if self.adds_output_bias:
            self.output_bias = self.add_weight((self.units,), "zeros", name="output_bias")

    def readout(self, emitted: Tensor) -> Tensor:
        outputs = super().readout(emitted)
        return outputs + self.cast(self.output_bias) if self.adds_output_bias else outputs

    def _rotate(self, x: Tensor, positions: Tensor) -> Tensor:
        if self.rotary_dim is None:
            return rotate(x, positions)
        turned, kept = ops.split(x, (self.rotary_dim,), axis=-1)
        return ops.concatenate([rotate(turned, positions), kept], axis=-1)

    def recur(self, features: dict[str, Tensor], state: State) -> tuple[Tensor, State]:
        q, k = features["q"], features["k"]
        if self.rotary:
            q, k = (self._rotate(x[:, None], state["position"][:, None])[:, 0] for x in (q, k))
        return causal_attention_step(q, k, features["v"], state)

    def parallel(
        self,
        features: dict[str, Tensor],
        state: State,
        initial: State,
        mask: Tensor | None,
        reset: Tensor | None,
    ) -> tuple[Tensor, State]:
        q, k = features["q"], features["k"]
        if self.rotary:
            positions, _ = count_steps(state["position"], ops.shape(q)[1], mask, reset)
            q, k = self._rotate(q, positions), self._rotate(k, positions)
        return causal_attention(
            q,
            k,
            features["v"],
            # The initial one is known to be empty, with nothing to attend to.
            None if state is initial else state,
            window=self.window,
            mask=mask,
            reset=reset,
            dropout=self.weights_dropout,
        )

    def mixing_flops(self, batch_size: int, length: int) -> int:
        """`2 B H T L (K + V)` for L keys a query.

        L is the window in the recurrent form; in the parallel form, from an empty cache, the
        sequence's steps, or two windows where it, padded to whole windows, is longer than one.
        """
        keys = self.window
        if self.resolved_form == "parallel":
            if length > self.window:
                length = -(-length // self.window) * self.window
                keys *= 2
            else:
                keys = length
        heads = batch_size * self.num_heads * (self.key_dim + self.value_dim)
        return 2 * heads * length * keys
