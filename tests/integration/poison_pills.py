"""Runs `projector` with a decoder that some events crash: `deadly` kills the process, `memory` exhausts its memory.

python -m tests.integration.poison_pills <arguments of projector>
"""

import os
import signal

import projector.project
from events.contract.decode import decode
from events.contract.order import OrderEvent
from events.logs.log import Headers
from projector.cli import main


def deadly(value: bytes | None, headers: Headers = ()) -> OrderEvent | None:
    if value is not None and b"deadly" in value:
        os.kill(os.getpid(), signal.SIGKILL)
    if value is not None and b"memory" in value:
        raise MemoryError
    return decode(value, headers)


if __name__ == "__main__":
    vars(projector.project)["decode"] = deadly
    main()
