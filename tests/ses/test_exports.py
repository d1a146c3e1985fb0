"""What an export chooses: patterns, providers, times in ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstead.base import ids
from mailstead.ses import exports, isps


@pytest.mark.parametrize(
    ("pattern", "fits", "others"),
    [
        ("News", ["News"], ["news", "News ", "Newsletter", ""]),
        ("News*", ["News", "Newsletter"], ["The News", "news"]),
        ("*News", ["News", "The News"], ["Newsletter"]),
        ("*News*", ["News", "Newsletter", "The News of today"], ["news", "New"]),
        (r"5\*", ["5*"], ["5", "55", r"5\*"]),
        (r"\*5", ["*5"], ["55"]),
        (r"*\*", ["*", "a*"], ["a"]),
        (r"a\\*", ["a\\", "a\\b"], ["a", "ab"]),
        ("a*b", ["a*b"], ["axb", "ab"]),
        ("\\", ["\\"], [""]),
        ("*", ["", "anything"], []),
        ("**", ["", "anything"], []),
    ],
)
def test_patterns(pattern: str, fits: list[str], others: list[str]) -> None:
    match = exports.pattern(pattern)
    assert [text for text in fits if not match(text)] == []
    assert [text for text in others if match(text)] == []


@given(st.text(max_size=20), st.text(max_size=20))
def test_an_escaped_text_fits_itself_alone(text: str, other: str) -> None:
    escaped = "".join(f"\\{sign}" if sign in "*\\" else sign for sign in text)
    match = exports.pattern(escaped)
    assert match(text)
    assert match(other) is (other == text)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("a@gmail.com", "Gmail"),
        ("a@GMAIL.com", "Gmail"),
        ("a@yahoo.co.uk", "Yahoo"),
        ("a@hotmail.fr", "Hotmail"),
        ("a@outlook.com.br", "Hotmail"),
        ("a@mail.gmail.com", "Other"),
        ("a@yahoo.example.com", "Other"),
        ("a@live.museum", "Other"),
        ("a@yahoo", "Other"),
        ("nobody", "Other"),
    ],
)
def test_providers(address: str, name: str) -> None:
    assert isps.isp_of(address) == name


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1", "mars-north-9"])
def test_ids_of_a_time_are_in_its_range(region: str) -> None:
    first, behind = ids.message_range(region, 1000, 2000)
    inside = [ids.message_id(region, time) for time in (1000, 1500, 2000)]
    assert all(first <= one < behind for one in inside)
    assert not first <= ids.message_id(region, 999) < behind
    assert not first <= ids.message_id(region, 2001) < behind


def test_times_that_no_id_can_have_are_cut() -> None:
    assert ids.message_range("us-east-1", -(10**15), 10**18) == ("0100" + "0" * 12, "0100" + "f" * 12)
