"""The parts of the console by themselves, run by the browser: templates, numbers, Server-Sent Events."""

import json
import random
from typing import Any

from tests.console.screen import Screen

# Runs `body`, in which `module` is the one at the path below /console.
_WITH = "async ({{ given }}) => {{ const module = await import('/console/{path}'); {body} }}"


def run(screen: Screen, path: str, body: str, given: object = None) -> Any:
    screen.go("")
    return screen.page.evaluate(_WITH.format(path=path, body=body), {"given": given})


def test_a_list_follows_its_keys_and_keeps_its_elements(screen: Screen) -> None:
    """After any change of a list the page is what a new page would be, and each key has the element it had."""
    rng = random.Random(3)
    lists = [rng.sample(range(12), rng.randrange(13)) for _ in range(200)]
    body = """
    const { html, keyed, render } = module;
    const home = document.body.appendChild(document.createElement("div"));
    const item = (n) => keyed(n, html`<li id=${"n" + n}>${n}${n % 2 ? html`<b>!</b>` : ""}</li>`);
    const piece = (list) => html`<ul>${list.map(item)}</ul>`;
    const elements = new Map();
    return given.map((list) => {
      render(piece(list), home);
      const kept = list.every((n) => !elements.has(n) || elements.get(n) === home.querySelector("#n" + n));
      elements.clear();
      for (const n of list) elements.set(n, home.querySelector("#n" + n));
      return [home.textContent, kept];
    });
    """
    found = run(screen, "html.js", body, lists)
    assert found == [["".join(f"{n}!" if n % 2 else f"{n}" for n in wanted), True] for wanted in lists]


def test_values_are_never_parsed(screen: Screen) -> None:
    body = """
    const { html, render } = module;
    const home = document.body.appendChild(document.createElement("div"));
    render(html`<p title=${given} class="${given}">${given}<input .value=${given} ?disabled=${true}></p>`, home);
    const p = home.querySelector("p");
    return [p.title, p.className, p.textContent, p.querySelector("input").value, p.querySelector("input").disabled,
      home.querySelectorAll("*").length];
    """
    hostile = "\"><img src=x onerror=window.owned=1><!--value-0--> value-1='' ${x}"
    assert run(screen, "html.js", body, hostile) == [hostile, hostile, hostile, hostile, True, 2]
    assert screen.page.evaluate("window.owned") is None


def test_numbers_keep_every_digit(screen: Screen) -> None:
    texts = ["1", "-0.000001", "0.1", "123456789012345.123456", "1.50", "-0", "9007199254740993", "1e3", "74.5"]
    text = "[" + ",".join(texts) + "]"
    assert run(screen, "json.js", "return module.parse(given).map(String)", text) == texts
    value = {"a": [1, {"b": '}],:{"\\'}], "empty": [[], {}], "text": "1.50"}
    packed = json.dumps(value, separators=(",", ":"))
    assert run(screen, "json.js", "return module.indent(given)", packed) == json.dumps(value, indent=2)


def test_events_are_the_same_however_they_are_cut(screen: Screen) -> None:
    rng = random.Random(4)
    stream = (
        ': a comment\n\nid: 1\nevent: change\ndata: {"a":1}\n\ndata: one\ndata:two\n\r\nid:2\r\ndata:  three\r\n\r\n'
        "event: reset\n\nretry: 5\ndata\n\ndata: unfinished\n"
    )
    wanted = [
        {"event": "change", "id": "1", "data": '{"a":1}'},
        {"event": "message", "data": "one\ntwo"},
        {"event": "message", "id": "2", "data": " three"},
        {"event": "message", "data": ""},
    ]
    cut = []
    for _ in range(200):
        at = sorted(rng.sample(range(1, len(stream)), rng.randrange(20)))
        cut.append([stream[start:end] for start, end in zip([0, *at], [*at, len(stream)], strict=True)])
    body = """
    return given.map((parts) => {
      const parser = new module.EventParser();
      return parts.flatMap((one) => parser.push(one));
    });
    """
    assert run(screen, "parts/sse.js", body, cut) == [wanted] * len(cut)
