"""API_CORS_ORIGINS, with the meaning of Medusa's ADMIN_CORS."""

import pytest

from api.config import ApiConfig
from api.errors import ConfigError
from api.middleware.cors import Origins


@pytest.mark.parametrize(
    ("text", "allowed", "refused"),
    [
        ("", [], ["https://a.com", "", "null"]),
        (",", [], ["https://a.com", ""]),
        ("https://a.com", ["https://a.com"], ["http://a.com", "https://a.com:8080", "https://a.com.evil.com", "null"]),
        ("http://localhost:5173, https://a.com", ["http://localhost:5173", "https://a.com"], ["http://localhost"]),
        ("capacitor://localhost", ["capacitor://localhost"], ["https://localhost"]),
        (
            r"/\.shop\.com$/",
            ["https://x.shop.com", "http://y.shop.com"],
            ["https://shop.com", "https://x.shop.com.evil"],
        ),
        (r"/^https:\/\/[a-z]+\.dev(:\d+)?$/", ["https://x.dev", "https://x.dev:81"], ["http://x.dev", "https://1.dev"]),
        ("/SHOP/i", ["https://shop.com"], []),
        ("/SHOP/gimsuy", ["https://shop.com"], []),
        ("/SHOP/", [], ["https://shop.com"]),
        ("~/shop~", ["https://shop.com"], ["https://a.com"]),
        (r"https://a.com,/b\.com$/", ["https://a.com", "https://b.com"], ["https://c.com"]),
        ("/a/", ["https://a.com"], ["https://" + "a" * 300]),
    ],
)
def test_origins(text: str, allowed: list[str], refused: list[str]) -> None:
    origins = Origins.of(text)
    assert [origin for origin in allowed if not origins.allow(origin)] == []
    assert [origin for origin in refused if origins.allow(origin)] == []
    assert bool(origins) == (text.strip(",") != "")


@pytest.mark.parametrize(
    "part",
    ["*", "a.com", "https://a.com/", "https://A.com", "https://a.com/admin", "/(/", "/a/x", "/(?<n>a)/", "https://"],
)
def test_what_could_never_match_is_refused(part: str) -> None:
    with pytest.raises(ConfigError) as refused:
        ApiConfig("redis://localhost", jwt_secret="s" * 32, cors_origins=f"https://b.com,{part}")
    assert str(refused.value) == (
        f"API_CORS_ORIGINS: expected https://host[:port] or /expression/, separated by commas, got {part!r}"
    )
