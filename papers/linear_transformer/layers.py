"""Causal linear attention (Katharopoulos et al., 2020, section 3)."""

import keras
from keras import ops

from common.checks import check_numbers, check_positive
from common.layers import MultiHead, StateSpec
from common.ops.feature_maps import elu_plus_one
from common.ops.linear_attention import (
    chunkwise_linear_attention,
    linear_attention_flops,
    linear_attention_step,
    parallel_linear_attention,
    recurrent_linear_attention,
)


@keras.saving.register_keras_serializable(package="papers")
class LinearAttention(MultiHead):
    """Causal attention whose similarity is a product of features, `phi(q) . phi(k)`.

    With `phi(x) = elu(x) + 1` (eq. 7), the output of a head is a recurrence in two states
    (eq. 16-20):

        S_t = S_{t-1} + phi(k_t) v_t^T
        z_t = z_{t-1} + phi(k_t)
        o_t = S_t^T phi(q_t) / (z_t . phi(q_t) + epsilon)

    Three forms compute it: chunk by chunk, as one masked product (eq. 9, quadratic in T), and step
    by step. The sums are float32 under mixed policies.

    State: `{"memory": (B, H, K, V), "normaliser": (B, H, K)}`, S and z.

    Args:
        units: Width of the output.
        num_heads: Number of heads H.
        chunk_size: Steps in a chunk of the chunkwise form.
        epsilon: Keeps the normaliser from zero; 1e-6 as in the authors' code.
        **kwargs: Arguments of `common.layers.MultiHead`: `key_dim`, `value_dim`, `use_bias`, and
            of `SequenceLayer`.

    Raises:
        ValueError: if a size is not a positive integer, or `num_heads` does not divide `units`
            where it has to.
    """

    forms = ("chunkwise", "parallel", "recurrent")

    def __init__(
        self, units: int, num_heads: int, chunk_size: int = 64, epsilon: float = 1e-6, **kwargs
    ):
        super().__init__(units, num_heads, **kwargs)
        check_positive(self, chunk_size=chunk_size)
        check_numbers(self, above=0, epsilon=epsilon)
        self.chunk_size = chunk_size
        self.epsilon = epsilon

    def state_spec(self) -> dict:
        return {
            "memory": StateSpec((self.num_heads, self.key_dim, self.value_dim)),
            "normaliser": StateSpec((self.num_heads, self.key_dim)),
        }

    def features(self, inputs, training=None):
        heads = super().features(inputs, training)
        return {"q": elu_plus_one(heads["q"]), "k": elu_plus_one(heads["k"]), "v": heads["v"]}

    def recur(self, features, state):
        q, k, v = (ops.cast(features[name], self.state_dtype) for name in "qkv")
        held = (state["memory"], state["normaliser"])
        output, (memory, normaliser) = linear_attention_step(  # eq. 18 to 20
            q, k, v, held, normalise=True, epsilon=self.epsilon
        )
        return self.cast(output), {"memory": memory, "normaliser": normaliser}

    def recurrent(self, features, state, initial, mask, reset):
        return self._attend(recurrent_linear_attention, features, state, mask, reset)

    def parallel(self, features, state, initial, mask, reset):
        return self._attend(parallel_linear_attention, features, state, mask, reset)

    def chunkwise(self, features, state, initial, mask, reset):
        return self._attend(
            chunkwise_linear_attention, features, state, mask, reset, chunk_size=self.chunk_size
        )

    def _attend(self, attention, features, state, mask, reset, **options):
        # A reset puts zeros back, which is what the op does by default.
        output, (memory, normaliser) = attention(
            features["q"],
            features["k"],
            features["v"],
            (state["memory"], state["normaliser"]),
            mask=mask,
            reset=reset,
            normalise=True,
            epsilon=self.epsilon,
            **options,
        )
        return output, {"memory": memory, "normaliser": normaliser}

    def mixing_flops(self, batch_size: int, length: int) -> int:
        """Recurrent `2 B H T K (V + 1)` for reading; the updates are elementwise.

        Chunkwise and parallel, with chunks of C (or T) steps, padded to whole chunks:
        `2 B H T (C K + C (V + 1) + 2 K (V + 1))`.
        """
        sizes = (self.key_dim, self.value_dim + 1, self.chunk_size)
        each = linear_attention_flops(self.resolved_form, length, *sizes)
        return batch_size * self.num_heads * each
