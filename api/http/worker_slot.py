"""The slot of a worker in an API of several processes. Its counters outlive the worker processes in it."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import values
from prometheus_client.multiprocess import mark_process_dead

# A file in the folder: `serving-<slot>-<process>`. The files of prometheus_client end in `.db`.
_SERVING = "serving-"


@dataclass(frozen=True, slots=True)
class WorkerSlot:
    """`folder` is shared by all slots of one API. `parent` is the process id of the supervisor."""

    folder: Path
    number: int
    parent: int

    @property
    def is_orphaned(self) -> bool:
        return os.getppid() != self.parent

    def share_metrics(self) -> None:
        """Makes prometheus_client keep new metrics in the folder, so that each worker can publish the sums.

        Files are named by slot, not by process: a replacement continues the counters, and the number of files is bound.
        """
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(self.folder)
        values.ValueClass = values.MultiProcessValue(lambda: self.number)  # type: ignore[no-untyped-call]

    def mark_serving(self) -> None:
        """Called by the worker once it serves."""
        self._marker(os.getpid()).touch()

    def release(self, process: int) -> bool:
        """Called by the supervisor once the worker has ended. Returns whether it had served."""
        mark_process_dead(self.number, str(self.folder))  # type: ignore[no-untyped-call]
        marker = self._marker(process)
        served = marker.exists()
        marker.unlink(missing_ok=True)
        return served

    def clean_up(self) -> None:
        """Deletes the folder. Called by workers whose supervisor has died."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _marker(self, process: int) -> Path:
        return self.folder / f"{_SERVING}{self.number}-{process}"


def serving(folder: Path) -> dict[int, int]:
    """Returns slot number -> process id of the workers that serve."""
    markers = sorted(path.name.removeprefix(_SERVING).split("-") for path in folder.glob(f"{_SERVING}*"))
    return {int(number): int(process) for number, process in markers}
