"""Child processes of `projector up`: `projector run` and `projector serve`."""

import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path

from projector.program import PROGRAM

STOP_TIMEOUT_S = 8.0
_TAIL_LINES = 8


class Child:
    """Writes its output to a file. The child also stops when the parent dies, because its standard input ends then."""

    def __init__(self, name: str, arguments: list[str], environment: Mapping[str, str], output: Path) -> None:
        self.name = name
        self.output = output / f"{name}.log"
        with self.output.open("ab") as file:
            self.process = subprocess.Popen(
                [*PROGRAM, *arguments, "--with-parent"],
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    @property
    def has_stopped(self) -> bool:
        return self.process.poll() is not None

    def stop(self) -> None:
        stop(self.process)
        if self.process.stdin:
            self.process.stdin.close()

    def tail(self) -> str:
        return "\n".join(self.output.read_text(errors="replace").splitlines()[-_TAIL_LINES:])


def stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def stop_with_parent() -> None:
    """In the child: sends SIGTERM to itself once standard input ends, as it does whenever the parent dies."""

    def wait() -> None:
        # Not through sys.stdin: a thread inside its buffer makes the interpreter abort at the end.
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()
