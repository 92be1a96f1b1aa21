"""What one measurement leaves: a row of rows.jsonl.gz."""

import gzip
import json
import math
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from common.reproduce.declare.require import require
from common.reproduce.files import FileError, read_text, write_bytes

FILE = "rows.jsonl.gz"

OK = "ok"
DISAGREES = "disagrees"
OUT_OF_MEMORY = "out of memory"
UNSUPPORTED = "unsupported"
FAILED = "failed"
ABSENT = "absent"

BOTH = "forward+backward"


@dataclass(frozen=True, kw_only=True)
class Row:
    """An implementation, at one length, in one mode.

    Attributes:
        layer: `<paper>/<layer>` or `common/<kernel>`; of a peer, the one it is set beside. A peer
            is timed once a shape; layers of the same shape have each a copy of its rows.
        name: a form, the name of a peer, or "step" where the form makes no difference.
        compiler: how it was compiled.
        mode: "forward", "forward+backward", "backward" (the difference), "train" or "step".
        batch: sequences B.
        length: time steps T.
        dtype: compute dtype.
        device: "cpu" or "gpu".
        backend: Keras's backend; "torch" for torch's own.
        status: "ok", or why there are no numbers.
        message: of the failure.
        doubt: why the numbers are not credible, measured twice; empty where they are.
        median_ms, p20_ms, p80_ms: of the samples; None in derived rows, but the median.
        samples: how many.
        compile_s: seconds of the first call.
        peak_bytes: memory beyond weights and inputs.
        flops: floating-point operations by formula; a backward pass counts as two forward.
        floor_bytes: least traffic: inputs, outputs and weights once, and their gradients.
        tokens_per_s: sequences times steps.
        gflop_per_s: from `flops`.
        gemm_fraction: of the FLOP/s of a large product in the same dtype in the same run.
        bandwidth_fraction: of the copy's bytes a second, for `floor_bytes`.
        parameters: numbers in the weights.
        state_bytes: of one sequence.
        load: load average when it was measured.
    """

    layer: str
    name: str
    compiler: str
    mode: str
    batch: int
    length: int
    dtype: str
    device: str
    backend: str
    status: str = OK
    message: str = ""
    doubt: str = ""
    median_ms: float | None = None
    p20_ms: float | None = None
    p80_ms: float | None = None
    samples: int | None = None
    compile_s: float | None = None
    peak_bytes: int | None = None
    flops: int | None = None
    floor_bytes: int | None = None
    tokens_per_s: float | None = None
    gflop_per_s: float | None = None
    gemm_fraction: float | None = None
    bandwidth_fraction: float | None = None
    parameters: int | None = None
    state_bytes: int | None = None
    load: float | None = None

    @property
    def variant(self) -> tuple[str, str, str]:
        """What is timed, whatever the mode and the sizes."""
        return self.layer, self.name, self.compiler

    @property
    def key(self) -> tuple:
        """What makes rows of two runs comparable."""
        sizes = (self.batch, self.length, self.dtype, self.device, self.backend)
        return (*self.variant, self.mode, *sizes)


@dataclass(frozen=True)
class Roofline:
    """The limits of the device.

    Attributes:
        gemm: dtype to FLOP/s of a large square matrix product.
        bandwidth: bytes read and written a second by a copy.
    """

    gemm: dict[str, float]
    bandwidth: float


COLUMNS = tuple(field.name for field in fields(Row))


def latest(rows: Iterable[Row]) -> list[Row]:
    """One row a cell, the last, where the cell's first one stood."""
    return list({row.key: row for row in rows}.values())


def append_row(directory: Path, row: Row) -> None:
    """Adds a line in one write, as a gzip member of its own: it is there whole or not at all."""
    line = json.dumps(asdict(row)) + "\n"
    with (directory / FILE).open("ab", buffering=0) as file:
        file.write(gzip.compress(line.encode(), mtime=0))


def pack_rows(directory: Path) -> None:
    """Compresses all lines together, where there are any: a tenth of what they take one by one."""
    path = directory / FILE
    if path.exists():
        write_bytes(path, gzip.compress(gzip.decompress(path.read_bytes()), mtime=0))


def read_rows(path: Path, argument: str) -> list[Row]:
    """Rows of a run; of a cell measured again the last.

    Args:
        path: its directory, its file, or a file of JSON lines or of a JSON list of them.
        argument: what gave the path, for messages.

    Raises:
        FileError: if the file holds anything else; the message names the row.
    """
    path = path / FILE if path.is_dir() else path
    expected = f"{argument} is {path}, expected rows of a run"
    try:
        text = _read(path)
        if text.lstrip().startswith("["):
            lines = [json.dumps(item) for item in json.loads(text)]
        else:
            lines = text.splitlines()
    except FileError:
        raise
    except (ValueError, EOFError, OSError, zlib.error) as error:
        raise FileError(f"{expected}: {error}.") from error
    numbered = enumerate(lines, 1)
    return latest(_row(line, f"{expected}: row {n}") for n, line in numbered if line.strip())


def _read(path: Path) -> str:
    if path.suffix != ".gz":
        return read_text(path)
    return gzip.decompress(path.read_bytes()).decode()


def _row(text: str, where: str) -> Row:
    try:
        row = Row(**json.loads(text))
        _check(row)
        return row
    except (ValueError, TypeError) as error:
        raise FileError(f"{where}: {str(error).removesuffix('.')}.") from error


def _check(row: Row) -> None:
    """Raises a ValueError if what is compared is not of its kind."""
    for name in ("layer", "name", "compiler", "mode", "dtype", "device", "backend", "status"):
        require(isinstance(getattr(row, name), str), name, getattr(row, name), "text")
    # What was refused or is absent has a length of 0.
    for name, least in (("batch", 1), ("length", 1 if row.status == OK else 0)):
        value = getattr(row, name)
        require(type(value) is int and value >= least, name, value, f"an integer >= {least}")
    timed = row.p20_ms is not None  # others are differences, which noise may make negative
    for name in ("median_ms", "p20_ms", "p80_ms"):
        value = getattr(row, name)
        number = type(value) in (int, float) and math.isfinite(value)
        if timed:
            require(number and value > 0, name, value, "a positive number of a row with p20_ms")
        else:
            require(number or value is None, name, value, "a number or null")
