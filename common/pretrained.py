"""Published weights in and out: `config.json` and safetensors, of a folder or the Hugging Face Hub.

A paper's `pretrained.py` has a table of `Option`s and one of `Weight`s, for both directions:

    options = [Option("hidden_size", "units", 768), ...]
    weights = [Weight(mixer.kernel, "mixer.in_proj.weight", layout("o i -> i o")), ...]

    def make(config):
        return Model(**to_arguments(config, "type", "Architecture", options, only={}))

    model = load_pretrained("owner/name", None, make, weights_of)
    save_pretrained(folder, to_config(model, "type", "Architecture", options), weights_of(model))
"""

import inspect
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import keras
import ml_dtypes  # noqa: F401 (NumPy knows bfloat16 by its name from here on)
import numpy as np
from einops import rearrange
from keras import ops

from common.checks import refuse
from common.reproduce.files import read_json, write_json

CONFIG = "config.json"
TENSORS = "model.safetensors"
INDEX = "model.safetensors.index.json"
# What is fetched of a repository; some have the weights again, as consolidated.safetensors.
PATTERNS = [CONFIG, "model*.safetensors", INDEX, "tokenizer*"]
# Keys that any configuration of transformers may have, and that change no logit.
NEUTRAL = (
    *("model_type", "architectures", "_name_or_path", "transformers_version", "dtype"),
    *("torch_dtype", "bos_token_id", "eos_token_id", "pad_token_id", "tokenizer_class"),
    *("use_cache", "return_dict", "output_attentions", "output_hidden_states"),
    *("initializer_range", "chunk_size_feed_forward", "is_encoder_decoder"),
    *("id2label", "label2id", "problem_type"),
)
# Arguments of our models that change none.
SILENT = (
    *("name", "trainable", "dtype", "form", "dropout", "embedding_dropout"),
    *("embedding_stddev", "head_stddev", "remat"),
)


class Layout(NamedTuple):
    """How tensors of theirs lie in a variable of ours, both ways.

    Attributes:
        to_ours: From their arrays, an argument each, to ours.
        to_theirs: From ours to theirs, one array for one name, a sequence for several.
    """

    to_ours: Callable[..., np.ndarray]
    to_theirs: Callable[[np.ndarray], Any]


SAME = Layout(lambda x: x, lambda x: x)


def layout(pattern: str, **sizes: int) -> Layout:
    """The `Layout` that an einops pattern says, from theirs to ours: `"o i -> i o"`.

    Args:
        pattern: Where there are several tensors, the first axis on the left counts them, and
            `sizes` has it: `layout("gates o i -> i (gates o)", gates=2)`.
        **sizes: Of axes that the arrays do not tell.
    """
    theirs, ours = pattern.split("->")
    return Layout(
        lambda *arrays: rearrange(arrays[0] if len(arrays) == 1 else [*arrays], pattern, **sizes),
        lambda array: rearrange(array, f"{ours}->{theirs}", **sizes),
    )


# Of a projection's kernel, and of a convolution's for each channel.
TRANSPOSED = layout("o i -> i o")
BY_CHANNEL = layout("c 1 w -> w c")


def joined(*widths: int) -> Layout:
    """The `Layout` of several projections in one kernel, side by side.

    Args:
        *widths: Of the projections, in the order of their tensors.
    """
    ends = np.cumsum(widths)[:-1]
    return Layout(lambda *arrays: np.concatenate(arrays).T, lambda kernel: np.split(kernel.T, ends))


class Weight(NamedTuple):
    """A variable of ours, and what it is called in published files.

    Attributes:
        variable: The variable of a built layer.
        names: Name of their tensor, or names of the tensors that the variable is made of.
        layout: Theirs and ours.
    """

    variable: keras.Variable
    names: str | tuple[str, ...]
    layout: Layout = SAME

    def theirs(self, ours: np.ndarray) -> dict[str, np.ndarray]:
        """Their tensors by name, of a value of the variable."""
        arrays = self.layout.to_theirs(ours)
        if isinstance(self.names, str):
            return {self.names: arrays}
        return dict(zip(self.names, arrays, strict=True))


class Option(NamedTuple):
    """An argument of a model of ours, and what it is called in a configuration.

    Attributes:
        key: Theirs.
        argument: Ours.
        default: What a configuration without the key means.
    """

    key: str
    argument: str
    default: Any


