"""A chart of throughputs and their ceilings: horizontal bars, each row scaled to its longest."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from bench import svg

# The rest of the width is for the label after a bar; a rate alone takes _WRITTEN of it.
_LONGEST, _WRITTEN = 480, 80
_LANE, _BAR, _GAP, _BOTTOM = 17, 11, 12, 16


class Bar(NamedTuple):
    """`series`: the number that selects the colour. `text`: the label after the bar."""

    series: int
    value: float
    text: str


class Row(NamedTuple):
    """`aim`: a value, marked on the first bar."""

    bars: Sequence[Bar]
    aim: float


def bars(title: str, subtitle: str, series: Sequence[str], rows: Mapping[str, Row]) -> str:
    def mark(number: int, left: float, y: float) -> list[str]:
        return [_bar(number, left, 32, y)]

    heights = {name: _LANE * len(row.bars) + _GAP for name, row in rows.items()}
    drawn = svg.heading(title, subtitle, series, mark, "line: the aim; each row has its own scale; longer is better")
    drawn += svg.rows(heights)
    top = svg.TOP
    for name, row in rows.items():
        scale = _LONGEST / max(row.aim, *(bar.value for bar in row.bars))
        aim = svg.LEFT + scale * row.aim
        for lane, bar in enumerate(row.bars):
            y = top + (_GAP + _LANE) / 2 + _LANE * lane
            end = svg.LEFT + scale * bar.value
            is_crossed = lane == 0 and end < aim < end + _WRITTEN
            drawn.append(_bar(bar.series, svg.LEFT, scale * bar.value, y))
            drawn.append(f'<text x="{(aim if is_crossed else end) + 10:.1f}" y="{y + 4:g}">{escape(bar.text)}</text>')
        y = top + (_GAP + _LANE) / 2
        drawn.append(
            f'<line class="aim" x1="{aim:.1f}" y1="{y - 7:g}" x2="{aim:.1f}" y2="{y + 7:g}" stroke-width="2"/>'
        )
        top += heights[name]
    return svg.document(top + _BOTTOM, drawn)


def _bar(number: int, left: float, width: float, y: float) -> str:
    return f'<rect class="f{number}" x="{left:g}" y="{y - _BAR / 2:g}" width="{width:.1f}" height="{_BAR}" rx="2"/>'
