"""Newlines: CRLF and nothing else."""

from __future__ import annotations

import re
import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st

from mailstead.proto.newlines import has_bare_newline, normalize

LINES = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"\0", b"\x85"]), max_size=12).map(b"".join)


def test_normalize() -> None:
    same = b"a\r\nb\r\n"
    assert normalize(same) is same
    assert normalize(b"a\nb\rc\r\nd\n\re") == b"a\r\nb\r\nc\r\nd\r\n\r\ne"


@given(LINES)
@settings(max_examples=200, deadline=None)
def test_a_newline_is_bare_where_the_other_half_is_missing(data: bytes) -> None:
    assert has_bare_newline(data) == bool(re.search(rb"\r(?!\n)|(?<!\r)\n", data))
    assert normalize(data) == re.sub(rb"\r\n|\r|\n", b"\r\n", data)


def test_megabytes_of_bare_newlines_cost_no_gigabyte() -> None:
    content = b"\n" * 2_000_000
    tracemalloc.start()
    try:
        assert normalize(content) == b"\r\n" * 2_000_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * len(content)
