"""Repeats a life and prints its events: python -m tests.chaos.simulation SEED [PLANT]."""

import sys
from contextlib import ExitStack

from tests.chaos.simulation.life import Life, simulated
from tests.chaos.simulation.plants import PLANTS


def main() -> None:
    with ExitStack() as stack:
        stack.enter_context(simulated())
        if sys.argv[2:]:
            PLANTS[sys.argv[2]](stack)
        life = Life(int(sys.argv[1]), print)
        life.run()
        print(dict(life.happened), {str(name): number for name, number in life.server.memory.outcomes.items()})


if __name__ == "__main__":
    main()
