"""`ScanLayer`: a sequence layer whose fast form scans over time."""

from typing import Any

from common.checks import check_choice
from common.layers.sequence_layer import SequenceLayer
from common.ops.loops import SCANS, resolved_scan


class ScanLayer(SequenceLayer):
    """Base of layers whose steps compose, so that they need not be taken one after the other.

    Args:
        scan: How the chunkwise and parallel forms go over time: a `"loop"`, an `"associative"` scan
            in log T passes, for which the length is to be known, or `"auto"`, which takes the
            loop on a CPU and where the length is unknown. `resolved_scan` tells which that is.
        **kwargs: Arguments of `SequenceLayer`.

    Raises:
        ValueError: if `scan` is none of these.
    """

    def __init__(self, scan: str = "auto", **kwargs: Any):
        super().__init__(**kwargs)
        check_choice(self, SCANS, scan=scan)
        self.scan = scan

    @property
    def resolved_scan(self) -> str:
        """`"loop"` or `"associative"`: what `scan` is on this device."""
        return resolved_scan(self.scan)
