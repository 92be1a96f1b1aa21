"""Samples in turns; what spreads too far once more."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from benchmarks.options import Options
from benchmarks.rows import Row
from common.reproduce.execute.timing import Timing, sample

# From p20 to p80, relative to the median; beyond it a number is measured once more.
LARGEST_SPREAD = 0.5

Calls = Mapping[str, Callable[[], object]]


def spread(timing: Timing) -> float:
    """From p20 to p80, relative to the median."""
    return (timing.p80 - timing.p20) / timing.median


def doubt(timing: Timing) -> str:
    """Why the timing is not credible; empty where it is."""
    wide = spread(timing) > LARGEST_SPREAD
    return f"p20 to p80 are {spread(timing):.0%} of the median" if wide else ""


def timed(row: Row, timing: Timing) -> Row:
    """The row with what the samples tell, but for the median and what follows from it."""
    return replace(
        row,
        doubt=doubt(timing),
        p20_ms=1e3 * timing.p20,
        p80_ms=1e3 * timing.p80,
        samples=timing.samples,
        compile_s=timing.first,
    )


def sample_steadily(
    calls: Calls, first: Mapping[str, float], options: Options
) -> dict[str, Timing | Exception]:
    """Samples; those that spread too far once more, of which the narrower ones count.

    Args:
        calls: name to what is timed, called once before.
        first: name to the seconds of that call.
        options: how many samples.

    Returns:
        Name to the timing, or to the error that ended it.
    """
    timings = _sample(calls, first, options)
    loose = {name for name, t in timings.items() if isinstance(t, Timing) and doubt(t)}
    again = _sample({name: calls[name] for name in calls if name in loose}, first, options)
    for name, second in again.items():
        before = timings[name]
        assert isinstance(before, Timing)
        if isinstance(second, Timing) and spread(second) < spread(before):
            timings[name] = second
    return timings


def _sample(
    calls: Calls, first: Mapping[str, float], options: Options
) -> dict[str, Timing | Exception]:
    if not calls:
        return {}
    try:
        return dict(
            sample(
                calls,
                first,
                options.sample_count,
                most_seconds=options.sample_limit,
                least_samples=3 if options.quick else 5,
            )
        )
    except Exception as error:
        # Memory can run out with all in turns where each alone had enough.
        if len(calls) == 1:
            return dict.fromkeys(calls, error)
        alone: dict[str, Timing | Exception] = {}
        for name, call in calls.items():
            alone |= _sample({name: call}, first, options)
        return alone