class _Stored(NamedTuple):
    """A tensor of an open file."""

    file: Any
    name: str

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.file.get_slice(self.name).get_shape())

    def read(self) -> np.ndarray:
        array = self.file.get_tensor(self.name)
        # float32 holds both kinds of 16 bits, and every backend takes it from NumPy.
        return array if array.dtype == np.float64 else array.astype(np.float32)


def fetch(
    source: str | os.PathLike, revision: str | None = None, files: Iterable[str] = PATTERNS
) -> Path:
    """The folder of published weights.

    Args:
        source: A folder; or a repository of the Hugging Face Hub, "owner/name", whose
            configuration, safetensors and tokenizer are fetched where the cache has them not.
        revision: Branch, tag or commit of a repository.
        files: Names, or patterns of names, of what is fetched.

    Raises:
        ValueError: if `source` is neither, or a folder is to have a revision.
        ImportError: if huggingface_hub is not installed.
        OSError: if the repository can't be fetched.
    """
    name, folder = os.fspath(source), Path(source)
    if folder.is_dir():
        if revision is not None:
            raise ValueError(f"`revision` must be None of a folder, {name}; got {revision!r}.")
        return folder
    parts = name.split("/")
    if (
        not isinstance(source, str)
        or len(parts) != 2
        or "" in parts
        or parts[0] in (".", "..", "~")
    ):
        raise ValueError(f"`source` must be a folder or a repository 'owner/name'; got {name!r}.")
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        message = f"{name!r} is no folder; for repositories: pip install 'keras-papers[hub]'"
        raise ImportError(message) from error
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=[*files]))
    except (OSError, ValueError) as error:  # whatever goes wrong there is one of the two
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise OSError(f"{name!r} is no folder and can't be fetched: {reason}") from error


def load_pretrained(
    source: str | os.PathLike,
    revision: str | None,
    make: Callable[[dict[str, Any]], Any],
    weights_of: "Callable[[Any], Sequence[Weight]]",
    copies_of: Callable[[Any], Mapping[str, str]] = lambda model: {},
) -> Any:
    """A model of ours with published weights.

    Args:
        source: As of `fetch`.
        revision: As of `fetch`.
        make: Makes the model that a configuration is of.
        weights_of: All weights of the built model.
        copies_of: Its `copies`, as of `load_weights`.

    Raises:
        ValueError: as `fetch`, `read_config` and `load_weights` do.
        OSError: as `fetch` does.
    """
    folder = fetch(source, revision)
    model = make(read_config(folder))
    model.build((None, None))
    load_weights(folder, weights_of(model), copies_of(model))
    return model


