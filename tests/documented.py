"""The commands of the docs, taken out of the pages. tests/unit/test_documented.py says how each of them is tested."""

import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGTERM
from typing import NamedTuple

from tests.processes import environment
from tests.servers.process import wait_until

ROOT = Path(__file__).parents[1]
# docs/cli.md is generated from the commands themselves.
_GENERATED = ("cli.md",)
# How long a block may take, and a service until it has stopped, in seconds.
BLOCK_S = 100.0
STOP_S = 20.0
# What cannot run where the tests run, and why.
NOT_HERE = {
    "docker": "there is no engine",
    "kubectl": "there is no cluster",
    "helm": "there is no cluster; tests/unit/test_chart.py checks what the chart renders",
    "pip": "installs into the environment of the tests; tests/packages installs into fresh ones",
    "py-spy": "is no dependency; looks into another process as root",
    "kafka-topics.sh": "Kafka's tools are not among its jars in Maven Central that the tests fetch",
    "kafka-configs.sh": "as kafka-topics.sh",
    "kafka-consumer-groups.sh": "as kafka-topics.sh",
    "kafka-transactions.sh": "as kafka-topics.sh",
}
_EXEC = r"(?:docker compose|kubectl)(?: --namespace \w+)? exec (?:-T )?[\w-]+ (?:-- )?"
_IN_CONTAINER = re.compile(rf"{_EXEC}(?=projector )")


class Place(NamedTuple):
    """Of a block: its page, without `docs/`; the heading above it; the language of its fence."""

    page: str
    heading: str
    language: str


def pages() -> dict[str, str]:
    """Returns the text of each page by its name; a page of `docs` without that folder."""
    found = {name: ROOT / name for name in ("README.md", "CONTRIBUTING.md")}
    for path in sorted((ROOT / "docs").rglob("*.md")):
        found[path.relative_to(ROOT / "docs").as_posix()] = path
    return {name: path.read_text() for name, path in found.items() if name not in _GENERATED}


def blocks() -> dict[Place, list[str]]:
    """Returns the fenced blocks of all pages, in order, with `$ ` in front of the commands of a console."""
    found: dict[Place, list[str]] = {}
    for page, text in pages().items():
        heading, fence = "", None
        inner: list[str] = []
        for line in text.splitlines():
            if fence is not None and line.strip() == "```":
                found.setdefault(Place(page, heading, fence), []).append("\n".join(inner) + "\n")
                fence, inner = None, []
            elif fence is not None:
                inner.append(line)
            elif line.startswith("```"):
                fence = line.removeprefix("```")
            elif line.startswith("#"):
                heading = line.lstrip("#").strip().replace("`", "")
        assert fence is None, f"{page}: a block without an end"
    return found


def shell(page: str, heading: str, language: str = "sh") -> str:
    """Returns the only block there. tests/unit/test_documented.py looks for calls of this function."""
    (found,) = blocks()[Place(page, heading, language)]
    return found


def typed(console: str) -> str:
    """Returns the commands of a console, without what they print."""
    return "".join(line.removeprefix("$ ") + "\n" for line in console.splitlines() if line.startswith("$ "))


def here(script: str) -> str:
    """Returns the script without commands of NOT_HERE. What runs in a container runs on this machine."""
    lines = [_IN_CONTAINER.sub("", line) for line in script.replace("\\\n", "").splitlines()]
    kept = [line for line in lines if not {words[0] for words in commands(line)} & NOT_HERE.keys()]
    return "".join(line + "\n" for line in kept)


def commands(script: str) -> Iterator[list[str]]:
    """Yields the words of each command, without assignments before it, redirections and comments."""
    text = re.sub(r"(^|\s)#.*", "", script.replace("\\\n", ""), flags=re.MULTILINE)
    lexer = shlex.shlex(text.replace("\n", ";"), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    is_file = False
    for word in [*lexer, ";"]:
        if set(word) <= set("();<>|&"):
            if words and not is_file:
                yield words
            words, is_file = [], set(word) <= set("<>")
        elif words or not re.match(r"\w+=", word):
            words.append(word)


def run(script: str, cwd: Path, typed: str = "", **settings: str) -> str:
    """Runs a script as a reader does, at a terminal where `typed` is typed. Returns what it prints."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, typed.encode())
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=cwd,
            env=_environment(settings),
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BLOCK_S,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 0, f"{script}\n{done.returncode}: {done.stdout}"
    return done.stdout


@contextmanager
def running(script: str, cwd: Path, **settings: str) -> Iterator[Path]:
    """Runs a script whose last command is a service. Yields the file of its output. Stops it at the end."""
    output = cwd / "output.txt"
    with output.open("wb") as file:
        process = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=cwd,
            env=_environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield output
        assert process.poll() is None, output.read_text()
    finally:
        _signal(process, SIGTERM)
        wait_until(lambda: not _signal(process, 0), STOP_S, script)


def _signal(process: "subprocess.Popen[bytes]", number: int) -> bool:
    """Sends a signal to the shell and what it has started. Returns False if all of them have ended."""
    process.poll()
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def _environment(settings: dict[str, str]) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    # Unbuffered: standard output and error in the order in which they were written.
    return {**environment(PYTHONUNBUFFERED="1", **settings), "PATH": path}
