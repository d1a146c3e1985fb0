"""Records: lines however they are cut, CSV and JSON, and what is neither."""

from __future__ import annotations

import csv
import io
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstead.proto.records import BOM, MAX_LINE, Line, Lines, RecordError, read_csv, read_json, write_csv_row
from peers.outcome import outcome


def cut(data: bytes, *, limit: int = MAX_LINE) -> list[Line]:
    lines = Lines(limit=limit)
    return lines.receive(data) + lines.close()


def line(content: bytes, *, whole: bool = True) -> Line:
    return Line(1, len(content), content, whole)


def test_lines_end_with_lf_crlf_or_the_file() -> None:
    assert cut(b"a\nbb\r\n\nc") == [Line(1, 2, b"a"), Line(2, 6, b"bb"), Line(3, 7, b""), Line(4, 8, b"c")]
    assert cut(b"") == []
    assert cut(b"a\n") == [Line(1, 2, b"a")]


def test_a_byte_order_mark_is_no_part_of_the_first_record() -> None:
    assert [found.content for found in cut(BOM + b"a\n" + BOM + b"b\n")] == [b"a", BOM + b"b"]
    assert Lines(5, 1).receive(BOM + b"b\n") == [Line(2, 10, BOM + b"b")]


def test_a_long_line_is_counted_and_not_kept() -> None:
    first, second, third = cut(b"x" * 10 + b"\n" + b"y" * 9 + b"\r\nz" * 1, limit=9)
    assert (first.whole, first.content, first.end) == (False, b"x" * 9, 11)
    assert (second.whole, second.content, second.end) == (True, b"y" * 9, 22)
    assert third == Line(3, 23, b"z")


def test_what_was_read_can_be_left_out() -> None:
    data = b"a\r\nb\nlong line\nc"
    for known in cut(data):
        lines = Lines(known.end, known.number)
        rest = lines.receive(data[known.end :]) + lines.close()
        assert rest == cut(data)[known.number :]


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=12)), st.integers(1, 8))
def test_pieces_make_no_difference(pieces: list[bytes], limit: int) -> None:
    lines = Lines(limit=limit)
    found = [one for piece in pieces for one in lines.receive(piece)] + lines.close()
    assert found == cut(b"".join(pieces), limit=limit)
    assert all(len(one.content) <= limit for one in found)
    assert [one.number for one in found] == list(range(1, len(found) + 1))


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("a@example.com,BOUNCE", ["a@example.com", "BOUNCE"]),
        ("a@example.com, COMPLAINT ", ["a@example.com", "COMPLAINT"]),
        ('"a,b@example.com", "say ""hi"""', ["a,b@example.com", 'say "hi"']),
        ("", []),
        (",", ["", ""]),
    ],
)
def test_csv(text: str, fields: list[str]) -> None:
    assert read_csv(line(text.encode())) == fields


@pytest.mark.parametrize("content", [b'"a', b'"a"b', b"\xff", b"a\rb", b'a,"' + b"x" * 100])
def test_what_is_no_csv_says_so(content: bytes) -> None:
    with pytest.raises(RecordError, match=r"^The line is not (CSV: look at its quotation marks|UTF-8)\.$"):
        read_csv(line(content))


def test_json() -> None:
    assert read_json(line(b' {"emailAddress": "a@example.com", "n": [1]} ')) == {
        "emailAddress": "a@example.com",
        "n": [1],
    }


@pytest.mark.parametrize("content", [b"{", b"[1]", b"7", b"\xc3", b"{} {}", b"[" * 60_000])
def test_what_is_no_json_object_says_so(content: bytes) -> None:
    with pytest.raises(RecordError, match=r"^The line is not (JSON|a JSON object|UTF-8)\.$"):
        read_json(line(content))


def test_a_cut_line_is_no_record() -> None:
    for read in (read_csv, read_json):
        with pytest.raises(RecordError, match="longer than 65536 bytes"):
            read(line(b"{}", whole=False))


@settings(max_examples=200)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0")), min_size=2))
def test_what_we_write_others_read(fields: list[str]) -> None:
    assert next(csv.reader(io.StringIO(write_csv_row(fields), newline=""))) == fields


@given(st.binary(max_size=60))
def test_random_bytes_are_a_record_or_none(content: bytes) -> None:
    for one in cut(content):
        for read in (read_csv, read_json):
            found = outcome(partial(read, one), RecordError)
            assert str(found) if isinstance(found, RecordError) else isinstance(found, (list, dict))
