"""The key-value memory of the paper's synthetic experiments (section 6.1)."""

import keras
from keras import layers, ops

from common.ops.delta_rule import chunkwise_delta_rule
from common.ops.feature_maps import dpfp, elu_plus_one, sum_normalise
from papers.fast_weights.layers import EPSILON

RULES = ("softmax", "sum", "delta")


@keras.saving.register_keras_serializable(package="papers")
class KeyValueMemory(keras.Model):
    """Writes a sequence of key-value pairs into a memory and reads it with query keys.

    A pair is the value's one-hot vector next to the key's learned embedding, of width
    `int(2.2 S)`; the value written is the one-hot vector itself. Queries only read. One head, no
    positions, no output projection, as in the authors' code.

    Args:
        num_keys: Number of different keys and of different values, S.
        rule: `"softmax"` attends to all pairs; `"sum"` and `"delta"` are those of
            `FastWeightAttention`.
        feature_map: `"elu"` or `"dpfp"`; without effect for softmax.
        nu: Shifts of DPFP.
        key_dim: Size K of keys and queries before the feature map.
        **kwargs: Arguments of `keras.Model`.

    Call arguments:
        inputs: Dict of `"inputs"`, int `(B, L, 2)`, pairs of key and value, and `"query"`, int
            `(B, Q)`, keys.

    Returns:
        What the memory holds under the queries, `(B, Q, S)`.

    Raises:
        ValueError: if `rule` or `feature_map` is unknown.
    """

    def __init__(
        self,
        num_keys: int,
        rule: str,
        feature_map: str = "dpfp",
        nu: int = 1,
        key_dim: int = 64,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if rule not in RULES:
            raise ValueError(f"KeyValueMemory: `rule` must be one of {RULES}; got {rule!r}.")
        if feature_map not in ("elu", "dpfp"):
            raise ValueError(
                f"KeyValueMemory: `feature_map` must be 'elu' or 'dpfp'; got {feature_map!r}."
            )
        self.num_keys = num_keys
        self.rule = rule
        self.feature_map = feature_map
        self.nu = nu
        self.key_dim = key_dim
        self.embedding_dim = int(2.2 * num_keys)
        self.embedding = layers.Embedding(
            num_keys,
            self.embedding_dim,
            embeddings_initializer=keras.initializers.RandomNormal(0, 1),
        )
        width = num_keys + self.embedding_dim
        # The authors scale the weights by the key size, not by the fan-in; softmax has Glorot.
        bound = key_dim**-0.5

        def project(inputs: int) -> layers.Dense:
            kernel = "glorot_uniform" if rule == "softmax" else _uniform(bound)
            return layers.Dense(key_dim, kernel_initializer=kernel, bias_initializer=_fan(inputs))

        self.key, self.query = project(width), project(self.embedding_dim)
        if rule == "delta":
            self.strength = layers.Dense(
                1, kernel_initializer=_fan(width), bias_initializer=_fan(width)
            )

    def build(self, input_shape):
        width = self.num_keys + self.embedding_dim
        self.embedding.build((None, None))
        self.key.build((None, None, width))
        self.query.build((None, None, self.embedding_dim))
        if self.rule == "delta":
            self.strength.build((None, None, width))

    def call(self, inputs):
        pairs, asked = inputs["inputs"], inputs["query"]
        values = ops.one_hot(pairs[..., 1], self.num_keys, dtype=self.compute_dtype)
        k, q = self._of_pairs(self.key, pairs), self._of_keys(self.query, asked)
        if self.rule == "softmax":
            scores = ops.matmul(q, ops.swapaxes(k, 1, 2)) * self.key_dim**-0.5
            return ops.matmul(ops.softmax(scores), values)
        if self.feature_map == "elu":
            k, q = elu_plus_one(k), elu_plus_one(q)
        else:
            k, q = dpfp(k, self.nu), dpfp(q, self.nu)
        if self.rule == "sum":
            # W q with W = sum_t v_t phi(k_t)^T (eq. 17), divided by z . q with z = sum_t phi(k_t)
            # (eq. 18 and 19). Only the last memory is read, and by few queries: cheapest through
            # how much each query gets of each pair.
            shares = ops.matmul(q, ops.swapaxes(k, 1, 2))
            return ops.matmul(shares, values) / (ops.sum(shares, -1, keepdims=True) + EPSILON)
        k, q = sum_normalise(k)[:, :, None], sum_normalise(q)  # eq. 29, one head
        strength = ops.sigmoid(self._of_pairs(self.strength, pairs))
        # What the steps themselves would read is not asked for; XLA and the graph drop it.
        _, memory = chunkwise_delta_rule(k, k, values[:, :, None], strength)
        return ops.matmul(q, memory[:, 0])  # eq. 25

    def _of_pairs(self, dense, pairs):
        """`dense` of the pairs, `(B, L, units)`: a row of its kernel for the one-hot value."""
        rows = ops.convert_to_tensor(dense.kernel)
        keys = ops.matmul(self._embeddings(), rows[self.num_keys :]) + dense.bias
        return ops.take(keys, pairs[..., 0], axis=0) + ops.take(rows, pairs[..., 1], axis=0)

    def _of_keys(self, dense, keys):
        """`dense` of the embeddings of `keys`."""
        projected = ops.matmul(self._embeddings(), ops.convert_to_tensor(dense.kernel)) + dense.bias
        return ops.take(projected, keys, axis=0)

    def _embeddings(self):
        # Every key is projected once, not wherever it stands: S products for B L.
        return ops.convert_to_tensor(self.embedding.embeddings)

    def get_config(self):
        return {
            **super().get_config(),
            "num_keys": self.num_keys,
            "rule": self.rule,
            "feature_map": self.feature_map,
            "nu": self.nu,
            "key_dim": self.key_dim,
        }


def _uniform(bound: float):
    return keras.initializers.RandomUniform(-bound, bound)


def _fan(width: int):
    """PyTorch's default for a linear layer with `width` inputs."""
    return _uniform(width**-0.5)
