"""Parameters and speed; the other experiments are `common.trials.labelling`."""

from common.layers import SequenceLayer
from common.models import count_parameters
from common.reproduce import Run
from common.reproduce.execute.timing import layer_gradient_maker, measure_fastest
from papers.xlstm.layers import MLSTM, SLSTM
from papers.xlstm.model import SIZES, XLSTM


def mlstm(vocabulary_size: int, num_layers: int = 2, **settings) -> XLSTM:
    """An xLSTM[1:0], of mLSTM blocks only."""
    return XLSTM(vocabulary_size, blocks="m" * num_layers, **settings)


def slstm(vocabulary_size: int, num_layers: int = 2, **settings) -> XLSTM:
    """An xLSTM[0:1], of sLSTM blocks only, without convolution (appendix B.1.1)."""
    return XLSTM(vocabulary_size, blocks="s" * num_layers, slstm_kernel_size=0, **settings)


def xlstm11(vocabulary_size: int, **settings) -> XLSTM:
    """An xLSTM[1:1] of two blocks."""
    return XLSTM(vocabulary_size, blocks="ms", **settings)


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
    """Forward and backward time of the sLSTM over that of the mLSTM.

    On TensorFlow each is compiled with and without XLA, and the faster one counts; of the mLSTM's
    forms, too.

    Returns:
        At the longest of `lengths` the ratio, `slstm_ratio`, and the two times.
    """
    result: dict[str, float] = {}
    for length in lengths:
        layers: dict[str, SequenceLayer] = {
            form: MLSTM(units, num_heads, form=form) for form in ("chunkwise", "parallel")
        }
        layers["slstm"] = SLSTM(units, num_heads)
        shape = (batch_size, length, units)
        make = {name: layer_gradient_maker(one, shape, run.seed) for name, one in layers.items()}
        seconds = measure_fastest(make, samples)
        mlstm = min(seconds["chunkwise"], seconds["parallel"])
        result = {
            "slstm_ratio": seconds["slstm"] / mlstm,
            "slstm_milliseconds": 1e3 * seconds["slstm"],
            "mlstm_milliseconds": 1e3 * mlstm,
        }
        run.log(step=length, **result)
    return result
