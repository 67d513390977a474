"""Writes the figures of the README, between its markers, and the charts that it shows, from bench/results.

    python -m bench.readme

What has not been measured at full size is left as it is.
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
    """The same text with those sections put between `<!-- bench: NAME -->` and `<!-- end -->`."""
    for name, section in made.items():
        before, begin, rest = text.partition(f"<!-- bench: {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        assert end, f"the README has no section {name}"
        text = before + begin + section + end + after
    return text


if __name__ == "__main__":
    main()
