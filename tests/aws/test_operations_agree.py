"""All operations, both directions: what botocore serialises we read; what we write botocore's parser reads."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode, urlsplit

import botocore.parsers
import botocore.serialize
import botocore.session
import pytest
from botocore.awsrequest import prepare_request_dict
from botocore.model import ServiceModel

from mailstead.aws import model, query, rest_json
from peers.awkward import Values, ours

SERVICES = ("ses", "sesv2", "sts", "sns")
ROUNDS = 12


def theirs(name: str) -> ServiceModel:
    return botocore.session.get_session().get_service_model(name)


MODELS = {name: theirs(name) for name in SERVICES}
ALL = [(name, operation) for name in SERVICES for operation in model.load(name).operations]


def test_the_tables_hold_every_operation() -> None:
    for name in ("ses", "sesv2"):
        assert sorted(model.load(name).operations) == sorted(MODELS[name].operation_names)
    assert (len(model.load("ses").operations), len(model.load("sesv2").operations)) == (71, 116)


def decoded(service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
    """Parameters through botocore's serializer and our decoder."""
    their_operation = MODELS[service].operation_model(operation)
    serializer = botocore.serialize.create_serializer(MODELS[service].metadata["protocol"], include_validation=False)
    request = serializer.serialize_to_request(params, their_operation)
    if service == "sesv2":
        prepare_request_dict(request, "http://localhost:4579")
        split = urlsplit(request["url"])
        body = request["body"] if isinstance(request["body"], bytes) else request["body"].encode()
        found = rest_json.find(model.load("sesv2"), request["method"], split.path.encode())
        assert found is not None
        assert found[0].name == operation
        return rest_json.decode(
            found[0], found[1], split.query.encode(), body if isinstance(body, bytes) else body.encode()
        )
    pairs = query.form(urlencode(request["body"], doseq=True).encode())
    assert pairs["Action"] == operation
    return query.decode(model.load(service).operations[operation].input, pairs)  # type: ignore[arg-type]


@pytest.mark.parametrize(("service", "operation"), ALL)
def test_what_botocore_writes_we_read(service: str, operation: str) -> None:
    shape = MODELS[service].operation_model(operation).input_shape
    for start in range(ROUNDS):
        members = {} if shape is None else shape.members
        places = {name: member.serialization.get("location", "") for name, member in members.items()}
        params = {} if shape is None else dict(Values(start).members(shape, places))
        # An empty list in a query string, and an empty map in a form, is not there at all.
        form = service != "sesv2"
        expected = {
            name: value
            for name, value in ours(params).items()
            if not (value == [] and places[name] == "querystring") and not (value == {} and form)
        }
        assert decoded(service, operation, params) == expected


def parsed(service: str, operation: str, status: int, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """An answer of ours through botocore's parser."""
    parser = botocore.parsers.create_parser(MODELS[service].metadata["protocol"])
    answer = {"status_code": status, "headers": headers, "body": body, "context": {"operation_name": operation}}
    return parser.parse(answer, MODELS[service].operation_model(operation).output_shape)  # type: ignore[no-any-return]


@pytest.mark.parametrize(("service", "operation"), ALL)
def test_what_we_write_botocore_reads(service: str, operation: str) -> None:
    shape = MODELS[service].operation_model(operation).output_shape
    tables = model.load(service)  # type: ignore[arg-type]
    for start in range(ROUNDS):
        result = {} if shape is None else Values(start).value(shape)
        mine = ours(result)
        if service == "sesv2":
            body = rest_json.answer(tables.operations[operation], mine)
            back = parsed(service, operation, 200, {"x-amzn-requestid": "id-1"}, body)
        else:
            body = query.answer(tables, operation, mine, "id-1")
            back = parsed(service, operation, 200, {}, body)
        assert back.pop("ResponseMetadata")["RequestId"] == "id-1"
        assert ours(back) == mine


@pytest.mark.parametrize("service", SERVICES)
def test_errors_botocore_reads(service: str) -> None:
    text = "Configuration set <a&b> \"does\" 'not' exist. 가\r\n"
    tables = model.load(service)  # type: ignore[arg-type]
    for code, status in [("Throttling", 400), ("AccessDenied", 403), ("InternalFailure", 500)]:
        if service == "sesv2":
            headers = {"x-amzn-requestid": "id-1", "x-amzn-errortype": code}
            back = parsed(service, "GetAccount", status, headers, rest_json.error(text))
        else:
            operation = next(iter(tables.operations))
            back = parsed(service, operation, status, {}, query.error(tables.xmlns, code, text, status, "id-1"))
            assert back["Error"]["Type"] == ("Sender" if status < 500 else "Receiver")
        assert (back["Error"]["Code"], back["Error"]["Message"]) == (code, text)
        assert back["ResponseMetadata"]["RequestId"] == "id-1"
        assert back["ResponseMetadata"]["HTTPStatusCode"] == status


def test_declared_errors_have_botocores_codes() -> None:
    for service in ("ses", "sesv2"):
        shapes = {shape.name: shape for shape in MODELS[service].error_shapes}
        for name, (code, status) in model.load(service).errors.items():  # type: ignore[arg-type]
            assert (shapes[name].error_code, shapes[name].metadata["error"]["httpStatusCode"]) == (code, status)


def test_optional_members_are_absent_and_empty_lists_are_empty_elements() -> None:
    body = query.answer(model.load("ses"), "ListIdentities", {"Identities": [], "NextToken": None}, "r")
    assert body == (
        b'<ListIdentitiesResponse xmlns="http://ses.amazonaws.com/doc/2010-12-01/"><ListIdentitiesResult><Identities/>'
        b"</ListIdentitiesResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></ListIdentitiesResponse>"
    )
    assert b"Result" not in query.answer(model.load("ses"), "VerifyEmailAddress", None, "r")
    assert b"<DeleteIdentityResult/>" in query.answer(model.load("ses"), "DeleteIdentity", None, "r")


def test_an_answer_beyond_the_model_is_our_bug() -> None:
    with pytest.raises(KeyError):
        query.answer(model.load("ses"), "SendEmail", {"MessageID": "x"}, "r")
    with pytest.raises(KeyError):
        rest_json.answer(model.load("sesv2").operations["SendEmail"], {"MessageID": "x"})
