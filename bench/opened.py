"""The section of docs/measured.md on the console in a browser."""

from bench import console
from bench.markdown import made, ms, number, paragraph, table, times, verdict


def opened(found: console.Report) -> str:
    first, last = found.samples[0], found.samples[-1]
    rows = [
        ["first rows after the navigation: p50, p99", f"{ms(found.rows_p50_ms)}, {ms(found.rows_p99_ms)} ms"],
        ["files of the page, compressed, with headers", f"{found.transfer_bytes / 1000:.0f} kB"],
        [
            f"used heap after {first.second:.0f} s and {last.second:.0f} s of live updates",
            f"{first.heap_bytes / 1e6:.2f}, {last.heap_bytes / 1e6:.2f} MB",
        ],
        ["nodes of the document then", f"{number(first.nodes)}, {number(last.nodes)}"],
    ]
    slow = {"p99": f"{ms(found.rows_p99_ms)} ms"} if found.rows_p99_ms > console.ROWS_AIM_MS else {}
    large = {"files": f"{found.transfer_bytes} bytes"} if found.transfer_bytes > console.TRANSFER_AIM_BYTES else {}
    grown = {name: times(ratio) for name, ratio in found.growth.items() if ratio > console.GROWTH_AIM}
    text = paragraph(
        f"{found.browser}, {found.loads} loads with an empty cache, on loopback. Under {number(found.events)} events "
        f"the page read its list {number(found.pages)} times.",
        verdict(f"first rows {console.ROWS_AIM_MS:.0f} ms", slow),
        verdict(f"{console.TRANSFER_AIM_BYTES / 1000:.0f} kB", large),
        verdict(f"heap and nodes within {100 * (console.GROWTH_AIM - 1):.0f} % of the first", grown),
        made(found),
    )
    return f"{table([f'console, {number(found.groups)} groups', ''], rows)}\n{text}"
