"""A claim drawn: the runs, a point a seed, against the reported value and what is accepted.

The SVG has no size of its own: places are percentages, so that it is as wide as its column, on a
phone too, and letters stay as large as they are. Colours are the style sheet's.
"""

import math
from collections.abc import Sequence
from html import escape

from common.reproduce.judge import words
from common.reproduce.judge.verdict import Verdict
from docs.evidence import Point
from docs.scale import Scale, number, scale_of

HEIGHT = 98
_TOP, _AXIS = 20, 66
_MIDDLE = (_TOP + _AXIS) / 2
# Heights of neighbouring points, so that equal ones do not hide each other.
_SPREAD = (0, -9, 9, -5, 5)


def strip(verdict: Verdict, points: Sequence[Point]) -> str:
    """The SVG of a claim at a preset; empty where no run has a value.

    Args:
        verdict: on the claim.
        points: its runs.
    """
    label = escape(describe(verdict, points), quote=True)
    drawn = marks(verdict, points)
    return drawn and (
        f'<svg class="strip" height="{HEIGHT}" width="100%" role="img" tabindex="0" '
        f'aria-label="{label}">{drawn}</svg>'
    )


def marks(verdict: Verdict, points: Sequence[Point]) -> str:
    """What `strip` draws, for an SVG of the height `HEIGHT`."""
    known = [point for point in points if math.isfinite(point.value)]
    if not known:
        return ""
    scale = _scale(verdict, known)
    parts = [
        _accepted(verdict, scale),
        _axis(scale, axis_title(verdict)),
        _reported(verdict, scale),
        _measured(verdict, scale),
        *(_point(verdict, point, i, scale) for i, point in enumerate(known)),
    ]
    return "".join(parts)


def axis_title(verdict: Verdict) -> str:
    """What the axis measures, with its unit."""
    quantity = words.quantity(verdict)
    unit = "" if verdict.claim.relative_to else verdict.reported.unit
    return f"{quantity} ({unit})" if unit else quantity


def describe(verdict: Verdict, points: Sequence[Point]) -> str:
    """The drawing in a sentence, for those who do not see it."""
    seeds = ", ".join(f"seed {point.seed}: {number(point.value)}" for point in points)
    return (
        f"{axis_title(verdict)}. Reported: {words.reported(verdict)}. "
        f"Accepted: {words.tolerance(verdict)}. Measured: {words.measured(verdict)}. {seeds}. "
        f"{verdict.word}."
    )


def _scale(verdict: Verdict, points: Sequence[Point]) -> Scale:
    row, found = verdict.reported, verdict.measured
    values = [point.value for point in points]
    values += verdict.claim.accept.interval(row.value)
    if row.value is not None:
        values.append(row.value)
        values += [row.value - (row.deviation or 0), row.value + (row.deviation or 0)]
    if found is not None:
        values.append(found.value)
    return scale_of(values)


def _x(scale: Scale, value: float) -> str:
    return f"{100 * scale.clipped(value):.2f}%"


def _span(scale: Scale, low: float, high: float, top: float, height: float, name: str) -> str:
    left, right = scale.clipped(low), scale.clipped(high)
    width = max(100 * (right - left), 0.3)
    return (
        f'<rect class="{name}" x="{100 * left:.2f}%" width="{width:.2f}%" y="{top:g}" '
        f'height="{height:g}"/>'
    )


def _accepted(verdict: Verdict, scale: Scale) -> str:
    low, high = verdict.claim.accept.interval(verdict.reported.value)
    band = _span(scale, low, high, _TOP, _AXIS - _TOP, "accepted")
    edges = "".join(
        f'<line class="bound" x1="{_x(scale, edge)}" x2="{_x(scale, edge)}" y1="{_TOP}" '
        f'y2="{_AXIS}"/>'
        for edge in (low, high)
        if math.isfinite(edge)
    )
    return band + edges


def _axis(scale: Scale, title: str) -> str:
    ticks = "".join(
        f'<line class="tick" x1="{_x(scale, tick)}" x2="{_x(scale, tick)}" y1="{_AXIS}" '
        f'y2="{_AXIS + 4}"/><text x="{_x(scale, tick)}" y="{_AXIS + 15}" '
        f'text-anchor="{_anchor(scale.place(tick))}">{number(tick)}</text>'
        for tick in scale.ticks()
    )
    logarithmic = ", logarithmic" if scale.logarithmic else ""
    return (
        f'<line class="axis" x1="0" x2="100%" y1="{_AXIS}" y2="{_AXIS}"/>{ticks}'
        f'<text class="title" x="50%" y="{HEIGHT - 3}" text-anchor="middle">'
        f"{escape(title)}{logarithmic}</text>"
    )


def _anchor(place: float) -> str:
    return "start" if place < 0.04 else "end" if place > 0.96 else "middle"


def _reported(verdict: Verdict, scale: Scale) -> str:
    row = verdict.reported
    if row.value is None:
        return ""
    band = ""
    if row.deviation:
        low, high = row.value - row.deviation, row.value + row.deviation
        band = _span(scale, low, high, _TOP, _AXIS - _TOP, "deviation")
    at, place = _x(scale, row.value), scale.clipped(row.value)
    side = "end" if place > 0.6 else "start"
    shift = -4 if side == "end" else 4
    return (
        f'{band}<line class="reported" x1="{at}" x2="{at}" y1="4" y2="{_AXIS}"/>'
        f'<text class="reported" x="{at}" dx="{shift}" y="13" text-anchor="{side}">'
        f"paper {escape(words.reported(verdict))}</text>"
    )


def _measured(verdict: Verdict, scale: Scale) -> str:
    """The seeds' mean, or what else they become, with its 95 % interval."""
    found = verdict.measured
    if found is None or found.value != found.value or found.hold is not None or found.seeds < 2:
        return ""
    bar = ""
    if found.interval:
        low, high = (_x(scale, end) for end in found.interval)
        bar = f'<line class="interval" x1="{low}" x2="{high}" y1="{_MIDDLE}" y2="{_MIDDLE}"/>'
    return (
        f'{bar}<svg x="{_x(scale, found.value)}" y="{_MIDDLE}" overflow="visible">'
        f'<path class="mean" d="M0 -7L7 0L0 7L-7 0Z"/></svg>'
    )


def _point(verdict: Verdict, point: Point, index: int, scale: Scale) -> str:
    holds = verdict.claim.accept.holds(point.value, verdict.reported.value)
    attempts = f", attempt {point.attempts}" if point.attempts > 1 else ""
    tip = (
        f"seed {point.seed}{attempts}: {number(point.value)}\n"
        f"{'accepted' if holds else 'outside what is accepted'}\n"
        f"{point.date[:10]}, {point.hardware}" + (f"\n{point.commit[:7]}" if point.commit else "")
    )
    return (
        f'<circle class="run{"" if holds else " outside"}" cx="{_x(scale, point.value)}" '
        f'cy="{_MIDDLE + _SPREAD[index % len(_SPREAD)]:g}" r="4.5" '
        f'data-tip="{escape(tip, quote=True)}"/>'
    )
