import numpy as np
import pytest

from common.tasks import DelayedWhiteNoise


@pytest.mark.parametrize("window", [25, 100])
def test_targets_are_delayed_inputs(window):
    task = DelayedWhiteNoise(window=window)
    batch = task.batch(4, 0, 0)
    length = int(2.5 * window)
    assert batch["inputs"].shape == (4, length, 1)
    assert batch["targets"].shape == (4, length, 5)
    delays = [0, window // 4, window // 2, 3 * window // 4, window]
    np.testing.assert_array_equal(task.delays, delays)
    for output, delay in enumerate(delays):
        for step in range(length):
            expected = batch["inputs"][:, step - delay, 0] if step >= delay else np.zeros(4)
            np.testing.assert_array_equal(batch["targets"][:, step, output], expected)
    np.testing.assert_array_equal(
        batch["weights"], np.broadcast_to(np.arange(length) >= window, (4, length))
    )


def test_signals_are_scaled_and_begin_near_zero():
    signals = DelayedWhiteNoise(window=1000).batch(20, 0, 0)["inputs"][:, :, 0]
    np.testing.assert_array_equal(np.abs(signals).max(axis=1), 1.0)
    # Within one step of a crossing: a 10 Hz sine moves 2 pi 10 / 1000 at most.
    assert np.abs(signals[:, 0]).max() < 0.07


def test_spectrum_is_flat_up_to_the_band_limit_and_empty_above():
    task = DelayedWhiteNoise(window=200, band_limit=10.0)
    signals = task.batch(400, 0, 0)["inputs"][:, :, 0].astype(np.float64)
    signals /= signals.std(axis=1, keepdims=True)
    power = np.mean(np.abs(np.fft.rfft(signals)) ** 2, axis=0)
    frequencies = np.fft.rfftfreq(task.length, d=1 / 200)
    inside = (frequencies > 0) & (frequencies <= 10.0)
    assert inside.sum() == 25  # 0.4 Hz, 0.8 Hz, ... 10 Hz: periods of 2.5 s and its fractions
    flat = power[inside].mean()
    np.testing.assert_allclose(power[inside], flat, rtol=0.3)
    assert power[~inside].max() < 1e-9 * flat


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": 0}, "`window` must be a positive integer.* got 0"),
        ({"outputs": 1}, "`outputs` must be an integer of .* 2; got 1"),
        ({"window": 20}, "`band_limit` must be .* below 10; got 10.0"),
        ({"band_limit": 0.1}, "`band_limit` must be .* at least .* got 0.1"),
        ({"length_factor": 1.0}, "`length_factor` must be .* above 1; got 1.0"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        DelayedWhiteNoise(**settings)
