"""Where links in mail begin: what the operator says, else the listener, as those who get the mail can reach it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailstead.app.house import House
from mailstead.app.pages import links
from mailstead.config import load


def begin(tmp_path: Path, given: dict[str, str], endpoint: str | list[str] = "") -> str:
    settings = load(data=tmp_path / "data", sets=[f"{key}={value}" for key, value in given.items()])
    house = House(None, settings)  # type: ignore[arg-type]  # nothing but the settings is asked
    if endpoint:
        house.endpoints["tracking"] = endpoint
    return links(house)


@pytest.mark.parametrize(
    ("given", "endpoint", "expected"),
    [
        ({}, "http://127.0.0.1:4581", "http://127.0.0.1:4581"),
        ({}, "", "http://127.0.0.1:4581"),
        ({"listen.tracking": "127.0.0.1:0"}, "http://127.0.0.1:35000", "http://127.0.0.1:35000"),
        ({"listen.tracking": "127.0.0.1:0"}, "", ""),
        ({"listen.tracking": "off"}, "", ""),
        ({"listen.tracking": "off", "tracking.public_url": "https://a.test/"}, "", "https://a.test"),
        ({"tracking.public_url": "https://a.test/mail"}, "http://127.0.0.1:4581", "https://a.test/mail"),
        ({"listen.tracking": "https://[::1]:0"}, "https://[::1]:35000", "https://[::1]:35000"),
        ({"listen.tracking": "https://0.0.0.0:443"}, "https://0.0.0.0:443", "https://mail.test:443"),
        ({"listen.tracking": "[::]:80"}, "http://[::]:80", "http://mail.test:80"),
        (
            {"listen.tracking": "127.0.0.1:0,127.0.0.2:0"},
            ["http://127.0.0.1:35000", "http://127.0.0.2:35001"],
            "http://127.0.0.1:35000",
        ),
    ],
)
def test_links(tmp_path: Path, given: dict[str, str], endpoint: str | list[str], expected: str) -> None:
    assert begin(tmp_path, {"server.hostname": "mail.test", **given}, endpoint) == expected
