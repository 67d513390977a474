"""A chart of two quantiles for each shape and contender, on a logarithmic scale: an SVG that needs nothing else.

It brings its own background, light or dark as the reader's system is, so that it can be read on any page.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import NamedTuple

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 960, 236, 28, 84, 46
_ROW, _LANE, _GAP = 13, 11, 15
# Light, dark: told apart by those who see no red and green, and by their place in each row.
_COLOURS = (("#0060b8", "#5eb1ff"), ("#b84a00", "#ff9e57"), ("#6b6b6b", "#a8a8a8"))
_STYLE = """
text { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328; }
.title { font-size: 15px; font-weight: 600; } .faint { fill: #59636e; }
.card { fill: #ffffff; stroke: #d1d9e0; } .grid { stroke: #e4e8ec; } .band { fill: #f6f8fa; }
"""
_DARK = """
text { fill: #f0f6fc; } .faint { fill: #9198a1; }
.card { fill: #0d1117; stroke: #3d444d; } .grid { stroke: #2a313a; } .band { fill: #151b23; }
"""


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
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    heights = [_ROW + _LANE * (len(bars) - 1) + _GAP for bars in rows.values()]
    bottom = _TOP + sum(heights)
    drawn = [*_legend(title, subtitle, contenders)]
    y = _TOP
    for number, (height, name) in enumerate(zip(heights, rows, strict=True)):
        if number % 2 == 0:
            drawn.append(f'<rect class="band" x="1" y="{y}" width="{_WIDTH - 2}" height="{height}"/>')
        drawn.append(f'<text x="{_LEFT - 14}" y="{y + height / 2 + 4:g}" text-anchor="end">{escape(name)}</text>')
        y += height
    drawn += _axis(range(low, high + 1), x, bottom)
    y = _TOP
    for height, bars in zip(heights, rows.values(), strict=True):
        shown = [(contenders.index(name), bar) for name, bar in bars.items()]
        for lane, (number, bar) in enumerate(sorted(shown)):
            drawn += _bar(number, x(bar.p50), x(bar.p99), y + (_GAP + _ROW) / 2 + _LANE * lane)
        y += height
    return _document(bottom + _BOTTOM, drawn)


def _legend(title: str, subtitle: str, contenders: Sequence[str]) -> list[str]:
    drawn = [
        f'<text class="title" x="20" y="28">{escape(title)}</text>',
        f'<text class="faint" x="20" y="47">{escape(subtitle)}</text>',
    ]
    x = 20.0
    for number, name in enumerate(contenders):
        drawn += [*_bar(number, x + 5, x + 27, 65), f'<text x="{x + 38:g}" y="69">{escape(name)}</text>']
        x += 58 + 6.4 * len(name)
    return [*drawn, f'<text class="faint" x="{x:g}" y="69">filled: p50, ring: p99</text>']


def _axis(powers: range, x: Callable[[float], float], bottom: int) -> list[str]:
    drawn = []
    for power in powers:
        at = x(10.0**power)
        drawn.append(f'<line class="grid" x1="{at:.1f}" y1="{_TOP}" x2="{at:.1f}" y2="{bottom}"/>')
        drawn.append(f'<text class="faint" x="{at:.1f}" y="{bottom + 18}" text-anchor="middle">{_label(power)}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    return [*drawn, f'<text class="faint" x="{middle:g}" y="{bottom + 35}" text-anchor="middle">less is better</text>']


def _bar(number: int, p50: float, p99: float, y: float) -> list[str]:
    return [
        f'<line class="s{number}" x1="{p50:.1f}" y1="{y:g}" x2="{p99:.1f}" y2="{y:g}" stroke-width="2"/>',
        f'<circle class="r{number}" cx="{p99:.1f}" cy="{y:g}" r="3.5" stroke-width="2"/>',
        f'<circle class="f{number}" cx="{p50:.1f}" cy="{y:g}" r="4.5"/>',
    ]


def _label(power: int) -> str:
    return f"{10 ** (power - 3):g} s" if power >= 3 else f"{10.0**power:g} ms"


def _document(height: int, drawn: Sequence[str]) -> str:
    light = "".join(_colours(number, pair[0], "#ffffff") for number, pair in enumerate(_COLOURS))
    dark = "".join(_colours(number, pair[1], "#0d1117") for number, pair in enumerate(_COLOURS))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" role="img">',
            f"<style>{_STYLE}{light}@media (prefers-color-scheme: dark) {{{_DARK}{dark}}}</style>",
            f'<rect class="card" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1}" rx="8"/>',
            *drawn,
            "</svg>\n",
        ]
    )


def _colours(number: int, colour: str, background: str) -> str:
    return (
        f".s{number} {{ stroke: {colour}; }} .f{number} {{ fill: {colour}; }} "
        f".r{number} {{ stroke: {colour}; fill: {background}; }}\n"
    )
