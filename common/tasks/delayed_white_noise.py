"""Remembering white noise: the memory capacity task of the LMU paper."""

from dataclasses import dataclass

import numpy as np

from common.checks import check_integers, check_numbers
from common.tasks.task import Arrays, Task


@dataclass(frozen=True)
class DelayedWhiteNoise(Task):
    """Band-limited white noise in, the same signal at several delays out.

    Voelker et al. 2019, section 4.1, with the settings of the authors' `capacity.ipynb`: noise
    band-limited to 10 Hz, a window theta of one second that is divided into `window` steps,
    signals of 2.5 theta scaled to a largest magnitude of 1, and five delays evenly spaced from 0
    to theta. The notebook trains on every step and measures the mean squared error, per delay,
    from step `window` on, which is where `"weights"` is 1.

    A batch holds, with L the number of steps:

    - `"inputs"`: float32 `(B, L, 1)`.
    - `"targets"`: float32 `(B, L, outputs)`; zero before the delayed signal has begun.
    - `"weights"`: float32 `(B, L)`.

    Args:
        window: Steps of theta, the longest delay; the step is `1 / window` seconds.
        outputs: Number of delays.
        band_limit: Highest frequency in Hz.
        length_factor: Length of a signal in units of theta.

    Raises:
        ValueError: if an argument is out of range, or `band_limit` at or above the Nyquist
            frequency, `window / 2`.
    """

    window: int = 1000
    outputs: int = 5
    band_limit: float = 10.0
    length_factor: float = 2.5

    def __post_init__(self) -> None:
        check_integers(self, 1, window=self.window)
        check_integers(self, 2, outputs=self.outputs)
        check_numbers(self, above=1, length_factor=self.length_factor)
        # From one wave in the whole signal to the Nyquist frequency.
        longest, shortest = 1 / self.length_factor, self.window / 2
        check_numbers(self, at_least=longest, below=shortest, band_limit=self.band_limit)

    @property
    def length(self) -> int:
        """Number of steps of a signal, rounded down as in the notebook."""
        return int(self.length_factor * self.window + 1e-7)

    @property
    def delays(self) -> np.ndarray:
        """The delays in steps, int64 `(outputs,)`."""
        return np.linspace(0, self.window, self.outputs, dtype=int)

    def sample(self, rng: np.random.Generator, batch_size: int, split: str) -> Arrays:
        signals = self._white_noise(rng, batch_size).astype(np.float32)
        targets = np.zeros((batch_size, self.length, self.outputs), np.float32)
        for output, delay in enumerate(self.delays):
            targets[:, delay:, output] = signals[:, : self.length - delay]
        weights = np.zeros((batch_size, self.length), np.float32)
        weights[:, self.window :] = 1.0
        return {"inputs": signals[..., None], "targets": targets, "weights": weights}

    def _white_noise(self, rng: np.random.Generator, batch_size: int) -> np.ndarray:
        """Periodic signals with a flat random spectrum, float64 `(B, length)`."""
        frequencies = np.fft.rfftfreq(self.length, d=1 / self.window)
        count = int(np.sum(frequencies <= self.band_limit))
        spectrum = np.zeros((batch_size, len(frequencies)), complex)
        real, imaginary = rng.standard_normal((2, batch_size, count - 1))
        spectrum[:, 1:count] = real + 1j * imaginary
        signals = np.fft.irfft(spectrum, n=self.length, axis=1)
        # Begin where the signal is nearest to zero: no jump out of the silence before it.
        start = np.argmin(np.abs(signals), axis=1)
        steps = (start[:, None] + np.arange(self.length)) % self.length
        signals = np.take_along_axis(signals, steps, axis=1)
        return signals / np.max(np.abs(signals), axis=1, keepdims=True)
