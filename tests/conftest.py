"""Set up before any backend is imported: quiet logs, float64 that stays float64."""

import importlib.util
import os
from importlib import metadata

from packaging.version import Version

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("JAX_ENABLE_X64", "1")
# The suite compiles thousands of tiny programs; optimising them takes longer than running.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
FLAGS = ["--xla_cpu_parallel_codegen_split_count=1"]
# JAX ends the process at a flag that it does not know, as 0.11 this one.
if Version(metadata.version("jax")) < Version("0.11"):
    FLAGS.append("--xla_cpu_use_fusion_emitters=false")
os.environ.setdefault("XLA_FLAGS", " ".join(FLAGS))

from benchmarks.frameworks import import_torch_first  # noqa: E402

if importlib.util.find_spec("triton"):
    import_torch_first()

from keras.src.backend.common import dtypes  # noqa: E402

# Outside TensorFlow, Keras computes some functions of float64 tensors (tanh, sin, mixed products)
# in float32, to be as JAX is by default. The references need all of float64.
dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"
