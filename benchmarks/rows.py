"""What one measurement leaves: a row of results.jsonl."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any

OK = "ok"
DISAGREES = "disagrees"
OUT_OF_MEMORY = "out of memory"
UNSUPPORTED = "unsupported"
FAILED = "failed"
ABSENT = "absent"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A layer or peer, at one length, in one mode.

    Attributes:
        layer: `<paper>/<layer>`; of a peer, the layer it is set beside. A peer is timed once a
            shape; layers of the same shape have each a copy of its rows.
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
    def key(self) -> tuple:
        """What makes rows of two runs comparable."""
        return (
            self.layer,
            self.name,
            self.compiler,
            self.mode,
            self.batch,
            self.length,
            self.dtype,
            self.device,
            self.backend,
        )


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


def write_row(file: IO[str], row: Row) -> None:
    """Appends a line, at once."""
    file.write(json.dumps(asdict(row)) + "\n")
    file.flush()


def read_rows(path: Path) -> list[Row]:
    """Rows of a results.jsonl, or of a JSON list of them; of a cell measured again the last.

    Raises:
        ValueError: if the file holds anything else.
    """
    text = path.read_text()
    try:
        items: Iterable[Any]
        if text.lstrip().startswith("["):
            items = json.loads(text)
        else:
            items = [json.loads(line) for line in text.splitlines() if line.strip()]
        return latest(Row(**item) for item in items)
    except (ValueError, TypeError) as error:
        raise ValueError(f"--compare is {path}, expected rows of a run: {error}.") from error
