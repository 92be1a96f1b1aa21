"""A language model around any sequence layers: embedding, residual blocks, logits."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from common.layers import SequenceLayer

NORMS = {"rms": layers.RMSNormalization, "layer": layers.LayerNormalization}


@keras.saving.register_keras_serializable(package="papers")
class LanguageModel(keras.Model):
    """Embedding, blocks `x + mixer(norm(x))` and `x + network(norm(x))`, a norm, logits.

    The mixers carry a state, so the model streams and generates as they do: `call` takes and
    returns a state, `step` takes one symbol.

    Args:
        vocabulary: Number of symbols.
        units: Width D of the stream.
        mixers: One `SequenceLayer` a block, of output width D.
        networks: One layer a block that maps `(B, T, D)` to itself, or `None` in its place; by
            default no block has one.
        norm: `"rms"` or `"layer"`, before every mixer and network and before the logits.
        tied: Whether the logits' kernel is the embedding's.
        max_positions: If positive, an embedding of the absolute position is added, learned for so
            many positions.
        dropout: Rate after the embedding and on every block's outputs.
        epsilon: Of the norms.
        embedding_deviation: Standard deviation of the initial embeddings.
        **kwargs: Arguments of `keras.Model`.

    Call arguments:
        inputs: Integers `(B, T)`, or `{"inputs": (B, T), "at": (B, Q)}` to have logits at the
            steps `at` only, which saves the product with a large vocabulary elsewhere.
        initial_state: State of `get_initial_state` or an earlier call.
        mask: `(B, T)` bool; false where a step is padding.
        reset: `(B, T)` bool; true at the first step of a document.
        training: Whether dropout acts.
        return_state: Whether to return the final state too.

    Returns:
        Logits `(B, T, vocabulary)` or `(B, Q, vocabulary)`, float32; with `return_state` the pair
        of these and the state.

    Raises:
        ValueError: if a size is not positive, `norm` is unknown, the numbers of mixers and
            networks differ, or a mixer has another width.
    """

    def __init__(
        self,
        vocabulary: int,
        units: int,
        mixers: Sequence[SequenceLayer],
        networks: Sequence[layers.Layer | None] | None = None,
        norm: str = "rms",
        tied: bool = False,
        max_positions: int = 0,
        dropout: float = 0.0,
        epsilon: float = 1e-5,
        embedding_deviation: float = 0.02,
        **kwargs,
    ):
        super().__init__(**kwargs)
        for name, value in (("vocabulary", vocabulary), ("units", units), ("mixers", len(mixers))):
            if value < 1:
                raise ValueError(f"LanguageModel: `{name}` must be positive; got {value!r}.")
        if norm not in NORMS:
            raise ValueError(f"LanguageModel: `norm` must be one of {tuple(NORMS)}; got {norm!r}.")
        networks = [None] * len(mixers) if networks is None else networks
        if len(networks) != len(mixers):
            raise ValueError(
                f"LanguageModel: `networks` must be as many as `mixers`, {len(mixers)}; "
                f"got {len(networks)}."
            )
        for i, mixer in enumerate(mixers):
            if mixer.output_dim != units:
                raise ValueError(
                    f"LanguageModel: `mixers[{i}]` must have output width {units}; "
                    f"got {mixer.output_dim}."
                )
        self.vocabulary = vocabulary
        self.units = units
        self.mixers = list(mixers)
        self.networks = list(networks)
        self.norm = norm
        self.tied = tied
        self.max_positions = max_positions
        self.dropout = dropout
        self.epsilon = epsilon
        self.embedding_deviation = embedding_deviation
        self.embedding = self._make_embedding(vocabulary)
        if max_positions:
            self.positions = self._make_embedding(max_positions)
        self.mixer_norms = [NORMS[norm](epsilon=epsilon) for _ in mixers]
        self.network_norms = [None if n is None else NORMS[norm](epsilon=epsilon) for n in networks]
        self.last_norm = NORMS[norm](epsilon=epsilon)
        self.drop = layers.Dropout(dropout)
        if not tied:
            # Logits and their loss stay float32 under mixed policies.
            self.head = layers.Dense(vocabulary, use_bias=False, dtype="float32")

    def _make_embedding(self, size: int) -> layers.Embedding:
        # An initializer shared by two would give both the same values.
        normal = keras.initializers.RandomNormal(0, self.embedding_deviation)
        return layers.Embedding(size, self.units, embeddings_initializer=normal)

    def build(self, input_shape):
        hidden = (None, None, self.units)
        self.embedding.build((None, None))
        if self.max_positions:
            self.positions.build((None, None))
        for layer in (*self.mixer_norms, *self.mixers, *self.network_norms, *self.networks):
            if layer is not None and not layer.built:  # one that was loaded is built
                layer.build(hidden)
        self.last_norm.build(hidden)
        if not self.tied:
            self.head.build(hidden)

    def get_initial_state(self, batch_size) -> dict:
        """The state before the first symbol: the mixers' states, and the position if it counts."""
        state: dict[str, Any] = {
            f"block_{i}": mixer.get_initial_state(batch_size) for i, mixer in enumerate(self.mixers)
        }
        if self.max_positions:
            state["position"] = ops.zeros((), "int32")
        return state

    def call(
        self,
        inputs,
        initial_state=None,
        mask=None,
        reset=None,
        training=None,
        return_state=False,
    ):
        at = None
        if isinstance(inputs, dict):
            inputs, at = inputs["inputs"], inputs["at"]
            mask = mask["inputs"] if isinstance(mask, dict) else mask  # as Keras hands it on
        # Mixers that know that they start anew can spare what an earlier state would take.
        state = {} if initial_state is None else initial_state
        hidden = self.embedding(inputs)
        new_state = {}
        if self.max_positions:
            length = ops.shape(inputs)[1]
            position = state.get("position", ops.zeros((), "int32"))
            hidden = hidden + self.positions(position + ops.arange(length))
            new_state["position"] = position + length
        hidden = self.drop(hidden, training=training)
        for i, mixer in enumerate(self.mixers):
            mixed, new_state[f"block_{i}"] = mixer(
                self.mixer_norms[i](hidden),
                initial_state=state.get(f"block_{i}"),
                mask=mask,
                reset=reset,
                training=training,
                return_state=True,
            )
            hidden = self._add_network(i, hidden + self.drop(mixed, training=training), training)
        if at is not None:
            hidden = ops.take_along_axis(hidden, at[..., None], axis=1)
        logits = self._logits(hidden)
        return (logits, new_state) if return_state else logits

    def step(self, inputs, state):
        """One symbol: integers `(B,)` and a state to logits `(B, vocabulary)` and a state."""
        hidden = self.embedding(inputs)
        new_state = {}
        if self.max_positions:
            hidden = hidden + self.positions(state["position"])
            new_state["position"] = state["position"] + 1
        for i, mixer in enumerate(self.mixers):
            mixed, new_state[f"block_{i}"] = mixer.step(
                self.mixer_norms[i](hidden), state[f"block_{i}"]
            )
            hidden = self._add_network(i, hidden + mixed, False)
        return self._logits(hidden), new_state

    def _add_network(self, i, hidden, training):
        network, norm = self.networks[i], self.network_norms[i]
        if network is None:
            return hidden
        return hidden + self.drop(network(norm(hidden)), training=training)

    def _logits(self, hidden):
        hidden = self.last_norm(hidden)
        if not self.tied:
            return self.head(hidden)
        kernel = ops.convert_to_tensor(self.embedding.embeddings)
        return ops.matmul(ops.cast(hidden, "float32"), ops.transpose(ops.cast(kernel, "float32")))

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "vocabulary": self.vocabulary,
            "units": self.units,
            "mixers": [serialize(mixer) for mixer in self.mixers],
            "networks": [None if n is None else serialize(n) for n in self.networks],
            "norm": self.norm,
            "tied": self.tied,
            "max_positions": self.max_positions,
            "dropout": self.dropout,
            "epsilon": self.epsilon,
            "embedding_deviation": self.embedding_deviation,
        }

    @classmethod
    def from_config(cls, config):
        revive = keras.saving.deserialize_keras_object
        config = dict(config)
        for name in ("mixers", "networks"):
            config[name] = [None if one is None else revive(one) for one in config[name]]
        return cls(**config)
