"""The paper's speed claims: the scan against other scans, generation against a transformer."""

from collections.abc import Callable

import numpy as np
from keras import ops

from common.layers import SoftmaxAttention
from common.models import MLP, LanguageModel, count_parameters
from common.ops.selective_scan import fused_selective_scan, recurrent_selective_scan
from common.reproduce import Run
from common.reproduce.execute.timing import compiled_gradient, measure
from common.trials.decoding import STEPS, decode_loop, greedy
from papers.h3 import S4D
from papers.mamba.model import SIZES, VOCABULARY, MambaLM


def parameters(run: Run, *, size: str) -> dict[str, float]:
    """Parameters of a language model of the paper."""
    return {"parameters": count_parameters(lambda: MambaLM(VOCABULARY, **SIZES[size]))}


def s4(vocabulary_size: int, units: int, num_layers: int) -> LanguageModel:
    """S4 without a gate (Table 1): S4D in place of Mamba, which selects nothing."""
    mixers = [S4D(units, state_dim=64) for _ in range(num_layers)]
    return LanguageModel(vocabulary_size, units, mixers, tie_embeddings=True)


def associative_selective_scan(x, delta, b, c, a):
    """The selective scan by the backend-neutral parallel scan, decays and states all held.

    `h = a h + b` for all steps at once, by `keras.ops.associative_scan` on arrays `(B, T, D, N)`:
    the standard implementation that the paper's kernel is compared with.
    """
    decays = ops.exp(delta[..., None] * a)
    inputs = (delta * x)[..., None] * b[:, :, None]

    def combine(first, second):
        return first[0] * second[0], second[0] * first[1] + second[1]

    _, h = ops.associative_scan(combine, (decays, inputs), axis=1)
    return ops.matmul(h, c[..., None])[..., 0], h[:, -1]


SCANS = {
    "fused": fused_selective_scan,
    "parallel": associative_selective_scan,
    "loop": recurrent_selective_scan,
}


def scan_speed(
    run: Run,
    *,
    lengths: list[int],
    batch_size: int,
    channels: int,
    state_dim: int,
    samples: int,
    compilers: list[bool],
) -> dict[str, float]:
    """Time of other scans over the fused scan's, forward and backward (figure 8, left).

    Each takes the faster of the compilers (`jit_compile` false or true) that it runs under; all
    are measured in turns.

    Returns:
        At the longest of `lengths` `parallel_ratio`, of the parallel scan, `loop_ratio`, of a
        plain loop, and `ratio`, of the faster of the two; and that at the shortest, `first_ratio`.
    """
    ratios = []
    for length in lengths:
        inputs = _scan_inputs(run.seed, batch_size, length, channels, state_dim)
        seconds = _fastest(inputs, compilers, samples)
        parallel, loop = (seconds[name] / seconds["fused"] for name in ("parallel", "loop"))
        ratios.append(
            {"ratio": min(parallel, loop), "parallel_ratio": parallel, "loop_ratio": loop}
        )
        run.log(
            step=length,
            **ratios[-1],
            **{f"{name}_milliseconds": 1e3 * value for name, value in seconds.items()},
        )
    return {**ratios[-1], "first_ratio": ratios[0]["ratio"]}


def _scan_inputs(seed: int, batch_size: int, length: int, channels: int, state_dim: int):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((batch_size, length, channels))
    delta = np.exp(rng.uniform(np.log(1e-3), np.log(1e-1), x.shape))
    b, c = rng.standard_normal((2, batch_size, length, state_dim))
    a = -np.tile(np.arange(1.0, state_dim + 1), (channels, 1))
    return [ops.convert_to_tensor(value.astype("float32")) for value in (x, delta, b, c, a)]


def _fastest(inputs, compilers: list[bool], samples: int) -> dict[str, float]:
    """Seconds of each of `SCANS` under the compiler that suits it best."""
    functions: dict[tuple[str, bool], Callable] = {}
    for name, scan in SCANS.items():
        for jit_compile in compilers:
            function = compiled_gradient(
                lambda *inputs, scan=scan: ops.sum(scan(*inputs)[0]), jit_compile
            )
            try:
                function(*inputs)
            except Exception:  # TensorFlow's XLA has no gradient for every program
                if jit_compile is compilers[-1] and (name, compilers[0]) not in functions:
                    raise
                continue
            functions[name, jit_compile] = lambda function=function: function(*inputs)
    named = {f"{name} {jit}": function for (name, jit), function in functions.items()}
    medians = {key: timing.median for key, timing in measure(named, samples=samples).items()}
    return {
        name: min(medians[f"{one} {jit}"] for one, jit in functions if one == name)
        for name in SCANS
    }


def transformer(vocabulary_size: int, units: int, num_layers: int, num_heads: int, window: int):
    """A transformer of blocks as large as two Mamba blocks: attention and a network of 4 D."""
    mixers = [SoftmaxAttention(units, num_heads, window, rotary=True) for _ in range(num_layers)]
    mlps = [MLP(4 * units) for _ in range(num_layers)]
    return LanguageModel(vocabulary_size, units, mixers, mlps, norm="layer", tie_embeddings=True)


def generation(
    run: Run,
    *,
    model: str,
    prompt: int,
    generated: int,
    vocabulary_size: int,
    units: int,
    num_layers: int,
    batch_size: int,
    samples: int,
) -> dict[str, float]:
    """Tokens a second when generating after a prompt (figure 8, right).

    A step's time does not depend on how many tokens came before: Mamba's state is constant, and
    the transformer attends to a cache of `prompt + generated` keys, allocated as a whole. Steps are
    timed in a compiled loop, which writes into the cache in place.
    """
    if model == "mamba":
        net = MambaLM(vocabulary_size, units, 2 * num_layers)
    else:
        net = transformer(vocabulary_size, units, num_layers, units // 64, prompt + generated)
    net.build((None, None))
    state = net.get_initial_state(batch_size)
    symbols = ops.zeros((batch_size,), "int32")
    loop = decode_loop(net.step, symbols, state, greedy)
    seconds = measure({"steps": loop}, samples=samples)["steps"].median / STEPS
    run.log(milliseconds=1e3 * seconds, parameters=net.count_params())
    return {"tokens_per_second": batch_size / seconds, "milliseconds": 1e3 * seconds}
