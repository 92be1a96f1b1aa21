"""Which tests the default run takes, so that it fits a laptop; `-m "not slow"` takes them all.

It looks at every layer, every model's class and every op for every property. The tests of a
property of a subject are a group, of which it takes one: of the first subject the first, of the
second the second, so that forms, compilers, dtypes and lengths all have their turn.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable
from pathlib import Path

import pytest

# The parameters that a property of one and the same subject is shown for.
AXES = {
    "chunk_size",
    "cut",
    "filled",
    "form",
    "jit_compile",
    "length",
    "lowest",
    "marks",
    "mode",
    "policy",
    "way",
}
# Tests that show the same property of a layer, a model or an op.
PROPERTIES = {
    "forms agree": {
        "test_forms_agree_with_the_step_by_step_reference",
        "test_forms_agree_under_masks_and_resets",
        "test_compiled_equals_eager",
        "test_float32_agrees_with_float64",
        "test_long_sequences_agree",
        "test_extremes_stay_finite",
        "test_boundaries_agree",
        # Of an op.
        "test_agrees_with_the_definition",
        "test_every_combination_of_marks",
        "test_compiled",
        "test_compiled_without_marks",
        "test_float32",
        "test_float32_without_marks",
    },
    "carries its state": {"test_streams_as_batch", "test_is_causal"},
    "heeds marks": {"test_padding_is_inert", "test_resets_start_anew"},
    "is Keras's": {
        "test_runs_in_a_model",
        "test_state_passes_through_a_functional_model",
        "test_loads_as_saved",
        "test_trains_with_fit",
        "test_trains_with_a_last_batch_of_one",
        "test_survives_quantisation",
        "test_arguments_survive",
        "test_low_rank_adaptation_is_a_layer_with_other_projections",
        "test_returns_the_last_valid_step",
    },
}
# Tests every case of which takes seconds, to compile or to start TensorFlow: one group each.
ALIKE = {
    "test_a_damaged_run_is_named_and_rerun_gets_out",
    "test_a_program_without_this_package_generates",
    "test_a_served_step_is_the_models",
    "test_a_signal_saves_first",
    "test_an_interrupted_run_is_saved_and_says_so",
    "test_answers_at_once",
    "test_answers_at_once_without_keras",
    "test_every_form_passes_the_gate",
    "test_lengths_are_uniform",
    "test_resumed_training_is_the_same",
    "test_the_examples_of_a_paper",
    "test_the_probe_survives_a_kill",
    "test_trains_under_xla_with_a_last_batch_of_one",
    "test_whole_sequences_are_served_with_free_batch_and_length",
}
# Tests that do so several times, beside others of their module that do it once; and those of the
# suite of models, which tests no model of ours.
REPEATED = {
    "test_a_broken_model_fails",
    "test_a_failed_process_of_a_seed_says_why_once",
    "test_a_file_loads_after_import_papers",
    "test_a_killed_process_leaves_the_rows_that_it_had",
    "test_a_run_is_quiet_but_for_its_own_output",
    "test_a_run_prints_nothing_but_its_own",
    "test_a_smoke_run",
    "test_a_timing_takes_a_process_a_seed",
    "test_a_training_step_beside_the_peers_that_are_asked_for",
    "test_compare_exits_with_one_if_slower",
    "test_float64_is_float64",
    "test_kernels_are_cases_of_the_program",
    "test_killed_runs_end_as_if_never_killed",
    "test_learning_curves_are_drawn",
    "test_no_probe_of_a_tree_that_no_commit_names",
    "test_of_equal_weights_the_first_or_the_last_are_tested",
    "test_peers_of_torch_are_absent_where_tensorflow_came_first",
    "test_probes_of_changed_code",
    "test_rerun_starts_an_unfinished_run_again",
    "test_scaled_accuracy_in_percent",
    "test_selective_copying_selects_on_validation_data_and_tests_once",
    "test_set_reaches_the_processes_of_a_timing",
    "test_speeds_are_ratios_of_times",
    "test_streamed_tests_equal_whole_ones",
    "test_tables_and_plots_are_drawn_from_the_rows",
    "test_the_right_model_passes",
    "test_the_stand_in_ends_a_process_in_the_other_order",
    "test_training_stops_when_it_is_done",
    "test_triton_comes_before_tensorflow",
    "test_verify",
    "test_what_becomes_free_meanwhile_is_taken",
}
_PROPERTY = {test: name for name, tests in PROPERTIES.items() for test in tests}
_SUITES = [Path(__file__).parent / suite for suite in ("contract", "common/ops")]


def leave_to_the_grid(items: Iterable[pytest.Item]) -> None:
    """Marks what the default run leaves out as `grid`."""
    properties: dict[Hashable, dict[Hashable, list[pytest.Item]]] = defaultdict(dict)
    for item in items:
        test = getattr(item, "originalname", item.name)
        if test in REPEATED:
            item.add_marker("grid")
        elif not item.get_closest_marker("slow"):
            subjects = properties[item.path, _PROPERTY.get(test, test)]
            subjects.setdefault(_subject(item, test), []).append(item)
    for number, subjects in enumerate(properties.values()):
        for turn, group in enumerate(subjects.values(), start=number):
            for item in group:
                if item is not group[turn % len(group)]:
                    item.add_marker("grid")


def _subject(item: pytest.Item, test: str) -> Hashable:
    """What tells a group of a property from another; in most suites, every test does."""
    if test in ALIKE:
        return ()
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    if not parameters or not any(suite in item.path.parents for suite in _SUITES):
        return item.nodeid
    # An op is a form.
    axes = AXES if "subject" in parameters else AXES - {"form"}
    return tuple(_identity(value) for name, value in parameters.items() if name not in axes)


def _identity(value) -> Hashable:
    """The class of a model, whose versions are one; the name of a layer case; or just which."""
    if isinstance(value, type):
        return value
    return getattr(value, "cls", None) or getattr(value, "name", None) or id(value)
