"""A chart of p50 and p99 for each shape and contender, on a logarithmic scale."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from bench import svg

_ROW, _LANE, _GAP, _BOTTOM = 13, 11, 15, 46


class Bar(NamedTuple):
    """Milliseconds."""

    p50: float
    p99: float


def chart(title: str, subtitle: str, contenders: Sequence[str], rows: Mapping[str, Mapping[str, Bar]]) -> str:
    """`rows`: shape -> contender -> its bar; a contender may be missing in a row."""
    values = [value for bars in rows.values() for bar in bars.values() for value in bar]
    low = math.floor(math.log10(min(values, default=1)))
    high = max(math.ceil(math.log10(max(values, default=10))), low + 1)

    def x(ms: float) -> float:
        share = (math.log10(ms) - low) / (high - low)
        return svg.LEFT + share * (svg.WIDTH - svg.LEFT - svg.RIGHT)

    def mark(number: int, left: float, y: float) -> list[str]:
        return _bar(number, left + 5, left + 27, y)

    heights = {name: _ROW + _LANE * (len(bars) - 1) + _GAP for name, bars in rows.items()}
    bottom = svg.TOP + sum(heights.values())
    drawn = svg.heading(title, subtitle, contenders, mark, "filled: p50, ring: p99")
    drawn += [*svg.rows(heights), *_axis(range(low, high + 1), x, bottom)]
    y = svg.TOP
    for name, bars in rows.items():
        shown = [(contenders.index(one), bar) for one, bar in bars.items()]
        for lane, (number, bar) in enumerate(sorted(shown)):
            drawn += _bar(number, x(bar.p50), x(bar.p99), y + (_GAP + _ROW) / 2 + _LANE * lane)
        y += heights[name]
    return svg.document(bottom + _BOTTOM, drawn)


def _axis(powers: range, x: Callable[[float], float], bottom: int) -> list[str]:
    drawn = []
    for power in powers:
        at = x(10.0**power)
        drawn.append(f'<line class="grid" x1="{at:.1f}" y1="{svg.TOP}" x2="{at:.1f}" y2="{bottom}"/>')
        drawn.append(f'<text class="faint" x="{at:.1f}" y="{bottom + 18}" text-anchor="middle">{_label(power)}</text>')
    middle = (svg.LEFT + svg.WIDTH - svg.RIGHT) / 2
    return [*drawn, f'<text class="faint" x="{middle:g}" y="{bottom + 35}" text-anchor="middle">less is better</text>']


def _bar(number: int, p50: float, p99: float, y: float) -> list[str]:
    return [
        f'<line class="s{number}" x1="{p50:.1f}" y1="{y:g}" x2="{p99:.1f}" y2="{y:g}" stroke-width="2"/>',
        f'<circle class="r{number}" cx="{p99:.1f}" cy="{y:g}" r="3.5" stroke-width="2"/>',
        f'<circle class="f{number}" cx="{p50:.1f}" cy="{y:g}" r="4.5"/>',
    ]


def _label(power: int) -> str:
    return f"{10 ** (power - 3):g} s" if power >= 3 else f"{10.0**power:g} ms"
