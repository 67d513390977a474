"""What stops the projector.

ProjectorError          one line fit for a user; the command exits with 2
├── BadSetting          a setting is missing or wrong; says which and what to do
├── StoreUnavailable    Redis does not answer now, or refuses; `refusal` names how. Trying again may help
└── CannotGoOn          going on would break the promise, e.g. by skipping events
    └── OtherVersion    what is live belongs to another version of the code
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


class CannotGoOn(ProjectorError):
    pass


class OtherVersion(CannotGoOn):
    pass
