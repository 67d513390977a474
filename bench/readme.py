"""Renders the figures of README and docs/measured.md, between their markers, and the charts, from bench/results.

    python -m bench.readme

Sections without results of full size stay unchanged.
"""

from collections.abc import Mapping
from pathlib import Path

from bench.runs import RESULTS
from bench.sections import charts, sections

ROOT = Path(__file__).parents[1]
README, MEASURED, CHARTS = ROOT / "README.md", ROOT / "docs" / "measured.md", ROOT / "docs" / "images"
# Of the sections, that of the README; all others are in docs/measured.md.
GLANCE = "glance"


def main() -> None:
    made = sections(RESULTS)
    glance = {name: made.pop(name) for name in (GLANCE,) if name in made}
    README.write_text(render(README.read_text(), glance))
    MEASURED.write_text(render(MEASURED.read_text(), made))
    for name, chart in charts(RESULTS).items():
        (CHARTS / name).write_text(chart)


def render(text: str, made: Mapping[str, str]) -> str:
    """Returns the text with each section between `<!-- bench: NAME -->` and `<!-- end -->`."""
    for name, section in made.items():
        before, begin, rest = text.partition(f"<!-- bench: {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        assert end, f"the page has no section {name}"
        text = before + begin + section + end + after
    return text


if __name__ == "__main__":
    main()
