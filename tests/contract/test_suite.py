"""The suite itself: layers broken on purpose fail the invariant that they break."""

import keras
import pytest
from keras import ops

from common.layers import SequenceLayer, StateSpec
from common.ops.linear_scan import linear_scan
from tests.contract import invariants
from tests.contract.subjects import Subject


class Leaky(SequenceLayer):
    """`h_t = a h_{t-1} + w x_t`, right in every way: what the broken layers differ from."""

    forms = ("parallel", "recurrent")

    def build(self, input_shape):
        super().build(input_shape)
        self.kernel = self.add_weight((input_shape[-1], 4), name="kernel")
        self.decay = self.add_weight((4,), keras.initializers.Constant(0.7), name="decay")

    @property
    def output_dim(self):
        return 4

    def state_spec(self):
        return {"hidden": StateSpec((4,))}

    def features(self, inputs, training=None):
        drive = ops.cast(ops.matmul(inputs, self.cast(self.kernel)), self.state_dtype)
        decay = ops.tanh(ops.cast(self.decay, self.state_dtype))
        return {"decay": ops.zeros_like(drive) + decay, "drive": drive}

    def recur(self, features, state):
        hidden = features["decay"] * state["hidden"] + features["drive"]
        return self.cast(hidden), {"hidden": hidden}

    def parallel(self, features, state, initial, mask, reset):
        hidden, final = linear_scan(
            features["decay"], features["drive"], state["hidden"], mask=mask, reset=reset
        )
        return self.cast(hidden), {"hidden": final}


class NonCausal(Leaky):
    """Sees one step ahead in its parallel form."""

    def parallel(self, features, state, initial, mask, reset):
        drive = features["drive"]
        ahead = ops.concatenate([drive[:, 1:], drive[:, -1:]], axis=1)
        return super().parallel({**features, "drive": ahead}, state, initial, mask, reset)


class WrongCarry(Leaky):
    """Returns the state one step too early."""

    def parallel(self, features, state, initial, mask, reset):
        hidden, _ = super().parallel(features, state, initial, mask, reset)
        return hidden, {"hidden": ops.cast(hidden[:, -2 if hidden.shape[1] > 1 else -1], "float64")}


class WrongGradient(Leaky):
    """The right values; the gradient in what the steps take in is off by a factor of 1.01."""

    def parallel(self, features, state, initial, mask, reset):
        drive = features["drive"]
        drive = 1.01 * drive - ops.stop_gradient(0.01 * drive)
        return super().parallel({**features, "drive": drive}, state, initial, mask, reset)


class Bfloat16State(Leaky):
    """Carries its state in bfloat16 under mixed policies and hands it out as float32."""

    def recur(self, features, state):
        _, state = super().recur(features, state)
        hidden = ops.cast(ops.cast(state["hidden"], self.compute_dtype), self.state_dtype)
        return self.cast(hidden), {"hidden": hidden}


class LeaksPadding(Leaky):
    """Takes masked steps too."""

    def recurrent(self, features, state, initial, mask, reset):
        return super().recurrent(features, state, initial, None, reset)


class ForgetsResets(Leaky):
    """Carries the state across documents."""

    def recurrent(self, features, state, initial, mask, reset):
        return super().recurrent(features, state, initial, mask, None)


def subject(layer):
    return Subject(layer.__name__, layer, 3)


def checks(form, length=17):
    return {
        "forms": lambda s: invariants.forms_agree(s, form, length),
        "marks": lambda s: invariants.forms_agree(s, form, length, "marked"),
        "stream": lambda s: invariants.streams_as_batch(s, form),
        "causal": lambda s: invariants.is_causal(s, form),
        "padding": lambda s: invariants.padding_is_inert(s, form),
        "resets": lambda s: invariants.resets_start_anew(s, form),
        "precision": lambda s: invariants.keeps_precision(s, form, "mixed_bfloat16"),
    }


@pytest.mark.parametrize("form", Leaky.forms)
@pytest.mark.parametrize("check", checks("recurrent"))
def test_the_right_layer_passes(form, check):
    checks(form)[check](subject(Leaky))


@pytest.mark.parametrize(
    ("layer", "form", "check", "message"),
    [
        (NonCausal, "parallel", "causal", "outputs up to 0"),
        (NonCausal, "parallel", "forms", "outputs"),
        (WrongCarry, "parallel", "forms", "state 0"),
        (WrongCarry, "parallel", "stream", "chunks"),
        (WrongGradient, "parallel", "forms", "gradient in inputs: relative error"),
        (Bfloat16State, "recurrent", "precision", "bfloat16 values"),
        (LeaksPadding, "recurrent", "padding", "padding at 0: outputs"),
        (ForgetsResets, "recurrent", "resets", "packed documents"),
        (ForgetsResets, "recurrent", "marks", "outputs"),
    ],
)
def test_a_broken_layer_fails(layer, form, check, message):
    with pytest.raises(AssertionError, match=message):
        checks(form)[check](subject(layer))
