"""REST-JSON: paths, query strings and bodies that no SDK sends."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstead.aws import model, rest_json
from mailstead.aws.rest_json import RestError
from peers.outcome import outcome

V2 = model.load("sesv2")


def routed(method: str, path: str) -> tuple[str, dict[str, str]] | None:
    found = rest_json.find(V2, method, path.encode())
    return None if found is None else (found[0].name, found[1])


def decode(operation: str, body: bytes = b"", query: bytes = b"", **variables: str) -> dict[str, Any]:
    return rest_json.decode(V2.operations[operation], variables, query, body)


def test_every_operation_has_its_own_route() -> None:
    for name, operation in V2.operations.items():
        path = operation.path.replace("{", "x-").replace("}", "")
        assert routed(operation.method, path) is not None
        for end in ("", "/"):
            found = routed(operation.method, path.rstrip("/") + end)
            assert found is not None
            assert found[0] == name


def test_literal_segments_win_but_do_not_hide_names() -> None:
    lists = "/v2/email/contact-lists/l/contacts"
    assert routed("POST", f"{lists}/list") == ("ListContacts", {"ContactListName": "l"})
    assert routed("GET", f"{lists}/list") == ("GetContact", {"ContactListName": "l", "EmailAddress": "list"})
    assert routed("GET", "/v2/email/deliverability-dashboard/test-reports") is not None


@pytest.mark.parametrize(
    "path", ["/", "/v2/", "/v2/email", "/v2/email/identities//dkim", "/v2/email/nope", "/v1/email/account", "/" * 50]
)
def test_unknown_paths(path: str) -> None:
    assert routed("PUT", path) is None
    assert routed("BREW", "/v2/email/account") is None


def test_names_are_decoded_once() -> None:
    assert decode("GetEmailIdentity", EmailIdentity="a%2540b%2Fc+d") == {"EmailIdentity": "a%40b/c+d"}


def test_query_strings() -> None:
    query = b"Reason=BOUNCE&Reason=COMPLAINT&StartDate=2020-11-03T09%3A02%3A10Z&PageSize=5&NextToken=a%2B+b&Other=1"
    assert decode("ListSuppressedDestinations", query=query) == {
        "Reasons": ["BOUNCE", "COMPLAINT"],
        "StartDate": 1_604_394_130_000,
        "PageSize": 5,
        "NextToken": "a+ b",
    }


def test_members_the_model_does_not_know_and_nulls_are_ignored() -> None:
    body = b'{"Content":{"Raw":{"Data":"eA==","New":1}},"FromEmailAddress":null,"Brand":{"new":[]}}'
    assert decode("SendEmail", body) == {"Content": {"Raw": {"Data": b"x"}}}
    assert decode("SendEmail", b" \n") == {}
    assert decode("SendEmail", b"null") == {}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{", "not valid JSON"),
        (b"[]", "must be a JSON object"),
        (b'{"FromEmailAddress":"\xff"}', "not valid JSON"),
        (b'{"FromEmailAddress":"\\ud800"}', "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"Content":' * 100_000, "not valid JSON"),
        (b'{"FromEmailAddress":5}', "NUMBER_VALUE can not be converted to a String"),
        (b'{"FromEmailAddress":true}', "BOOLEAN_VALUE can not be converted to a String"),
        (b'{"FromEmailAddress":{}}', "Start of structure or map found where not expected."),
        (b'{"FromEmailAddress":[]}', "Start of list found where not expected"),
        (b'{"ReplyToAddresses":"a"}', "Expected list or null"),
        (b'{"Content":"a"}', "Expected structure or null"),
        (b'{"Content":{"Raw":{"Data":"!"}}}', "Unable to parse the value as base64."),
        (b'{"Content":{"Raw":{"Data":"eA"}}}', "Unable to parse the value as base64."),
    ],
)
def test_bodies_that_are_refused(body: bytes, text: str) -> None:
    with pytest.raises(RestError, match=text.replace(".", r"\.")):
        decode("SendEmail", body)


def test_numbers() -> None:
    assert decode("ListTenants", b'{"PageSize":7}') == {"PageSize": 7}
    for bad in (b"7.5", b'"7"', b"true", b"99999999999999999999", b"-2147483649"):
        with pytest.raises(RestError):
            decode("ListTenants", b'{"PageSize":' + bad + b"}")


NAMES = st.sampled_from(["Content", "Raw", "Data", "Simple", "Subject", "Headers", "EndDate"])
NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Content", "Raw", "Data", "Simple", "Subject", "Headers", "EndDate"]), below, max_size=3
        )
    ),
    max_leaves=12,
)


@given(st.binary(max_size=60) | NESTED.map(lambda x: json.dumps(x).encode()), st.binary(max_size=60))
@settings(max_examples=200)
def test_random_requests_are_read_or_refused_with_a_text(body: bytes, raw: bytes) -> None:
    for operation in ("SendEmail", "BatchGetMetricData", "ListSuppressedDestinations", "GetDomainStatisticsReport"):
        shape = V2.operations[operation].input
        assert shape is not None
        found = outcome(lambda name=operation: decode(name, body, b"StartDate=" + raw), RestError)  # type: ignore[misc]
        assert str(found) if isinstance(found, RestError) else set(found) <= set(shape.members)
    assert raw.startswith(b"/v2/email/") or rest_json.find(V2, "GET", raw) is None


def test_times_are_seconds_with_a_fraction_only_if_there_is_one() -> None:
    tables = V2.operations["GetEmailTemplate"]
    assert rest_json.answer(V2.operations["SendEmail"], {"MessageId": None}) == b"{}"
    assert rest_json.answer(tables, None) == b"{}"
    for time, text in [(1_618_846_742_000, b"1618846742}"), (1_618_846_742_123, b"1618846742.123}")]:
        body = rest_json.answer(V2.operations["GetImportJob"], {"CreatedTimestamp": time})
        assert body.endswith(text)


def test_a_lone_surrogate_is_replaced() -> None:
    assert rest_json.answer(V2.operations["SendEmail"], {"MessageId": "a\ud800"}) == b'{"MessageId": "a?"}'
    assert rest_json.error("\udcff") == b'{"message":"?"}'
