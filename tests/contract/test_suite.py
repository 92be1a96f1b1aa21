"""The suite itself: layers broken on purpose fail the invariant that they break."""

import keras
import pytest
from keras import ops

from common.checks import check_numbers
from common.layers import SequenceLayer, StateSpec
from common.ops.linear_scan import linear_scan
from tests.contract import invariants
from tests.contract.subjects import Subject
from tests.helpers.arguments import parameters, wrongly_accepted


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


class ForgetsZero(Leaky):
    """Has no gradient in a state of exactly zero, as where the state's logarithm is taken."""

    def parallel(self, features, state, initial, mask, reset):
        hidden = state["hidden"]
        hidden = ops.where(hidden == 0, ops.stop_gradient(hidden), hidden)
        return super().parallel(features, {"hidden": hidden}, initial, mask, reset)


class DropsNegativeStates(Leaky):
    """Takes a negative state for zero."""

    def parallel(self, features, state, initial, mask, reset):
        return super().parallel(
            features, {"hidden": ops.relu(state["hidden"])}, initial, mask, reset
        )


class SaturatesWrongly(Leaky):
    """Off where what it takes in is large only."""

    def parallel(self, features, state, initial, mask, reset):
        drive = features["drive"]
        drive = ops.where(ops.abs(drive) > 100, 1.001 * drive, drive)
        return super().parallel({**features, "drive": drive}, state, initial, mask, reset)


class MixesTheBatch(Leaky):
    """What a sequence gives depends on those beside it."""

    def parallel(self, features, state, initial, mask, reset):
        drive = features["drive"]
        drive = drive + ops.sum(drive, axis=0, keepdims=True)
        return super().parallel({**features, "drive": drive}, state, initial, mask, reset)


class NoneIsOne(Leaky):
    """Gives a row for no sequence."""

    def parallel(self, features, state, initial, mask, reset):
        hidden, state = super().parallel(features, state, initial, mask, reset)
        none = hidden.shape[0] == 0
        return ops.zeros((1, *hidden.shape[1:]), hidden.dtype) if none else hidden, state


class Scaled(Leaky):
    """Right: an argument, checked, that is in the config by itself."""

    def __init__(self, scale: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        self._check(scale)
        self.scale = scale

    def _check(self, scale):
        check_numbers(self, above=0, scale=scale)

    def features(self, inputs, training=None):
        return super().features(self.scale * inputs, training)


class LosesItsScale(Scaled):
    """The config is without it."""

    def get_config(self):
        config = super().get_config()
        del config["scale"]
        return config


class UnusedWeight(Scaled):
    """Builds a bias and never adds it."""

    def build(self, input_shape):
        super().build(input_shape)
        self.bias = self.add_weight((4,), "zeros", name="bias")


class Unchecked(Scaled):
    """Takes whatever comes."""

    def _check(self, scale):
        pass


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
        "boundaries": lambda s: invariants.boundaries_agree(s, form, 3),
        "saturated": lambda s: invariants.boundaries_agree(s, form, 3, scale=1e4),
        "batch sizes": lambda s: invariants.any_batch_size(s, form),
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
        (ForgetsZero, "parallel", "boundaries", "gradient in state 0"),
        (DropsNegativeStates, "parallel", "boundaries", "outputs"),
        (SaturatesWrongly, "parallel", "saturated", "outputs"),
        (MixesTheBatch, "parallel", "batch sizes", "one sequence"),
        (NoneIsOne, "parallel", "batch sizes", "none"),
    ],
)
def test_a_broken_layer_fails(layer, form, check, message):
    with pytest.raises(AssertionError, match=message):
        checks(form)[check](subject(layer))


def arguments(layer):
    with keras.saving.custom_object_scope({layer.__name__: layer}):
        invariants.arguments_survive(layer, {"scale": 2.0})


def test_arguments_that_survive():
    arguments(Scaled)


@pytest.mark.parametrize(
    ("layer", "message"),
    [(LosesItsScale, "of the clone: relative error"), (UnusedWeight, "bias has no effect")],
)
def test_arguments_that_do_not(layer, message):
    with pytest.raises(AssertionError, match=message):
        arguments(layer)


def test_unchecked_arguments_are_seen():
    known = {name: parameters(Scaled, SequenceLayer)[name] for name in ("scale", "form")}
    assert not wrongly_accepted(Scaled, {}, known, Scaled)
    faults = "\n".join(wrongly_accepted(Unchecked, {}, known, Unchecked))
    for value in ("None", "'no'", "nan", "True", "[]"):
        assert f"scale={value} is accepted" in faults
