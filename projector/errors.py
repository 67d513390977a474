"""Errors that stop the projector.

ProjectorError          a one-line message for the user; the command exits with 2
├── BadSetting          a setting is missing or wrong; the message names it and the remedy
├── StoreUnavailable    Redis does not answer or refuses for now; `refusal` names how. A retry may help
└── FatalError          continuing would break a guarantee, for example by skipping events
    └── OtherVersion    another version of the code wrote the live generation
"""


class ProjectorError(Exception):
    pass


class BadSetting(ProjectorError):
    pass


class StoreUnavailable(ProjectorError):
    """`refusal`: see projector/readmodel/client/refusals.py."""

    def __init__(self, message: str, refusal: str = "AWAY") -> None:
        super().__init__(message)
        self.refusal = refusal


class FatalError(ProjectorError):
    pass


class OtherVersion(FatalError):
    pass


class GenerationLost(FatalError):
    """Redis has lost a generation that is being built."""

    def __init__(self, number: int) -> None:
        super().__init__(f"Redis has lost generation {number}: run the command again")
