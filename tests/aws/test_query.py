"""Query: forms that no SDK sends, and XML that no parser may trip over."""

from __future__ import annotations

import base64
import time
from urllib.parse import quote_plus, unquote_to_bytes, urlencode
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstead.aws import model, query, values
from mailstead.aws.query import QueryError
from peers.outcome import outcome

SES = model.load("ses")


def send_email(form: str) -> object:
    return query.decode(SES.operations["SendEmail"].input, query.form(form.encode()))


def test_members_come_in_the_order_of_their_numbers() -> None:
    prefix = "Destination.ToAddresses.member"
    form = "&".join(f"{prefix}.{i}=a{i}" for i in (10, 2, 1, 33))
    assert send_email(form) == {"Destination": {"ToAddresses": ["a1", "a2", "a10", "a33"]}}


def test_an_empty_list_and_what_the_shape_does_not_know() -> None:
    form = "ReplyToAddresses=&Unknown=1&Other.Deep.member.1=2&Destination.Nope=3&X-Amz-Date=4"
    assert send_email(form) == {"ReplyToAddresses": [], "Destination": {}}


@pytest.mark.parametrize(
    "form",
    [
        "Destination.ToAddresses.member.x=a",
        "Destination.ToAddresses.1=a",
        "Destination.ToAddresses=a",
        "Destination=a",
        "Source.member.1=a",
        "Source=a&Source.b=c",
        "Destination.ToAddresses.member.-1=a",
        "Destination.ToAddresses.member.99999999=a",
        ".".join("a" * 30) + "=x",
        "Tags.member.1=x",
        "a" * 600 + ".b=x",
        "&".join(f"a{i}=" for i in range(20_001)),
        "&".join(f"Destination.ToAddresses.member.{i}=a" for i in range(10_001)),
    ],
)
def test_forms_that_are_refused(form: str) -> None:
    with pytest.raises(QueryError):
        send_email(form)


def test_a_repeated_name_counts_once_and_the_last() -> None:
    assert send_email("Source=a&Source=b") == {"Source": "b"}


@given(st.dictionaries(st.text(max_size=12), st.text(max_size=40), max_size=6))
@settings(max_examples=200)
def test_forms_are_read_as_the_standard_library_writes_them(pairs: dict[str, str]) -> None:
    assert query.form(urlencode(pairs).encode()) == pairs


@given(st.binary(max_size=200))
@settings(max_examples=100)
def test_base64_in_a_form(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    form = f"Action=x&RawMessage.Data={quote_plus(text)}".encode()
    assert query.form(form)["RawMessage.Data"] == text
    assert query.form(form.replace(b"%2B", b"%2b").replace(b"%2F", b"%2f"))["RawMessage.Data"] == text


ESCAPES = ["%41", "%3D", "%25", "%0A", "%0d", "=", "\r", "\n", " ", "\t", "_", "%", "%e0", "\0", ".", "0", "a", "가"]


@given(st.lists(st.sampled_from(ESCAPES), max_size=14).map(lambda x: "".join(x).encode()))
@settings(max_examples=200)
def test_escapes_are_undone_as_the_standard_library_does(raw: bytes) -> None:
    assert values.unescaped(raw) == unquote_to_bytes(raw)


ALPHABET = st.sampled_from(
    ["Source", "Destination", "ToAddresses", "member", "1", "2", ".", "=", "&", "%", "+", "가", "\0"]
)


@given(st.one_of(st.binary(max_size=200), st.lists(ALPHABET, max_size=40).map(lambda x: "".join(x).encode())))
@settings(max_examples=200)
def test_random_forms_are_read_or_refused_in_words_of_ses(data: bytes) -> None:
    for operation in ("SendEmail", "SendBounce", "CreateReceiptRule", "ListTemplates"):
        shape = SES.operations[operation].input
        assert shape is not None
        found = outcome(lambda shape=shape: query.decode(shape, query.form(data)), QueryError)  # type: ignore[misc]
        if isinstance(found, QueryError):
            assert (found.code, found.status) in (("MalformedQueryString", 404), ("InvalidParameterValue", 400))
            assert str(found).endswith(".")
        else:
            assert set(found) <= set(shape.members)


@given(st.text(max_size=80))
@settings(max_examples=200)
def test_any_text_is_well_formed_xml(text: str) -> None:
    body = query.answer(SES, "ListIdentities", {"Identities": [text, "\ud800"], "NextToken": text}, "r")
    members = ElementTree.fromstring(body).findall(".//{*}member")
    assert members[1].text == "\ufffd"
    if "\ufffd" not in query.escaped(text):
        assert (members[0].text or "") == text
    error = ElementTree.fromstring(query.error(SES.xmlns, "X", text, 400, "r"))
    assert error.find("{*}Error/{*}Type") is not None


def test_the_error_as_ses_writes_it() -> None:
    assert query.error(SES.xmlns, "MessageRejected", "a < b", 400, "r-1") == (
        b'<ErrorResponse xmlns="http://ses.amazonaws.com/doc/2010-12-01/"><Error><Type>Sender</Type>'
        b"<Code>MessageRejected</Code><Message>a &lt; b</Message></Error><RequestId>r-1</RequestId></ErrorResponse>"
    )


def test_a_megabyte_of_percent_signs_from_a_stranger_costs_little() -> None:
    begun = time.perf_counter()
    assert query.form(b"a=" + b"%" * 1_000_000)["a"] == "%" * 1_000_000
    assert time.perf_counter() - begun < 1.0
