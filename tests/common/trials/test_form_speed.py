import pytest

from common.reproduce.run import Run
from common.trials.form_speed import form_speed


def test_times_the_forms_of_a_layer(tmp_path):
    run = Run(variant="v", preset="cpu", seed=0, dir=tmp_path)
    result = form_speed(
        run,
        layer="papers.retnet:Retention",
        layer_settings={"units": 4, "num_heads": 1},
        forms=["chunkwise", "recurrent"],
        lengths=[8, 16],
        batch_size=1,
        samples=3,
    )
    ratio = result["recurrent_milliseconds"] / result["chunkwise_milliseconds"]
    assert result["chunkwise_speedup"] == pytest.approx(ratio)
    assert result["first_speedup"] > 0
