"""Bad input on the command line: one line that says what is wrong, exit code 2, no traceback, nothing lost."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from tests.poison import event
from tests.processes import projector

AWAY = {"REDIS_URL": "redis://127.0.0.1:1", "JWT_SECRET": "s" * 32}
GOOD = json.dumps(event(1))


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (("run",), {"REDIS_URL": "http://x"}, "REDIS_URL: expected redis://host:6379/0"),
        (("run",), {"EVENT_LOG_URL": "amqp://x/orders"}, "EVENT_LOG_URL: expected kafka://host:9092,host2:9092/topic"),
        (("run",), {"EVENT_LOG_URL": "kafka://localhost:9092"}, "EVENT_LOG_URL: "),
        (("run", "--shards", "0"), {}, "SHARDS: expected greater than or equal to 1, got '0'"),
        (("run",), {"SHARDS": "1025"}, "SHARDS: expected less than or equal to 1024, got '1025'"),
        (("run",), {"PARKED_MAX": "0"}, "PARKED_MAX: expected greater than or equal to 1, got '0'"),
        (("run",), {"LOG_LEVEL": "loud"}, "LOG_LEVEL: expected 'debug', 'info', 'warning' or 'error', got 'loud'"),
        (("serve",), {"REDIS_URL": "redis://localhost"}, "JWT_SECRET"),
        (("serve",), {"API_CORS_ORIGINS": "*"}, "API_CORS_ORIGINS: expected https://host[:port] or /expression/"),
        (("serve",), {"API_PORT": "http"}, "API_PORT: expected a valid integer"),
        (("serve", "--workers", "0"), {}, "API_WORKERS: expected greater than or equal to 1, got '0'"),
        (("serve",), {"API_WORKERS": "many"}, "API_WORKERS: expected a valid integer"),
        (
            ("serve",),
            {"API_HOST": "no.invalid", **AWAY},
            "API_HOST: expected an address of this machine, found 'no.invalid'",
        ),
        (("serve",), {"API_HOST": "192.0.2.1", **AWAY}, "API_HOST: cannot listen on 192.0.2.1:9000"),
        (("serve",), {}, "nothing runs in .projector: start it with `projector up`"),
        (("run",), {}, "nothing runs in .projector: start it with `projector up`"),
        (("run",), {"EVENT_LOG_URL": "kafka://localhost:9092/orders"}, "REDIS_URL: not set, though EVENT_LOG_URL is"),
        (("serve",), {"JWT_PUBLIC_KEY": "not a key"}, "JWT_PUBLIC_KEY: "),
        (("serve",), {"API_KEY_HASHES": "abc"}, "API_KEY_HASHES: "),
        (("serve",), {"REDIS_URL": "http://x", "JWT_SECRET": "s" * 32}, "REDIS_URL: expected"),
        (("status",), {}, "nothing runs in .projector: start it with `projector up`"),
        (
            ("explain", ""),
            {"EVENT_LOG_URL": "kafka://localhost:9092/orders"},
            "REDIS_URL: not set, though EVENT_LOG_URL is, and no Redis runs in .projector: "
            "set it, or start one with `projector up`",
        ),
        (("status",), {"REDIS_URL": "redis://127.0.0.1:1"}, "Redis does not answer"),
        (("token",), {"REDIS_URL": "redis://localhost"}, "JWT_SECRET: not set"),
        (("up", "--data-dir", "/proc/none"), {"API_PORT": "0"}, "API_PORT: expected greater than or equal to 1"),
        (("run", "--data-dir", "/proc/none"), AWAY, "EVENT_LOG_URL: No such file or directory: /proc/none"),
        (("token", "--data-dir", "/proc/none"), {}, "No such file or directory: /proc/none"),
        (("token", "--hours", "1e9"), {}, "less than or equal to 876000"),
        (
            ("run",),
            {"EVENT_LOG_URL": "sqlite:///tmp", **AWAY},
            "EVENT_LOG_URL: expected a file, got the directory /tmp",
        ),
        (("publish", "--sample", "1"), {"EVENT_LOG_URL": "sqlite:///dev/null"}, "/dev/null: "),
        (("status",), {"REDIS_URL": "redis://127.0.0.1:1/99"}, "Redis does not answer"),
        (
            ("status",),
            {"REDIS_URL": "redis://no.invalid"},
            "Redis does not answer: cannot resolve the host name no.invalid: ",
        ),
        (("list",), {"REDIS_URL": "redis://no.invalid"}, "Redis: AWAY: cannot resolve the host name no.invalid: "),
        (
            ("publish", "--sample", "1"),
            {"EVENT_LOG_URL": "kafka://no.invalid/orders"},
            "kafka://no.invalid:9092/orders: cannot resolve the host name no.invalid: ",
        ),
        (("publish",), {}, "publish: expected either a FILE (- for standard input) or --sample N"),
        (("publish", "none.jsonl"), {}, "none.jsonl: No such file or directory"),
        (("publish", "--sample", "0"), {}, "greater than or equal to 1"),
        (("up", "--port", "x"), {}, "Invalid value for '--port'"),
        (("tail",), {"JWT_SECRET": "s" * 32, "API_PORT": "1"}, "http://127.0.0.1:1: "),
        (("tail",), {"API_TOKEN": "x", "API_URL": "nowhere"}, "API_URL: expected http://host:9000"),
        (("fold",), {}, "No such command 'fold'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], settings: dict[str, str], message: str, tmp_path: Path
) -> None:
    done = projector(*arguments, cwd=tmp_path, settings=settings)
    assert done.returncode == 2, done.stderr
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_file_with_bad_lines_publishes_nothing(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text("\n".join([GOOD, '{"specversion": "1.0"}', "{", GOOD]))
    done = projector("publish", "events.jsonl", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "line 2: $.id: required, got nothing",
        "line 3: $: expected JSON, got 1 bytes that are not: Input data was truncated",
        "projector: 2 bad lines, nothing published; --skip-bad publishes the others",
    ]
    assert projector("publish", "-", cwd=tmp_path, stdin=GOOD.encode()).stdout == "orders/0@1\n"
    skipping = projector("publish", "events.jsonl", "--skip-bad", cwd=tmp_path)
    assert (skipping.returncode, skipping.stdout) == (0, "orders/0@3\n")
    assert skipping.stderr.splitlines()[-1] == "published 2 events, skipped 2 bad lines"


def test_version(tmp_path: Path) -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    done = projector("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"order-group-projector {project['version']}\n")


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_lists_the_commands_as_one_needs_them(tmp_path: Path, option: str) -> None:
    shown = projector(option, cwd=tmp_path).stdout
    assert re.findall(r"^  (\w+) ", shown.split("Commands:")[1], re.MULTILINE) == [
        *(
            "up",
            "publish",
            "status",
            "token",
            "list",
            "get",
            "tail",
            "explain",
            "parked",
            "verify",
            "replay",
            "export",
            "source",
        ),
        *("plan", "run", "serve"),
    ]


@pytest.mark.parametrize("command", ["run", "replay", "parked list", "replay build"])
def test_help_of_a_command_has_no_types_of_python(tmp_path: Path, command: str) -> None:
    shown = projector(*command.split(), "-h", cwd=tmp_path).stdout
    assert "--data-dir DIR" in shown
    assert re.findall(r"<\w+>|int range", shown) == []
