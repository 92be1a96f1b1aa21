"""The model suite itself: models broken on purpose fail the check that they break."""

import keras
import numpy as np
import pytest
from keras import ops

from common.layers import LSTM
from common.models import LanguageModel
from common.models.sequence_model import WholeSequences
from tests.contract import model_invariants
from tests.contract.models import VOCABULARY, ModelSubject


@keras.saving.register_keras_serializable(package="tests")
class Right(LanguageModel):
    """Right in every way: what the broken models differ from."""

    def __init__(
        self, units=6, dropout=0.0, max_positions=20, tie_embeddings=True, dtype=None, **kwargs
    ):
        super().__init__(
            VOCABULARY,
            units,
            [LSTM(units, dtype=dtype)],
            dropout=dropout,
            max_positions=max_positions,
            tie_embeddings=tie_embeddings,
            dtype=dtype,
            **kwargs,
        )


class StepForgetsPositions(Right):
    """Every step is the first."""

    def step(self, inputs, state, training=None):
        outputs, new = super().step(inputs, {**state, "position": 0 * state["position"]})
        return outputs, {**new, "position": state["position"] + 1}


class StartsAnew(Right):
    """Takes no notice of the state that it is given."""

    def call(self, inputs, initial_state=None, **kwargs):
        return super().call(inputs, None, **kwargs)


class CountsPadding(Right):
    """Positions are places in the tensor."""

    def positions_of(self, inputs, through, name, size):
        if isinstance(through, WholeSequences):
            through.positions(inputs)
            return ops.arange(inputs.shape[1])[None]
        return super().positions_of(inputs, through, name, size)


class ForgetsResets(Right):
    """Carries the state across documents."""

    def call(self, inputs, reset=None, **kwargs):
        return super().call(inputs, **kwargs)


class OneDtype(Right):
    """Computes in float32 whatever it is told."""

    def __init__(self, dtype=None, **kwargs):
        super().__init__(dtype="float32", **kwargs)


class HalfDtype(Right):
    """Makes its mixer in float32."""

    def __init__(self, dtype=None, **kwargs):
        super().__init__(dtype=dtype, **kwargs)
        self.mixers = [LSTM(self.units, dtype="float32")]


@keras.saving.register_keras_serializable(package="tests")
class LosesDropout(Right):
    """Its config leaves one argument out."""

    def get_config(self):
        config = super().get_config()
        del config["dropout"]
        return config


@keras.saving.register_keras_serializable(package="tests")
class LosesCap(Right):
    """Its config leaves an argument out that no shape depends on."""

    def get_config(self):
        config = super().get_config()
        del config["logits_cap"]
        return config


@keras.saving.register_keras_serializable(package="tests")
class LosesWidth(Right):
    """Its config leaves an argument out that decides shapes."""

    def get_config(self):
        config = super().get_config()
        del config["units"]
        return config


@keras.saving.register_keras_serializable(package="tests")
class HidesAWeight(Right):
    """Has a weight that Keras does not know of."""

    def build(self, input_shape):
        super().build(input_shape)
        shift = np.random.default_rng().standard_normal(VOCABULARY).astype("float32")
        object.__setattr__(self, "shift", shift)

    def compute(self, inputs, through):
        return super().compute(inputs, through) + ops.convert_to_tensor(self.shift)


@keras.saving.register_keras_serializable(package="tests")
class ReadsIntegers(Right):
    """Multiplies by the embedding as it is stored."""

    def compute(self, inputs, through):
        hidden = self.embedding(inputs) + self.positions(through.positions(inputs))
        hidden = hidden + through.mix("block_0", self.mixers[0], self.mixer_norms[0](hidden))
        kernel = ops.cast(ops.convert_to_tensor(self.embedding._embeddings), "float32")
        return ops.matmul(self.last_norm(hidden), ops.transpose(kernel))


class NeedsTwo(Right):
    """Normalises over the batch, by a variance that one sequence does not have."""

    def compute(self, inputs, through):
        logits = super().compute(inputs, through)
        count = ops.cast(ops.shape(logits)[0], logits.dtype)
        mean = ops.mean(logits, axis=0, keepdims=True)
        return logits / (ops.sum(ops.square(logits - mean), axis=0, keepdims=True) / (count - 1))


class TakesAnySymbol(Right):
    """Takes symbols out of the vocabulary for others."""

    def compute(self, inputs, through):
        return super().compute(inputs % VOCABULARY, through)


class TakesAnyState(Right):
    """Does not look at the names of a state."""

    def _check_state(self, argument, state):
        pass


def checks(path):
    return {
        "streams": model_invariants.streams_as_batch,
        "padding": model_invariants.padding_is_inert,
        "resets": model_invariants.resets_start_anew,
        "dtype": model_invariants.computes_in_its_dtype,
        "config": lambda s: model_invariants.arguments_survive(
            s, dropout=0.3, units=8, logits_cap=0.5
        ),
        "saved": lambda s: model_invariants.loads_as_saved(s, path),
        "quantised": lambda s: model_invariants.survives_quantisation(s, path),
        "fit": model_invariants.trains_with_a_last_batch_of_one,
        "refusals": model_invariants.names_what_it_refuses,
    }


def subject(cls):
    return ModelSubject(cls.__name__, cls, {})


@pytest.mark.parametrize("check", checks(None))
def test_the_right_model_passes(check, tmp_path):
    checks(tmp_path / "model.keras")[check](subject(Right))


@pytest.mark.parametrize(
    ("model", "check", "message"),
    [
        (StepForgetsPositions, "streams", "chunks and steps"),
        (StartsAnew, "streams", "chunks and steps"),
        (CountsPadding, "padding", "padding at 0: outputs"),
        (CountsPadding, "resets", "packed documents"),
        (ForgetsResets, "resets", "packed documents"),
        (OneDtype, "dtype", "outputs are float32|is float32"),
        (HalfDtype, "dtype", "is float32"),
        (LosesDropout, "config", "other variables"),
        (LosesCap, "config", "training=False"),
        (LosesWidth, "config", "other variables"),
        (HidesAWeight, "saved", "not equal"),
        (ReadsIntegers, "quantised", "quantised outputs are off"),
        (NeedsTwo, "fit", "losses"),
        (TakesAnySymbol, "refusals", "a wrong `inputs` is taken"),
        (TakesAnyState, "refusals", "a wrong `initial_state` ends in KeyError"),
    ],
)
def test_a_broken_model_fails(model, check, message, tmp_path):
    with pytest.raises(AssertionError, match=message):
        checks(tmp_path / "model.keras")[check](subject(model))