def load_layer(
    source: str | os.PathLike,
    revision: str | None,
    make: Callable[[dict[str, Any]], Any],
    weights_of: "Callable[[Any], Sequence[Weight]]",
) -> Any:
    """A layer of ours with the weights of one of a published model.

    Of a repository with several files of tensors, those are fetched that have the layer's.

    Args:
        source: As of `fetch`.
        revision: As of `fetch`.
        make: Makes and builds the layer, given the model's configuration.
        weights_of: All weights of the built layer.

    Raises:
        ValueError: as `fetch`, `read_config` and `load_weights` do.
        OSError: as `fetch` does.
    """
    folder = fetch(source, revision, (CONFIG, INDEX))
    layer = make(read_config(folder))
    weights = weights_of(layer)
    index = {} if (folder / TENSORS).exists() else read_json(folder / INDEX)
    files = [TENSORS]
    if index:
        names = {name for weight in weights for name in _shapes([weight])}
        files = sorted({file for name, file in index["weight_map"].items() if name in names})
    folder = fetch(source, revision, (CONFIG, INDEX, *files))
    _assign(folder, weights, _opened(folder, files), others=True)
    return layer


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a folder.

    Raises:
        ValueError: if there is none, or it is no JSON object.
    """
    config = read_json(folder / CONFIG)
    if config is None:
        raise ValueError(f"{folder} has no {CONFIG}.")
    return _decoded(config)


def to_arguments(
    config: Mapping[str, Any],
    model_type: str | None,
    architecture: str | None,
    options: Sequence[Option],
    only: Mapping[str, Any],
    neutral: Iterable[str] = (),
) -> dict[str, Any]:
    """The arguments of a model of ours; nothing else in the configuration passes unseen.

    Args:
        config: What `read_config` returned.
        model_type: The one that it must have; None is none, of formats without it.
        architecture: The one that it must have, if it has any.
        options: Every key that is read.
        only: Keys that have one value that is supported, and that value.
        neutral: Keys that change no logit, beside those that any configuration may have.

    Returns:
        Every argument of `options`, by our name.

    Raises:
        ValueError: if a key or its value is not supported; it names the key and what is.
    """
    config = {"model_type": None, **config}
    required = {"model_type": model_type, **only}
    if config.get("architectures"):
        required["architectures"] = [architecture]
    for key, expected in required.items():
        if key in config and config[key] != expected:
            refuse_key(key, repr(expected), config[key])
    supported = {*only, *(option.key for option in options)}
    for key, value in config.items():
        if key not in {*supported, *neutral, *NEUTRAL} and value is not None:
            listed = ", ".join(sorted(supported))
            raise ValueError(f"{CONFIG}: {key!r} must not be there; supported are {listed}.")
    return {option.argument: config.get(option.key, option.default) for option in options}


def check_layer(
    config: Mapping[str, Any], model_type: str, kinds: Sequence[str], index: int
) -> None:
    """Checks that a layer of a published model is one of linear attention.

    Args:
        config: What `read_config` returned.
        model_type: The one that it must have.
        kinds: Of each layer, "linear_attention" or another.
        index: Of the layer, from 0.

    Raises:
        ValueError: if the model is another, or the layer is none of it or of another kind.
    """
    if config.get("model_type") != model_type:
        refuse_key("model_type", repr(model_type), config.get("model_type"))
    if config.get("hidden_act", "silu") != "silu":
        refuse_key("hidden_act", "'silu'", config["hidden_act"])
    linear = [i for i, kind in enumerate(kinds) if kind == "linear_attention"]
    if type(index) is not int or index not in linear:
        raise ValueError(
            f"`index` must be one of {linear}, layers of linear attention; got {index!r}."
        )


def refuse_key(key: str, expected: str, value: Any) -> NoReturn:
    """Raises the `ValueError` of a key whose value is not supported."""
    raise ValueError(f"{CONFIG}: {key!r} must be {expected}; got {value!r}.")


def to_config(
    model: keras.Model,
    model_type: str,
    architecture: str,
    options: Sequence[Option],
    others: Iterable[str] = (),
) -> dict[str, Any]:
    """The configuration of a model of ours, as far as `options` tell it.

    Args:
        model: A `common.models.RecordedModel`.
        model_type: As of `to_arguments`.
        architecture: As of `to_arguments`.
        options: All that a configuration can tell of it, but for `others`.
        others: Arguments of the model that the caller writes or checks by itself.

    Raises:
        ValueError: if the model is not built or is quantised, or another argument of it changes
            logits and has not its default value.
    """
    if not model.built:
        raise ValueError(f"{type(model).__name__}: `model` must be built before it is written.")
    if model.quantised is not None:
        refuse(model, "model", "written before it is quantised", model.quantised)
    given = model.get_config()
    defaults = {
        name: parameter.default
        for cls in reversed(type(model).__mro__)
        for name, parameter in inspect.signature(cls.__init__).parameters.items()  # type: ignore[misc]
    }
    told = {*SILENT, *others, *(option.argument for option in options)}
    for name, value in given.items():
        if name not in told and value != defaults[name]:
            refuse(model, name, f"{defaults[name]!r} in weights to be published", value)
    return {
        "architectures": [architecture],
        "model_type": model_type,
        **{option.key: given.get(option.argument, defaults[option.argument]) for option in options},
    }


def load_weights(folder: Path, weights: Sequence[Weight], copies: Mapping[str, str]) -> None:
    """Puts the tensors of a folder into the variables, one after the other.

    Args:
        folder: With `model.safetensors`, or several of them and their index.
        weights: All weights of the model.
        copies: Names that files may have besides, and the name of the weight that they stand for:
            of tied weights, and of earlier versions.

    Raises:
        ValueError: naming the tensors that are missing, not expected or of another shape; no
            variable has changed then.
    """
    _assign(folder, weights, _stored(folder, copies))


def _assign(
    folder: Path, weights: Sequence[Weight], stored: Mapping[str, _Stored], others: bool = False
) -> None:
    """As `load_weights`; `others` may be there that are no weight's."""
    shapes = _shapes(weights)
    faults = {
        "missing": sorted(shapes.keys() - stored.keys()),
        "not expected": [] if others else sorted(stored.keys() - shapes.keys()),
        "of another shape": [
            f"{name} {stored[name].shape} (expected {shapes[name]})"
            for name in sorted(shapes.keys() & stored.keys())
            if stored[name].shape != shapes[name]
        ],
    }
    if any(faults.values()):
        listed = "; ".join(_some(kind, names) for kind, names in faults.items() if names)
        raise ValueError(f"{folder}: tensors do not fit: {listed}.")
    for weight in weights:
        names = (weight.names,) if isinstance(weight.names, str) else weight.names
        arrays = [stored[name].read() for name in names]
        weight.variable.assign(weight.layout.to_ours(*arrays))


