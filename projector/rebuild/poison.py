"""What happens to an event that `projector run` would park, where the operator has not allowed that."""

from collections.abc import Mapping

import msgspec

from projector.errors import FatalError


class PoisonEvent(FatalError):
    """The log holds an event that `projector run` would park, and `park` is off."""


def refuse(parked: Mapping[str, bytes]) -> None:
    """Raises PoisonEvent with position and reason of the first of these parked records, if there are any."""
    if parked:
        first = min((msgspec.json.decode(record) for record in parked.values()), key=lambda event: event["offset"])
        where = f"{first['topic']}/{first['partition']}@{first['offset']}"
        raise PoisonEvent(f"{where}: {first['reason']}. `projector run` parks such events; --park does the same here")
