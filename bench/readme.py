"""Renders the README's figures, between its markers, and its charts from bench/results.

    python -m bench.readme

Sections without results of full size stay unchanged.
"""

from collections.abc import Mapping
from pathlib import Path

from bench.runs import RESULTS
from bench.sections import charts, sections

README = Path(__file__).parents[1] / "README.md"


def main() -> None:
    README.write_text(render(README.read_text(), sections(RESULTS)))
    for name, chart in charts(RESULTS).items():
        (RESULTS / name).write_text(chart)


def render(text: str, made: Mapping[str, str]) -> str:
    """Returns the text with each section between `<!-- bench: NAME -->` and `<!-- end -->`."""
    for name, section in made.items():
        before, begin, rest = text.partition(f"<!-- bench: {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        assert end, f"the README has no section {name}"
        text = before + begin + section + end + after
    return text


if __name__ == "__main__":
    main()
