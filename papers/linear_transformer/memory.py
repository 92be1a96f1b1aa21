"""The memory of an attention layer against the length."""

from collections.abc import Callable, Mapping

import keras

from common.ops.loops import default_device
from common.reproduce import Run
from common.reproduce.execute.memory import peak_memory
from common.reproduce.execute.timing import exponent, layer_gradient_maker, synchronise
from papers.linear_transformer.experiments import make_attention


def memory(
    run: Run, *, attention: str, lengths: Mapping[str, list[int]], units: int, num_heads: int
) -> dict[str, float]:
    """Memory of an attention layer's forward and backward pass against the length (Figure 1).

    What the gradients in the inputs and all weights need beyond these, their own among it, of one
    sequence, as the backend compiles them (TensorFlow by XLA).

    Args:
        run: The run.
        attention: `"linear"` or `"softmax"`.
        lengths: Of either; what softmax needs does not fit at the longest of linear attention.
        units: Width.
        num_heads: Heads.

    Raises:
        RuntimeError: if the backend tells no memory here.
    """
    peaks = []
    for length in lengths[attention]:
        layer = make_attention(attention, units, num_heads, length)
        make = layer_gradient_maker(layer, (1, length, units), run.seed)
        peaks.append(_peak(make(True)))
        run.log(step=length, megabytes=peaks[-1] / 1e6)
    half = len(peaks) // 2
    return {
        "exponent": exponent(lengths[attention][half:], peaks[half:]),
        "megabytes": peaks[-1] / 1e6,
    }


def _peak(call: Callable[[], object]) -> int:
    """Bytes of a call that was compiled before."""
    synchronise(call())
    peak = peak_memory(call, default_device(), keras.backend.backend() == "torch")
    if peak is None:
        raise RuntimeError(f"{keras.backend.backend()} tells no memory on {default_device()}.")
    return peak
