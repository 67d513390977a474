"""The setting PERSONAL_DATA belongs to a generation: one that was built without e-mail addresses and names stays so."""

from projector.errors import FatalError
from projector.readmodel.schema.keys import Generation


def setting(personal_data: bool) -> str:
    """Returns the value of PERSONAL_DATA."""
    return "on" if personal_data else "off"


def check_setting(generation: Generation, personal_data: bool) -> None:
    """Raises FatalError for a generation that holds personal data and must not, or the other way round."""
    if generation.personal_data != personal_data:
        raise FatalError(
            f"PERSONAL_DATA: generation {generation.number} was built with {setting(generation.personal_data)}, this "
            f"process has {setting(personal_data)}: `projector replay`, or `projector run --auto-replay`, builds one "
            f"that fits and switches; or set it to {setting(generation.personal_data)}"
        )
