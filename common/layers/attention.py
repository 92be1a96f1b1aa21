"""Layers with heads: their projections, and causal softmax attention."""

import keras
from einops import rearrange
from keras import ops

from common.layers.sequence_layer import SequenceLayer, check_positive
from common.layers.state import StateSpec
from common.ops.attention import causal_attention, causal_attention_step


class MultiHead(SequenceLayer):
    """Base of layers that mix values `v` along time by queries `q` and keys `k`, in heads.

    `q, k = x W_q, x W_k` of shape `(B, T, H, K)` and `v = x W_v` of shape `(B, T, H, V)` come from
    one product; the heads' outputs, `(B, T, H, V)`, are joined and projected to `units`.

    Args:
        units: Width of the output.
        num_heads: Number of heads H.
        key_dim: Key size K of a head; `units / num_heads` by default.
        value_dim: Value size V of a head; `units / num_heads` by default.
        use_bias: Whether the projections have biases.
        **kwargs: Arguments of `SequenceLayer`.

    Raises:
        ValueError: if a size is not a positive integer, or `num_heads` does not divide `units`
            where it has to.
    """

    def __init__(
        self,
        units: int,
        num_heads: int,
        key_dim: int | None = None,
        value_dim: int | None = None,
        use_bias: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(self, units=units, num_heads=num_heads)
        if units % num_heads and None in (key_dim, value_dim):
            raise ValueError(
                f"{type(self).__name__}: `units` must be divisible by `num_heads` = {num_heads} "
                f"unless `key_dim` and `value_dim` are given; got {units}."
            )
        self.units = units
        self.num_heads = num_heads
        self.key_dim = units // num_heads if key_dim is None else key_dim
        self.value_dim = units // num_heads if value_dim is None else value_dim
        check_positive(self, key_dim=self.key_dim, value_dim=self.value_dim)
        self.use_bias = use_bias

    @property
    def output_dim(self) -> int:
        return self.units

    @property
    def _split_sizes(self) -> tuple[int, int, int]:
        keys = self.num_heads * self.key_dim
        return keys, keys, self.num_heads * self.value_dim

    def build(self, input_shape):
        super().build(input_shape)
        width = sum(self._split_sizes)
        self.kernel = self.add_weight((input_shape[-1], width), self._initial_kernel, name="kernel")
        self.output_kernel = self.add_weight(
            (self._split_sizes[2], self.units), "glorot_uniform", name="output_kernel"
        )
        if self.use_bias:
            self.bias = self.add_weight((width,), "zeros", name="bias")
            self.output_bias = self.add_weight((self.units,), "zeros", name="output_bias")

    def _initial_kernel(self, shape, dtype=None):
        # Glorot's bounds are those of each projection, not of the three side by side.
        glorot = keras.initializers.GlorotUniform()
        parts = [glorot((shape[0], size), dtype) for size in self._split_sizes]
        return ops.concatenate(parts, axis=-1)

    def features(self, inputs, training=None):
        projected = ops.matmul(inputs, self.cast(self.kernel))
        if self.use_bias:
            projected = projected + self.cast(self.bias)
        keys, _, _ = self._split_sizes
        q, k, v = ops.split(projected, (keys, 2 * keys), axis=-1)
        names = {"q": q, "k": k, "v": v}
        return {
            name: rearrange(x, "b t (h n) -> b t h n", h=self.num_heads)
            for name, x in names.items()
        }

    def readout(self, emitted):
        joined = rearrange(self.cast(emitted), "b t h v -> b t (h v)")
        outputs = ops.matmul(joined, self.cast(self.output_kernel))
        return outputs + self.cast(self.output_bias) if self.use_bias else outputs

    def flops(self, batch_size: int, length: int) -> int:
        """`2 B T (D (2 H K + H V) + H V units)`, and those of the mixing along time."""
        weights = self.kernel.shape[0] * self.kernel.shape[1] + self._split_sizes[2] * self.units
        return 2 * batch_size * length * weights + self.mixing_flops(batch_size, length)

    def mixing_flops(self, batch_size: int, length: int) -> int:
        """FLOPs of the mixing along time, all heads together."""
        raise NotImplementedError

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "value_dim": self.value_dim,
            "use_bias": self.use_bias,
        }


@keras.saving.register_keras_serializable(package="papers")
class SoftmaxAttention(MultiHead):
    """Causal softmax attention over the last `window` steps, with a cache of keys and values.

    Vaswani et al. (2017), eq. 1, without positions. Masked steps are neither attended to nor
    counted. The window keeps the state of constant size: it can be scanned, streamed and compiled.

    State: `{"keys": (B, window, H, K), "values": (B, window, H, V), "length": (B,) int32}`, the
    newest last, keys and values in the compute dtype, in which they were computed.

    Args:
        window: How many steps a query sees, its own included.
        **kwargs: Arguments of `MultiHead`.

    Raises:
        ValueError: if `window` is not a positive integer, and as `MultiHead` does.
    """

    forms = ("parallel", "recurrent")

    def __init__(self, units: int, num_heads: int, window: int, **kwargs):
        super().__init__(units, num_heads, **kwargs)
        check_positive(self, window=window)
        self.window = window

    def state_spec(self) -> dict:
        return {
            "keys": StateSpec((self.window, self.num_heads, self.key_dim), self.compute_dtype),
            "values": StateSpec((self.window, self.num_heads, self.value_dim), self.compute_dtype),
            "length": StateSpec((), "int32"),
        }

    def recur(self, features, state):
        return causal_attention_step(features["q"], features["k"], features["v"], state)

    def parallel(self, features, state, initial, mask, reset):
        return causal_attention(
            features["q"],
            features["k"],
            features["v"],
            state,
            window=self.window,
            mask=mask,
            reset=reset,
        )

    def mixing_flops(self, batch_size: int, length: int) -> int:
        """`2 B H T L (K + V)` for L keys a query.

        L is the window in the recurrent form; in the parallel form the cache's and the sequence's
        steps, or two windows where the sequence, padded to whole windows, is longer than one.
        """
        keys = self.window
        if self.resolved_form == "parallel":
            if length > self.window:
                length = -(-length // self.window) * self.window
                keys *= 2
            else:
                keys += length
        heads = batch_size * self.num_heads * (self.key_dim + self.value_dim)
        return 2 * heads * length * keys

    def get_config(self):
        return {**super().get_config(), "window": self.window}
