"""Ctrl-C and SIGTERM: at once where nothing is lost by it, else after what is under way."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """The user or the system ended the process.

    Attributes:
        number: of the signal; the exit code is 128 more.
        saved: what was saved before, empty if nothing was under way.
        again: whether the same command goes on from there.
    """

    def __init__(self, number: int, saved: str = "", again: bool = True):
        super().__init__(number, saved)
        self.number = number
        self.saved = saved
        self.again = again


class Deferral:
    """What a block under `deferred` asks and tells.

    Attributes:
        number: the signal that came, 0 if none did.
        saved: for the block to say what it saved.
    """

    def __init__(self) -> None:
        self.number = 0
        self.saved = ""


_deferrals: list[Deferral] = []


@contextmanager
def raised() -> Iterator[None]:
    """Within, the signals raise `Interrupted`; in other threads than the main one, they do not."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def deferred() -> Iterator[Deferral]:
    """Within, a first signal is only noted, and raised at the end; a second one is raised."""
    deferral = Deferral()
    _deferrals.append(deferral)
    try:
        yield deferral
    finally:
        _deferrals.remove(deferral)
    if deferral.number:
        raise Interrupted(deferral.number, deferral.saved)


def _handle(number: int, frame: FrameType | None) -> None:
    if not _deferrals or _deferrals[-1].number:
        raise Interrupted(number)
    _deferrals[-1].number = number
    # Not print, which may be what the signal interrupted.
    os.write(2, b"\nStopping: saves first. Once more stops at once, without saving.\n")
