"""How to start another process of this program."""

import sys

# A wheel has `projector` inside another package. -P: not what the working directory has under that name.
PROGRAM = (sys.executable, "-P", "-m", __name__.rpartition(".")[0])
