"""Parameters and speed; the other experiments are `common.trials.labelling`."""

from common.layers import SequenceLayer
from common.models import count_parameters
from common.reproduce import Run
from common.reproduce.timing import measure_fastest
from common.trials.form_speed import forward_and_backward
from papers.xlstm.layers import MLSTM, SLSTM
from papers.xlstm.model import SIZES, XLSTM


def mlstm(vocabulary: int, num_blocks: int = 2, **settings) -> XLSTM:
    """An xLSTM[1:0], of mLSTM blocks only."""
    return XLSTM(vocabulary, blocks="m" * num_blocks, **settings)


def slstm(vocabulary: int, num_blocks: int = 2, **settings) -> XLSTM:
    """An xLSTM[0:1], of sLSTM blocks only, without convolution (appendix B.1.1)."""
    return XLSTM(vocabulary, blocks="s" * num_blocks, slstm_kernel_size=0, **settings)


def xlstm11(vocabulary: int, **settings) -> XLSTM:
    """An xLSTM[1:1] of two blocks."""
    return XLSTM(vocabulary, blocks="ms", **settings)


def parameters(run: Run, *, size: str) -> dict[str, float]:
    """Parameters of a language model of tables 3 and 7, in millions."""
    return {"millions": count_parameters(lambda: XLSTM(**SIZES[size])) / 1e6}


def speed(
    run: Run,
    *,
    lengths: list[int],
    units: int,
    num_heads: int,
    batch_size: int,
    samples: int,
) -> dict[str, float]:
    """Forward and backward time of the mLSTM's forms, and of the sLSTM, against the length.

    Returns:
        At the longest of `lengths`: how many times slower than chunkwise the recurrent form is,
        than parallel, and the sLSTM over the chunkwise mLSTM.
    """
    ratios: dict[str, float] = {}
    for length in lengths:
        shape = (batch_size, length, units)
        layers: dict[str, SequenceLayer] = {
            form: MLSTM(units, num_heads, form=form) for form in MLSTM.forms
        }
        layers["slstm"] = SLSTM(units, num_heads)
        make = {name: forward_and_backward(one, shape, run.seed) for name, one in layers.items()}
        seconds = measure_fastest(make, samples)
        ratios = {
            "chunkwise_ratio": seconds["recurrent"] / seconds["chunkwise"],
            "parallel_ratio": seconds["recurrent"] / seconds["parallel"],
            "slstm_ratio": seconds["slstm"] / seconds["chunkwise"],
        }
        milliseconds = {f"{name}_milliseconds": 1e3 * s for name, s in seconds.items()}
        run.log(step=length, **ratios, **milliseconds)
    return ratios