def save_pretrained(
    folder: str | os.PathLike, config: Mapping[str, Any], weights: Sequence[Weight]
) -> None:
    """Writes `config.json` and `model.safetensors`, each whole or not at all.

    Args:
        folder: Is made where there is none.
        config: The configuration; `dtype` is put to it, that of the first weight.
        weights: All weights of the model, tied ones once.
    """
    from safetensors.numpy import save_file

    tensors = {}
    for weight in weights:
        dtype = weight.variable.dtype
        ours = ops.convert_to_numpy(weight.variable)
        ours = ours.astype(np.promote_types(ours.dtype, np.float32))
        for name, array in weight.theirs(ours).items():
            tensors[name] = np.ascontiguousarray(array, dtype)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=folder) as scratch:
        written = Path(scratch) / TENSORS
        save_file(tensors, written, {"format": "pt"})
        os.chmod(written, 0o644)  # it is the owner's alone
        os.replace(written, folder / TENSORS)
    write_json(folder / CONFIG, {**config, "dtype": weights[0].variable.dtype})


def _shapes(weights: Sequence[Weight]) -> dict[str, tuple[int, ...]]:
    """Their tensors' shapes by name."""
    return {
        name: array.shape
        for weight in weights
        for name, array in weight.theirs(_nothing(weight.variable.shape)).items()
    }


def _opened(folder: Path, files: Iterable[str]) -> dict[str, _Stored]:
    """The tensors of a folder's files by their names."""
    from safetensors import safe_open

    stored: dict[str, _Stored] = {}
    for name in files:
        if not (folder / name).is_file():
            raise ValueError(f"{folder} has no {name}; weights are read from safetensors only.")
        file = safe_open(folder / name, "np")
        stored |= {name: _Stored(file, name) for name in file.keys()}  # noqa: SIM118 (no dict)
    return stored


def _stored(folder: Path, copies: Mapping[str, str]) -> dict[str, _Stored]:
    """All tensors of a folder by their names, copies under the name that they stand for."""
    files = [TENSORS]
    if not (folder / TENSORS).exists() and (index := read_json(folder / INDEX)):
        files = sorted(set(index["weight_map"].values()))
    stored = _opened(folder, files)
    for copy, name in copies.items():
        if copy in stored:
            tensor = stored.pop(copy)
            if not np.array_equal(stored.setdefault(name, tensor).read(), tensor.read()):
                raise ValueError(f"{folder}: {copy} must be the same as {name}, and is not.")
    return stored


def _nothing(shape: tuple[int, ...]) -> np.ndarray:
    """An array of any shape that takes no memory."""
    return np.broadcast_to(np.float32(0), shape)


def _some(kind: str, names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{len(names)} {kind}: {', '.join(names[:most])}{more}"


def _decoded(value: Any) -> Any:
    """JSON without the ways in which an infinity is written there."""
    if isinstance(value, list):
        return [_decoded(one) for one in value]
    if isinstance(value, dict):
        decoded = {key: _decoded(one) for key, one in value.items()}
        return decoded["__float__"] if set(decoded) == {"__float__"} else decoded
    return math.inf if value == "Infinity" else value
