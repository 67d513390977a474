"""Tokens for development, signed with JWT_SECRET like those of the marketplace."""

from datetime import UTC, datetime, timedelta

import jwt

from projector.errors import BadSetting
from projector.settings import Settings

ACTOR_ID = "user_development"


def make_token(settings: Settings, valid_for: timedelta) -> str:
    """Raises BadSetting where the API accepts no token signed with a secret."""
    if settings.jwt_secret:
        secret = settings.jwt_secret.get_secret_value()
    elif not settings.has_credentials and settings.embedded_redis:
        secret = settings.home.development_secret()
    else:
        raise BadSetting("JWT_SECRET: not set, and a token can be signed with nothing else")
    claims = {
        "actor_id": ACTOR_ID,
        "actor_type": "user",
        "iat": datetime.now(UTC),
        "exp": datetime.now(UTC) + valid_for,
    }
    return jwt.encode(claims, secret, algorithm="HS256")
