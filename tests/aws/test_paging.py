"""Paging: tokens come back as they went out; anything else is told."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstead.aws import model, paging
from mailstead.base.errors import Invalid

LIST = ("sesv2", "ListEmailIdentities", "123456789012", "us-east-1")
POSITIONS = st.lists(st.text(max_size=30) | st.integers(-(2**53), 2**53) | st.none(), max_size=4)


@given(POSITIONS)
@settings(max_examples=200)
def test_a_token_comes_back(position: list[str | int | None]) -> None:
    token = paging.token(LIST, position)
    assert paging.position(LIST, token) == position
    shape = model.load("sesv2").shapes["NextTokenV2"]
    assert re.fullmatch(shape.pattern, token)
    assert 1 <= len(token) <= 5000
    with pytest.raises(Invalid) as caught:
        paging.position(("sesv2", "ListEmailIdentities", "999999999999", "us-east-1"), token)
    assert caught.value.kind == "next-token"


@given(st.text(max_size=60) | st.binary(max_size=40).map(lambda raw: raw.hex()))
@settings(max_examples=200)
def test_a_made_up_token_is_told(text: str) -> None:
    with pytest.raises(Invalid):
        paging.position(LIST, text)


def test_a_changed_token_is_told() -> None:
    token = paging.token(LIST, ["user@example.com"])
    for i in range(len(token)):
        changed = token[:i] + ("A" if token[i] != "A" else "B") + token[i + 1 :]
        with pytest.raises(Invalid):
            paging.position(LIST, changed)
    with pytest.raises(Invalid):
        paging.position(LIST, "A" * 5004)


def test_no_token_begins_at_the_beginning() -> None:
    assert paging.position(LIST, None) is None


def test_sizes() -> None:
    assert [paging.page_size(asked, default=10, most=100) for asked in (None, 0, -1, 1, 100, 101)] == [
        10,
        10,
        10,
        1,
        100,
        100,
    ]
