"""Return paths: our own come back, nothing else does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstead.base.ids import message_id
from mailstead.proto.verp import named, return_path

ID = "0101017ef14d662c-780f1b93-84cb-4286-9f9b-c9f339b31081-000000"


def test_round_trip() -> None:
    for made in (ID, message_id("us-east-1", 1), message_id("xx-nowhere-9", 1_750_000_000_000)):
        path = return_path(made, "mailstead.invalid")
        assert path == f"{made}@mailstead.invalid"
        assert named(path) == made
        assert named(path.upper()) == made
        assert len(path.partition("@")[0]) <= 64


@pytest.mark.parametrize(
    "address",
    [
        ID,
        f"prvs=1234567890={ID}@mailstead.invalid",
        f"{ID}+x@mailstead.invalid",
        f"x{ID}@mailstead.invalid",
        f"{ID[:-1]}1@mailstead.invalid",
        f'"{ID}"@mailstead.invalid',
        f"{ID}\n@mailstead.invalid",
        "postmaster@mailstead.invalid",
        "",
    ],
)
def test_other_forms_name_none(address: str) -> None:
    assert named(address) is None


@given(st.text(max_size=90))
@settings(max_examples=100, deadline=None)
def test_any_text(text: str) -> None:
    assert named(text) is None
    assert named(text + "@mailstead.invalid") is None
