"""Content: dots and newlines as the words of RFC 5321 say, whatever is sent and however it is cut."""

from __future__ import annotations

import re
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstead.proto.newlines import normalize
from mailstead.proto.smtp.content import ChunkReader, DataReader, stuff, unstuff

# The rule in one line: a dot behind CRLF goes unless it stands alone, one of two behind a bare LF goes.
RULE = re.compile(rb"(\A|\r\n)\.(?=[^\r\n])|(?<=\n)\.(?=\.)")
TRICKY = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"..", b"a"]), max_size=30).map(b"".join)


@settings(max_examples=200, deadline=None)
@given(TRICKY)
def test_dots_behind_bare_newlines_follow_the_rule(data: bytes) -> None:
    assert unstuff(data, bare=True) == RULE.sub(rb"\1", data)


@settings(max_examples=200, deadline=None)
@given(TRICKY)
def test_what_we_send_ends_nowhere_before_its_end(data: bytes) -> None:
    sent = stuff(data)
    assert b"\r\n.\r\n" not in b"\r\n" + sent
    assert sent.count(b"\r") == sent.count(b"\n") == sent.count(b"\r\n")
    assert unstuff(sent, bare=False).removesuffix(b"\r\n") == normalize(data).removesuffix(b"\r\n")


@pytest.mark.parametrize("line", [b"\n..", b"\r\n.a\n", b"\r\n..\r"])
def test_megabytes_of_dots_behind_bare_newlines_cost_no_gigabyte(line: bytes) -> None:
    data = line * (2_000_000 // len(line))
    tracemalloc.start()
    try:
        unstuff(data, bare=True)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * len(data)


def test_content_that_drips_in_by_few_octets_costs_little_more_than_itself() -> None:
    reader = DataReader(10_000_000)
    data = bytes(range(65, 91)) * 8_000
    tracemalloc.start()
    try:
        for at in range(0, len(data), 2):
            reader.take(data[at : at + 2])
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    reader.take(b"\r\n.\r\n")
    assert reader.raw() == data + b"\r\n"
    assert held < 2 * len(data)


def test_chunks_that_drip_in_by_few_octets_cost_little_more_than_themselves() -> None:
    reader = ChunkReader(10_000_000)
    data = bytes(range(65, 91)) * 8_000
    reader.begin(len(data), last=True, keep=True)
    tracemalloc.start()
    try:
        for at in range(0, len(data), 2):
            reader.take(data[at : at + 2])
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert reader.raw() == data
    assert held < 2 * len(data)


@pytest.mark.parametrize("chunked", [False, True])
def test_what_was_dropped_takes_no_memory_however_much_of_it_still_comes(chunked: bool) -> None:
    data, chunks = DataReader(10_000_000), ChunkReader(10_000_000)
    chunks.begin(2_000_000, last=True, keep=True)
    reader = chunks if chunked else data
    reader.take(b"x" * 100_000)
    reader.drop()
    tracemalloc.start()
    try:
        for number in range(10):
            reader.take(bytes([65 + number]) * 100_000)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert reader.overflow
    assert held < 10_000
