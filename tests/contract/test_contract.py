"""The contract suite: all invariants of DESIGN section 2, over every layer of every paper."""

import keras
import pytest

from tests.contract import invariants
from tests.contract.papers import contracts
from tests.contract.subjects import all_forms, all_subjects, corner_subjects

SUBJECTS = all_subjects()
CASES = all_forms()
LARGEST_INPUTS = {name: scale for one in contracts() for name, scale in one.largest_inputs.items()}
POLICIES = ("float32", "mixed_bfloat16", "mixed_float16", "float64")
# Torch has no compiler here, and JAX is compiled in all tests.
COMPILED = ("graph", "xla") if keras.backend.backend() == "tensorflow" else ()
# Outside TensorFlow the unrolled reference is slow, op by op or to compile. There the long
# sequences are what is compared without marks.
LENGTHS = (63, 64) if keras.backend.backend() == "tensorflow" else ()
MARKED = 63 if keras.backend.backend() == "tensorflow" else 17

# The scope makes pytest run all tests of a layer in a row, which share the references.
each_form = pytest.mark.parametrize(("subject", "form"), CASES, scope="module")


@each_form
@pytest.mark.parametrize("length", LENGTHS)
def test_forms_agree_with_the_step_by_step_reference(subject, form, length):
    invariants.forms_agree(subject, form, length)


@each_form
def test_forms_agree_under_masks_and_resets(subject, form):
    invariants.forms_agree(subject, form, MARKED, "marked")


@each_form
@pytest.mark.parametrize("mode", COMPILED)
def test_compiled_equals_eager(subject, form, mode):
    invariants.forms_agree(subject, form, MARKED, "marked", mode)


@each_form
def test_float32_agrees_with_float64(subject, form):
    mode = COMPILED[0] if COMPILED else invariants.EAGER
    invariants.forms_agree(subject, form, MARKED, "marked", mode, "float32")


@each_form
def test_long_sequences_agree(subject, form):
    invariants.long_sequences_agree(subject, form)


@each_form
def test_extremes_stay_finite(subject, form):
    invariants.extremes_stay_finite(subject, form, LARGEST_INPUTS.get(subject.name, 1e4))


@each_form
def test_streams_as_batch(subject, form):
    invariants.streams_as_batch(subject, form)


@each_form
def test_is_causal(subject, form):
    invariants.is_causal(subject, form)


@each_form
def test_padding_is_inert(subject, form):
    invariants.padding_is_inert(subject, form)


@each_form
def test_resets_start_anew(subject, form):
    invariants.resets_start_anew(subject, form)


@each_form
@pytest.mark.parametrize("policy", POLICIES)
def test_keeps_precision(subject, form, policy):
    invariants.keeps_precision(subject, form, policy)


@each_form
def test_boundaries_agree(subject, form):
    invariants.boundaries_agree(subject, form, 1)
    invariants.boundaries_agree(subject, form, 3, scale=1e4)


@pytest.mark.parametrize("subject", corner_subjects(), ids=lambda s: s.name)
def test_corners_agree(subject):
    for form in subject.forms:
        invariants.boundaries_agree(subject, form, 5)


@each_form
def test_any_batch_size(subject, form):
    invariants.any_batch_size(subject, form)


@each_form
def test_is_seeded(subject, form):
    invariants.is_seeded(subject, form)


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda s: s.name)
def test_states_its_size(subject):
    invariants.states_its_size(subject)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="counted in JAX's jaxpr")
@each_form
def test_states_its_flops(subject, form):
    invariants.states_its_flops(subject, form)
