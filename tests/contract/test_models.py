"""The model contract suite: every model of every paper."""

import warnings

import keras
import numpy as np
import pytest

from common.models import RecordedModel, SequenceModel
from tests.contract import model_invariants
from tests.contract.models import defined_models, subjects
from tests.helpers.arguments import parameters, wrongly_accepted

SUBJECTS = subjects()
BASES = [subject for subject in SUBJECTS if subject.others]


def each(chosen):
    return pytest.mark.parametrize("subject", chosen, ids=lambda subject: subject.name)


STREAMS = [subject for subject in SUBJECTS if subject.streams]
BACKEND = keras.backend.backend()
COMMON = [subject for subject in SUBJECTS if subject.name.startswith("common")]
# JAX compiles each for half a minute. What is Keras's part in saving and training is shown there
# by the models of common, and by all on TensorFlow and torch.
CHOSEN = COMMON if BACKEND == "jax" else SUBJECTS
# Eight bits are Keras's too: all models on torch, where nothing is compiled, one with XLA.
QUANTISED = {"torch": SUBJECTS, "tensorflow": COMMON[:1], "jax": []}[BACKEND]
# Those with both, tied and untied; the other of the two than the subject's own is made in a test.
TIED = [
    subject
    for subject in BASES
    if subject in CHOSEN
    and "tie_embeddings" in parameters(subject.cls, RecordedModel)
    and "tie_embeddings" in subject.others
]


def test_every_model_is_here():
    missing = defined_models() - {subject.cls for subject in SUBJECTS}
    assert not missing, f"give {missing} a row in its paper's CONTRACT"


@each(STREAMS)
def test_streams_as_batch(subject):
    model_invariants.streams_as_batch(subject)


@each(STREAMS)
def test_padding_is_inert(subject):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*does not support masking.*")
        model_invariants.padding_is_inert(subject)


@each(STREAMS)
def test_resets_start_anew(subject):
    model_invariants.resets_start_anew(subject)


@each(CHOSEN)
def test_computes_in_its_dtype(subject):
    model_invariants.computes_in_its_dtype(subject)


@each([s for s in BASES if s in CHOSEN])
def test_arguments_survive(subject):
    cls = subject.cls
    given = set()
    for one in SUBJECTS:
        if one.cls is cls:
            given |= one.others.keys()
            if one.others:
                others = {k: v for k, v in one.others.items() if v is not None}
                model_invariants.arguments_survive(one, **others)
    required = set(subject.given())
    missing = parameters(cls, RecordedModel).keys() - given - required
    fixed = _fixed(subject, missing)
    assert missing == fixed, f"give {missing - fixed} of {cls.__name__} in its paper's CONTRACT"


def _fixed(subject, names) -> set[str]:
    """Those of `names` that the paper's model sets itself and so does not take."""
    fixed = set()
    for name in names:
        try:
            subject.cls(
                **{**subject.given(), name: parameters(subject.cls, RecordedModel)[name].default}
            )
        except TypeError as error:
            assert "multiple values" in str(error), error
            fixed.add(name)
    return fixed


@each(CHOSEN)
def test_loads_as_saved(subject, tmp_path):
    model_invariants.loads_as_saved(subject, tmp_path / "model.keras")


@each(TIED)
def test_tied_and_untied(subject):
    counts = {}
    for tie_embeddings in (False, True):
        model_invariants.streams_as_batch(subject, tie_embeddings=tie_embeddings)
        counts[tie_embeddings] = subject.model(tie_embeddings=tie_embeddings).count_params()
    model = subject.model()
    assert counts[False] - counts[True] == model.vocabulary_size * model.units


@each([s for s in QUANTISED if s.streams])
def test_survives_quantisation(subject, tmp_path):
    versions = [{"tie_embeddings": True}, {"tie_embeddings": False}] if subject in TIED else [{}]
    for changes in versions:
        model_invariants.survives_quantisation(subject, tmp_path / "model.keras", **changes)


@each(CHOSEN)
def test_trains_with_a_last_batch_of_one(subject):
    model_invariants.trains_with_a_last_batch_of_one(subject)


@each(CHOSEN)
def test_names_what_it_refuses(subject):
    model_invariants.names_what_it_refuses(subject)


@each(STREAMS)
def test_keeps_the_protocol(subject):
    assert issubclass(subject.cls, SequenceModel)
    state = subject.model().get_initial_state(3)
    assert isinstance(state, dict)
    for name in state:
        assert name.startswith(("block_", "layer_")) or name == "position"
    if "position" in state:
        np.testing.assert_array_equal(np.asarray(state["position"]), np.zeros(3))


@each(BASES)
def test_wrong_arguments_are_refused(subject):
    cls = subject.cls
    walked = parameters(cls, RecordedModel)
    # `name` and `dtype` are Keras's.
    fixed = _fixed(subject, walked.keys() - subject.given().keys()) | {"name", "dtype"}
    walked = {name: one for name, one in walked.items() if name not in fixed}
    assert walked and wrongly_accepted(cls, subject.given(), walked, cls) == []
