from dataclasses import dataclass

import pytest

from common.reproduce.execute import plots


@dataclass(frozen=True)
class Made:
    variant: str
    metrics: dict


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were drawn."""
    figures = []
    monkeypatch.setattr(plots, "_save", lambda figure, path: figures.append(figure))
    return figures


def draw(tmp_path, text, metrics=()):
    (tmp_path / "metrics.csv").write_text(text)
    return plots.learning_curves({"lmu": [tmp_path]}, metrics, tmp_path / "a.png")


def test_one_evaluation_is_a_marker_and_the_loss_is_there(tmp_path, drawn):
    assert draw(tmp_path, "phase,step,accuracy,loss\ntrain,5,0.9,1.5\n", ("accuracy",))
    loss, accuracy = drawn[0].axes
    assert loss.get_ylabel() == "training loss" and accuracy.get_ylabel() == "accuracy"
    (line,) = accuracy.lines
    assert line.get_marker() == "o" and list(line.get_xdata()) == [5]
    assert accuracy.get_xlabel() == "update"


def test_trainings_of_one_run_are_lines_of_their_own(tmp_path, drawn):
    draw(tmp_path, "phase,step,loss\na,1,3\na,2,2\nb,1,3\nb,2,1\n")
    (axes,) = drawn[0].axes
    assert [list(line.get_ydata()) for line in axes.lines] == [[3, 2], [3, 1]]
    assert axes.get_legend_handles_labels()[1] == ["lmu", "lmu"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["lmu"]


def test_what_is_timed_is_drawn_over_the_length_in_its_unit(tmp_path, drawn):
    text = "phase,step,fused_milliseconds,loop_milliseconds\ntrial,64,1,2\ntrial,512,3,40\n"
    assert draw(tmp_path, text)
    (axes,) = drawn[0].axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("length", "milliseconds")
    assert [line.get_label() for line in axes.lines] == ["lmu, fused", "lmu, loop"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["64", "512"]


def test_values_logged_once_are_no_curve(tmp_path, drawn):
    assert not draw(tmp_path, "phase,step,width\ntrial,0,4\n")
    assert not drawn


def test_no_two_series_share_a_colour():
    assert len({str(color) for color in plots.colors(40)}) == 40


def test_reported_values_are_lines_with_their_deviation(tmp_path, drawn):
    runs = [Made("lmu", {"error": 0.5}), Made("lmu", {"error": 0.6}), Made("lstm", {"error": 1.0})]
    targets = [plots.Target("lmu", "error", 0.4, 0.1), plots.Target("gru", "error", 2.0, None)]
    assert plots.results(runs, targets, tmp_path / "a.png")
    (axes,) = drawn[0].axes
    reported, measured = axes.lines
    assert list(reported.get_ydata()) == [0.4, 0.4]
    assert list(measured.get_ydata()) == [0.5, 0.6]
    (band,) = axes.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((0.3, 0.5))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["lmu"]


def test_results_without_reported_numbers_are_no_figure(tmp_path, drawn):
    assert not plots.results([Made("lmu", {"error": 0.5})], [], tmp_path / "a.png")
