"""Parts of all charts: a self-contained SVG with a title, a legend, and rows, every other one shaded.

It has its own background, light or dark by the reader's system, so that it is readable on any page.
"""

from collections.abc import Callable, Mapping, Sequence
from html import escape

WIDTH, LEFT, RIGHT, TOP = 960, 236, 28, 84
# Light, dark: distinguishable with red-green blindness, and by their order in each row.
_COLOURS = (("#0060b8", "#5eb1ff"), ("#b84a00", "#ff9e57"), ("#6b6b6b", "#a8a8a8"), ("#8a3fa0", "#d08ae6"))
_STYLE = """
text { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328; }
.title { font-size: 15px; font-weight: 600; } .faint { fill: #59636e; }
.card { fill: #ffffff; stroke: #d1d9e0; } .grid { stroke: #e4e8ec; } .band { fill: #f6f8fa; }
.aim { stroke: #1f2328; }
"""
_DARK = """
text { fill: #f0f6fc; } .faint { fill: #9198a1; }
.card { fill: #0d1117; stroke: #3d444d; } .grid { stroke: #2a313a; } .band { fill: #151b23; }
.aim { stroke: #f0f6fc; }
"""


def heading(
    title: str, subtitle: str, series: Sequence[str], mark: Callable[[int, float, float], list[str]], note: str
) -> list[str]:
    """`mark(number, x, y)` draws the legend's symbol of a series, 32 wide."""
    drawn = [
        f'<text class="title" x="20" y="28">{escape(title)}</text>',
        f'<text class="faint" x="20" y="47">{escape(subtitle)}</text>',
    ]
    x = 20.0
    for number, name in enumerate(series):
        drawn += [*mark(number, x, 65), f'<text x="{x + 38:g}" y="69">{escape(name)}</text>']
        x += 58 + 6.4 * len(name)
    return [*drawn, f'<text class="faint" x="{x:g}" y="69">{escape(note)}</text>']


def rows(heights: Mapping[str, int]) -> list[str]:
    """Draws their names and shades, from the top down."""
    drawn, y = [], TOP
    for number, (name, height) in enumerate(heights.items()):
        if number % 2 == 0:
            drawn.append(f'<rect class="band" x="1" y="{y}" width="{WIDTH - 2}" height="{height}"/>')
        drawn.append(f'<text x="{LEFT - 14}" y="{y + height / 2 + 4:g}" text-anchor="end">{escape(name)}</text>')
        y += height
    return drawn


def document(height: int, drawn: Sequence[str]) -> str:
    light = "".join(_colours(number, pair[0], "#ffffff") for number, pair in enumerate(_COLOURS))
    dark = "".join(_colours(number, pair[1], "#0d1117") for number, pair in enumerate(_COLOURS))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img">',
            f"<style>{_STYLE}{light}@media (prefers-color-scheme: dark) {{{_DARK}{dark}}}</style>",
            f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
            *drawn,
            "</svg>\n",
        ]
    )


def _colours(number: int, colour: str, background: str) -> str:
    return (
        f".s{number} {{ stroke: {colour}; }} .f{number} {{ fill: {colour}; }} "
        f".r{number} {{ stroke: {colour}; fill: {background}; }}\n"
    )
