"""Dates of header fields; the standard library reads them back."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from mailstead.proto.dates import header_date


def test_form_of_ses() -> None:
    assert header_date(1_567_795_934_999) == "Fri, 6 Sep 2019 18:52:14 +0000"


@given(st.integers(0, 4_102_444_800_000))
@settings(max_examples=100, deadline=None)
def test_comes_back(now: int) -> None:
    assert parsedate_to_datetime(header_date(now)).timestamp() == now // 1000
