"""Tokens for development, signed with JWT_SECRET like those of the marketplace."""

import warnings
from datetime import UTC, datetime, timedelta

import jwt

from projector.errors import BadSetting
from projector.settings import Settings

ACTOR_ID = "user_development"


def make_token(settings: Settings, valid_for: timedelta) -> str:
    """Raises BadSetting where the API accepts no token signed with a secret."""
    if settings.jwt_secret:
        secret = settings.jwt_secret.get_secret_value()
    elif settings.uses_development_secret:
        secret = settings.home.development_secret()
    else:
        raise BadSetting("JWT_SECRET: not set, and a token can be signed with nothing else")
    claims = {
        "actor_id": ACTOR_ID,
        "actor_type": "user",
        "iat": datetime.now(UTC),
        "exp": datetime.now(UTC) + valid_for,
        **({"iss": settings.jwt_issuer} if settings.jwt_issuer else {}),
        **({"aud": settings.jwt_audience} if settings.jwt_audience else {}),
    }
    with warnings.catch_warnings():
        # Of a short secret, which is the marketplace's to choose.
        warnings.simplefilter("ignore")
        return jwt.encode(claims, secret, algorithm="HS256")
