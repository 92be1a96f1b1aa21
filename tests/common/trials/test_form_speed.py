import keras
import numpy as np
import pytest
from keras import ops

from common.reproduce.run import Run
from common.trials.form_speed import form_speed, without_projections
from papers.retnet import Retention


@pytest.mark.parametrize("projections", [True, False])
def test_times_the_forms_of_a_layer(tmp_path, projections):
    run = Run(variant="v", preset="cpu", seed=0, dir=tmp_path)
    result = form_speed(
        run,
        layer="papers.retnet:Retention",
        layer_settings={"units": 4, "num_heads": 1},
        forms=["chunkwise", "recurrent"],
        lengths=[8, 16],
        batch_size=1,
        samples=3,
        projections=projections,
    )
    ratio = result["recurrent_milliseconds"] / result["chunkwise_milliseconds"]
    assert result["chunkwise_speedup"] == pytest.approx(ratio)
    assert result["first_speedup"] > 0


def test_without_projections_all_forms_have_the_same_gradients():
    gradients = []
    for form in Retention.forms:
        keras.utils.set_random_seed(0)
        layer = Retention(4, 1, chunk_size=4, form=form)
        make = without_projections(layer, (1, 8, 4), seed=0)
        gradients.append([ops.convert_to_numpy(g) for g in make(False)()])
    for first, *others in zip(*gradients, strict=True):
        assert np.abs(first).max() > 0
        for other in others:
            np.testing.assert_allclose(other, first, rtol=1e-3, atol=1e-5)
