"""What the machine can do, measured in the same run: matrix products and copies."""

from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np

from benchmarks.rows import Roofline
from common.reproduce.execute.timing import Timing, compiled, measure
from common.reproduce.provenance import cores


def measure_roofline(device: str, dtype: str, samples: int = 10) -> Roofline:
    """Measures the limits: products in float32 and in `dtype`, and a copy."""
    size = 8192 if device == "gpu" else 1536
    gemm = {name: _gemm(size, name, samples) for name in dict.fromkeys(("float32", dtype))}
    return Roofline(gemm, _device_copy(samples) if device == "gpu" else _host_copy(samples))


def _gemm(size: int, dtype: str, samples: int) -> float:
    a, b = (keras.ops.cast(keras.random.normal((size, size), seed=seed), dtype) for seed in (0, 1))
    product = compiled(keras.ops.matmul, jit_compile=False)
    return 2 * size**3 / _best(measure({"": lambda: product(a, b)}, samples=samples)[""])


def _device_copy(samples: int, numbers: int = 2**28) -> float:
    x = keras.ops.ones((numbers,), "float32")
    copy = compiled(lambda x: x + 1, jit_compile=True)
    return 8 * numbers / _best(measure({"": lambda: copy(x)}, samples=samples)[""])


def _host_copy(samples: int, numbers: int = 2**25) -> float:
    # Into memory that is there already: backends allocate their outputs, and the first touch of
    # a page takes longer than its copy. NumPy copies outside Python's lock.
    count = cores()
    parts = list(
        zip(
            np.array_split(np.ones(numbers, "float32"), count),
            np.array_split(np.ones(numbers, "float32"), count),
            strict=True,
        )
    )
    with ThreadPoolExecutor(count) as pool:

        def copy() -> list[None]:
            return list(pool.map(lambda pair: np.copyto(*pair), parts))

        return 8 * numbers / _best(measure({"": lambda: copy() and ()}, samples=samples)[""])


def _best(timing: Timing) -> float:
    return timing.p20
