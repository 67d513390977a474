"""A worker's place in an API of several processes. Those who take it come and go, the place keeps what they counted."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import values
from prometheus_client.multiprocess import mark_process_dead

# In the folder: `serving-<number>-<process>`, beside the files of prometheus_client, which end in `.db`.
_SERVING = "serving-"


@dataclass(frozen=True, slots=True)
class WorkerSlot:
    """`folder`: of this API alone, the same for all its slots. `parent`: the process that started who sits here."""

    folder: Path
    number: int
    parent: int

    @property
    def is_orphaned(self) -> bool:
        return os.getppid() != self.parent

    def count_here(self) -> None:
        """From now on metrics of prometheus_client lie in the folder, so that each worker can tell those of all.

        Under the number of the slot, not of the process: who comes next goes on counting, and there are no more files
        than slots, however often one dies.
        """
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(self.folder)
        values.ValueClass = values.MultiProcessValue(lambda: self.number)  # type: ignore[no-untyped-call]

    def take(self) -> None:
        """By the worker, once it serves."""
        self._sign(os.getpid()).touch()

    def clear(self, process: int) -> bool:
        """By the parent, once the worker is gone. Whether it ever served."""
        mark_process_dead(self.number, str(self.folder))  # type: ignore[no-untyped-call]
        sign = self._sign(process)
        served = sign.exists()
        sign.unlink(missing_ok=True)
        return served

    def clean_up(self) -> None:
        """By workers whose parent cannot any more."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _sign(self, process: int) -> Path:
        return self.folder / f"{_SERVING}{self.number}-{process}"


def taken(folder: Path) -> dict[int, int]:
    """Number -> process, of those who serve now."""
    return {int(number): int(process) for number, process in _signs(folder)}


def _signs(folder: Path) -> list[list[str]]:
    return sorted(path.name.removeprefix(_SERVING).split("-") for path in folder.glob(f"{_SERVING}*"))
