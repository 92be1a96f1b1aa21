"""DeltaProduct (Siems et al., 2025): DeltaNet with several steps of the delta rule a token."""

import keras
from einops import rearrange, repeat
from keras import ops

from common.checks import check_positive
from common.ops.delta_rule import delta_rule_step
from common.ops.short_convolution import causal_convolution, causal_convolution_step
from papers.delta_net.layers import DeltaNet

# Keeps the length of a key from zero, as in the authors' code.
_LENGTH = 1e-6


@keras.saving.register_keras_serializable(package="papers")
class DeltaProduct(DeltaNet):
    """DeltaNet whose memory takes n_h steps of the delta rule at every token, then is read once.

    Every step has a key, a value and a strength of its own, made of the same token (section 4):

        q_i, k_ij, v_ij = silu(conv(W_q x)_i), silu(conv(W_kj x)_i), silu(conv(W_vj x)_i)
        q_i, k_ij over their lengths, q_i also over sqrt(K),   beta_ij = 2 sigmoid(W_bj x_i)
        S_i0 = a_i S_{i-1}
        S_ij = (I - beta_ij k_ij k_ij^T) S_{i,j-1} + beta_ij k_ij v_ij^T,   j = 1, ..., n_h
        S_i  = S_{i,n_h},   y_i = W_o norm(S_i^T q_i)

    A token's transition is a product of n_h generalised Householder matrices: of reflections where
    the strengths are 2, and two reflections make a rotation. Without `negative_eigenvalues` beta is
    sigmoid(W_bj x_i). The gate a_i and that of the output are `DeltaNet`'s, and 1 unless `gated`.
    With n_h = 1 this is `DeltaNet`.

    Forms are those of `DeltaNet` on a sequence of n_h T steps, of which every n_h-th is read.

    State: `{"memory": (B, H, K, V), "conv": (B, kernel_size - 1, H (K + n_h (K + V)))}`: the
    transpose of the paper's S, and the last inputs of the convolution: queries, the keys of all
    steps, the values of all steps.

    Args:
        units: Width of the output.
        num_heads: Number of heads H.
        num_householders: Steps n_h of the delta rule at every token.
        kernel_size: Steps that the convolution sees, at least 2, or `None` for no convolution.
        negative_eigenvalues: Whether beta goes up to 2.
        gated: Whether the memory forgets, once a token, and the output is gated.
        chunk_size: Steps of the delta rule in a chunk of the chunkwise form, n_h of them a token.
        epsilon: Of the norm.
        **kwargs: Arguments of `common.layers.MultiHead`: `key_dim`, `value_dim`, `use_bias`, and
            of `SequenceLayer`.

    Raises:
        ValueError: if `num_householders` is not a positive integer, and as `DeltaNet` does.
    """

    def __init__(
        self,
        units: int,
        num_heads: int,
        num_householders: int = 2,
        kernel_size: int | None = 4,
        negative_eigenvalues: bool = True,
        gated: bool = False,
        chunk_size: int = 64,
        epsilon: float = 1e-5,
        **kwargs,
    ):
        super().__init__(
            units,
            num_heads,
            kernel_size,
            negative_eigenvalues,
            gated,
            chunk_size,
            epsilon,
            **kwargs,
        )
        check_positive(self, num_householders=num_householders)
        self.num_householders = num_householders

    @property
    def _split_sizes(self) -> tuple[int, int, int]:
        queries, keys, values = super()._split_sizes
        return queries, self.num_householders * keys, self.num_householders * values

    def build(self, input_shape):
        super().build(input_shape)
        if self.num_householders > 1:
            # Of the steps after the first one, whose strengths are `DeltaNet`'s.
            self.further_strength_kernel = self.add_weight(
                (input_shape[-1], (self.num_householders - 1) * self.num_heads),
                "glorot_uniform",
                name="further_strength_kernel",
            )

    def features(self, inputs, training=None):
        features = super().features(inputs, training)
        if self.num_householders > 1:
            logits = ops.matmul(inputs, self.cast(self.further_strength_kernel))
            further = ops.sigmoid(self._wide(logits))
            further = 2 * further if self.negative_eigenvalues else further
            features["beta"] = ops.concatenate([features["beta"], further], axis=-1)
        return features

    def recur(self, features, state):
        projected, new = features["qkv"], dict.fromkeys(state)
        if self.kernel_size is not None:
            projected, new["conv"] = causal_convolution_step(
                projected, self.cast(self.conv_kernel), state["conv"]
            )
        q, k, v = self._heads(projected)
        beta = rearrange(features["beta"], "b (n h) -> b n h", n=self.num_householders)
        read, memory, log_decay = None, state["memory"], features.get("log_decay")
        for j in range(self.num_householders):
            read, memory = delta_rule_step(
                q, k[:, j], v[:, j], beta[:, j], memory, log_decay=None if j else log_decay
            )
        return self._normalise(read, features), {**new, "memory": memory}

    def _mix(self, rule, features, state, mask, reset):
        projected, new = features["qkv"], dict.fromkeys(state)
        if self.kernel_size is not None:
            projected, new["conv"] = causal_convolution(
                projected, self.cast(self.conv_kernel), state["conv"], mask=mask, reset=reset
            )
        q, k, v = self._heads(projected)
        n = self.num_householders
        read, new["memory"] = rule(
            repeat(q, "b t h k -> b (t n) h k", n=n),
            rearrange(k, "b t n h k -> b (t n) h k"),
            rearrange(v, "b t n h v -> b (t n) h v"),
            rearrange(features["beta"], "b t (n h) -> b (t n) h", n=n),
            state["memory"],
            log_decay=self._at_first(features.get("log_decay")),
            mask=None if mask is None else repeat(mask, "b t -> b (t n)", n=n),
            reset=self._at_first(reset),
        )
        read = rearrange(read, "b (t n) h v -> b t n h v", n=n)[:, :, -1]
        return self._normalise(read, features), new

    def _at_first(self, x):
        """What acts once a token, before its first step, `(B, T, ...)`, as `(B, T n_h, ...)`."""
        if x is None or self.num_householders == 1:
            return x
        steps = [x] + (self.num_householders - 1) * [ops.zeros_like(x)]
        return rearrange(ops.stack(steps, axis=2), "b t n ... -> b (t n) ...")

    def _heads(self, projected):
        """As `DeltaNet`'s, keys and values by step: `(..., H, K)`, `(..., n_h, H, K)`, V alike."""
        queries, keys, _ = self._split_sizes
        parts = ops.split(ops.silu(self._wide(projected)), (queries, queries + keys), axis=-1)
        q = rearrange(parts[0], "... (h k) -> ... h k", h=self.num_heads)
        k, v = (
            rearrange(x, "... (n h d) -> ... n h d", n=self.num_householders, h=self.num_heads)
            for x in parts[1:]
        )
        return _unit(q) * self.key_dim**-0.5, _unit(k), v

    def count_flops(self, batch_size: int, length: int) -> int:
        """As `DeltaNet`, with `2 B T D n_h H` for beta."""
        further = (self.num_householders - 1) * self.num_heads
        flops = 2 * batch_size * length * self.kernel.shape[0] * further
        return super().count_flops(batch_size, length) + flops

    def mixing_flops(self, batch_size: int, length: int) -> int:
        """Those of `DeltaNet` on n_h T steps."""
        return super().mixing_flops(batch_size, self.num_householders * length)


def _unit(x):
    return x * ops.rsqrt(ops.sum(x * x, axis=-1, keepdims=True) + _LENGTH)
