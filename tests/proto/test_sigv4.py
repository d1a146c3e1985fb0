"""SigV4: AWS's own suite and botocore's signer judge what we accept; every change is refused."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstead.base.clock import MINUTE, SECOND
from mailstead.proto import sigv4
from mailstead.proto.sigv4 import Reason, SignatureError, SigningKeys, Wire

KEY = "AKIDEXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
NOW = int(datetime(2015, 8, 30, 12, 36, tzinfo=UTC).timestamp() * 1000)


def read_request(raw: bytes) -> tuple[Wire, bytes]:
    """A request as it stands in AWS's suite: LF lines, blanks allowed in the target, folded headers."""
    head, _, body = raw.partition(b"\n\n")
    lines = head.split(b"\n")
    method, target = lines[0].removesuffix(b" HTTP/1.1").split(b" ", 1)
    fields: list[list[bytes]] = []
    for line in lines[1:]:
        if line.startswith((b" ", b"\t")):
            fields[-1][1] += b" " + line.strip()
        elif line:
            name, _, value = line.partition(b":")
            fields.append([name.lower(), value.strip()])
    headers: dict[bytes, bytes] = {}
    for name, value in fields:
        headers[name] = headers[name] + b"," + value if name in headers else value
    path, _, query = target.partition(b"?")
    return Wire(method.decode(), path, query, headers), body


def accepted(wire: Wire, body: bytes, *, service: str = "ses", secret: str = SECRET, now: int = NOW) -> bool:
    """Does the whole chain let this request in?"""
    try:
        claim = sigv4.parse(wire)
        if claim is None:
            return False
        sigv4.check(claim, service=service, regions={"us-east-1"}, now=now)
        sigv4.verify(claim, wire, secret, hashlib.sha256(body).hexdigest(), SigningKeys())
    except SignatureError:
        return False
    return True


# Folders whose .sreq holds a placeholder, not a signature that anyone could have computed.
def _computed(folder: Path) -> bool:
    return "5fa00fa31553b73ebf194267" not in folder.with_suffix(".sreq").read_text("utf-8", "surrogateescape")


def suite(vectors: Path) -> list[Path]:
    return sorted(path.with_suffix("") for path in (vectors / "sigv4-aws").rglob("*.sreq"))


def test_the_suite_of_aws_canonical_requests(vectors: Path) -> None:
    for case in suite(vectors):
        wire, body = read_request(case.with_suffix(".sreq").read_bytes())
        claim = sigv4.parse(wire)
        assert claim is not None, case
        canonical = sigv4.canonical_request(wire, claim.signed_headers, hashlib.sha256(body).hexdigest())
        assert canonical == case.with_suffix(".creq").read_bytes().strip(), case.name


def test_the_suite_of_aws_signed_requests(vectors: Path) -> None:
    cases = suite(vectors)
    assert len({case.relative_to(vectors / "sigv4-aws").parts[0] for case in cases}) == 26
    for case in cases:
        wire, body = read_request(case.with_suffix(".sreq").read_bytes())
        if not _computed(case):
            # The canonical request was judged above; sign it ourselves to see it accepted.
            unsigned = {name: value for name, value in wire.headers.items() if name != b"authorization"}
            again = {b"host": unsigned[b"host"]}
            added = sigv4.sign(
                replace(wire, headers=again),
                hashlib.sha256(body).hexdigest(),
                access_key=KEY,
                secret=SECRET,
                region="us-east-1",
                service="service",
                now=NOW,
            )
            wire = replace(wire, headers=again | {name.encode(): value.encode() for name, value in added.items()})
        assert accepted(wire, body, service="service"), case.name


def test_any_change_of_a_suite_request_is_refused(vectors: Path) -> None:
    refused = 0
    for case in suite(vectors):
        if not _computed(case):
            continue
        wire, body = read_request(case.with_suffix(".sreq").read_bytes())
        claim = sigv4.parse(wire)
        assert claim is not None
        changes = [
            (replace(wire, method="PUT"), body),
            (replace(wire, path=wire.path + b"x"), body),
            (replace(wire, query=wire.query + b"&x=y"), body),
            (wire, body + b" "),
        ]
        for name in claim.signed_headers:
            raw = name.encode()
            changes.append((replace(wire, headers={**wire.headers, raw: wire.headers[raw] + b"1"}), body))
        authorization = wire.headers[b"authorization"]
        for old, new in (
            (b"us-east-1", b"us-east-2"),
            (b"20150830", b"20150831"),
            (b"host;", b""),
            (KEY.encode(), b""),
        ):
            assert old in authorization
            changes.append(
                (replace(wire, headers={**wire.headers, b"authorization": authorization.replace(old, new)}), body)
            )
        at = authorization.index(b"Signature=") + 10
        for i in range(at, at + 64):
            flipped = b"0" if authorization[i : i + 1] != b"0" else b"1"
            changed = authorization[:i] + flipped + authorization[i + 1 :]
            changes.append((replace(wire, headers={**wire.headers, b"authorization": changed}), body))
        for change, changed_body in changes:
            assert not accepted(change, changed_body, service="service"), (case.name, change)
            refused += 1
        assert not accepted(wire, body, service="service", secret=SECRET + "x")
    assert refused > 500


def by_botocore(
    method: str, url: str, body: bytes = b"", *, presign: bool = False, token: str | None = None, **params: str
) -> Wire:
    """A request signed by botocore now, as it stands on the wire."""
    request = botocore.awsrequest.AWSRequest(method=method, url=url, data=body, params=params)
    credentials = botocore.credentials.Credentials(KEY, SECRET, token)
    signer = botocore.auth.SigV4QueryAuth if presign else botocore.auth.SigV4Auth
    signer(credentials, "ses", "us-east-1").add_auth(request)
    prepared = request.prepare()
    split = urlsplit(prepared.url)
    sent = {name.lower().encode(): (v if isinstance(v, bytes) else v.encode()) for name, v in prepared.headers.items()}
    return Wire(method, split.path.encode(), split.query.encode(), {b"host": split.netloc.encode()} | sent)


def now() -> int:
    return time.time_ns() // 1_000_000


AWKWARD = [
    "/",
    "/v2/email/identities/user%40example.com",
    "/v2/email/identities/a%20b%2Fc%25d/policies/x~y",
    "/v2/email/insights/abc/",
    "/v2/email/suppression/addresses?Reason=BOUNCE&Reason=COMPLAINT&NextToken=a%2Bb%3D%3D%2F",
    "/v2/email/tags?TagKeys=%EA%B0%80%20%26&TagKeys=a&ResourceArn=arn%3Aaws%3Ases",
]


@pytest.mark.parametrize("target", AWKWARD)
@pytest.mark.parametrize("host", ["localhost:4579", "email.us-east-1.amazonaws.com"])
def test_botocore_signs_and_we_accept(target: str, host: str) -> None:
    body = "Action=SendEmail&Text=가나다%0A".encode()
    wire = by_botocore("POST", f"http://{host}{target}", body)
    assert accepted(wire, body, now=now())
    assert not accepted(wire, body + b"&", now=now())
    assert not accepted(replace(wire, path=wire.path + b"%20"), body, now=now())


def test_botocore_presigns_and_we_accept() -> None:
    wire = by_botocore(
        "GET", "https://localhost/?Action=ListIdentities&Version=2010-12-01&NextToken=a%2Bb", presign=True
    )
    assert accepted(wire, b"", now=now())
    assert not accepted(replace(wire, query=wire.query + b"&MaxItems=1"), b"", now=now())
    assert not accepted(wire, b"body", now=now())
    late = now() + 3601 * SECOND
    assert not accepted(wire, b"", now=late)
    claim = sigv4.parse(wire)
    assert claim is not None
    with pytest.raises(SignatureError, match=r"^Signature expired: .* is now earlier than .* - 60 min\.\)$"):
        sigv4.check(claim, service="ses", regions=None, now=late)


def test_blanks_and_plus_signs_in_a_query_as_the_sdk_sends_them() -> None:
    wire = by_botocore("GET", "http://h/v2/email/tags", Key="a b+c", Other="가&=/~*'")
    assert b"+" in wire.query  # signed as %20
    assert accepted(wire, b"", now=now())


def test_a_session_token_is_part_of_the_claim() -> None:
    for presign in (False, True):
        wire = by_botocore("GET", "https://localhost/?Action=X", presign=presign, token="FwoG/+=")
        claim = sigv4.parse(wire)
        assert claim is not None
        assert claim.token == "FwoG/+="
        assert accepted(wire, b"", now=now())


def test_unsigned_payload_only_when_presigned() -> None:
    head = Wire("POST", b"/", b"", {b"host": b"h", b"x-amz-content-sha256": b"UNSIGNED-PAYLOAD"})
    added = sigv4.sign(
        head, "UNSIGNED-PAYLOAD", access_key=KEY, secret=SECRET, region="us-east-1", service="ses", now=NOW
    )
    wire = replace(head, headers={**head.headers, **{k.encode(): v.encode() for k, v in added.items()}})
    assert not accepted(wire, b"anything")


def signed(**change: str) -> Wire:
    head = Wire("POST", b"/", b"", {b"host": b"h"})
    how = {"access_key": KEY, "secret": SECRET, "region": "us-east-1", "service": "ses"} | change
    added = sigv4.sign(head, sigv4.EMPTY_HASH, now=NOW, **how)  # type: ignore[arg-type]
    return replace(head, headers={**head.headers, **{k.encode(): v.encode() for k, v in added.items()}})


def refusal(wire: Wire, *, now: int = NOW) -> SignatureError:
    try:
        claim = sigv4.parse(wire)
        assert claim is not None
        sigv4.check(claim, service="ses", regions={"us-east-1"}, now=now)
    except SignatureError as error:
        return error
    raise AssertionError("let in")


def authorized(wire: Wire, old: str, new: str) -> Wire:
    value = wire.headers[b"authorization"].decode().replace(old, new)
    return replace(wire, headers={**wire.headers, b"authorization": value.encode()})


def test_the_texts_of_skew() -> None:
    wire = signed()
    assert str(refusal(wire, now=NOW + 15 * MINUTE + SECOND)) == (
        "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T125101Z - 15 min.)"
    )
    assert str(refusal(wire, now=NOW - 15 * MINUTE - SECOND)) == (
        "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z (20150830T122059Z + 15 min.)"
    )
    for edge in (NOW - 15 * MINUTE, NOW + 15 * MINUTE):
        assert accepted(wire, b"", now=edge)


def test_the_texts_of_scope() -> None:
    assert str(refusal(signed(service="email"))) == "Credential should be scoped to correct service: 'ses'."
    assert str(refusal(signed(region="mars"))) == "Credential should be scoped to a valid region, not 'mars'."
    assert str(refusal(authorized(signed(), "aws4_request", "aws5_request"))) == (
        "Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5_request'."
    )
    assert str(refusal(authorized(signed(), "/20150830/", "/20150829/"))) == (
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
        "'20150829' != '20150830', from '20150830T123600Z'."
    )


@pytest.mark.parametrize(
    ("authorization", "text"),
    [
        ("AWS4-HMAC-SHA256", "Authorization header requires 'Credential' parameter. "),
        ("AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=x", "Credential must have exactly 5"),
        ("AWS4-ECDSA-P256-SHA256 Credential=a/b/c, SignedHeaders=host", "Unsupported AWS 'algorithm': 'AWS4-ECDSA"),
        ("AWS3-HTTPS AWSAccessKeyId=a", "Signature versions 2 and 3"),
        ("AWS key:signature", "Signature versions 2 and 3"),
        ("Bearer x", "Unsupported AWS 'algorithm': 'Bearer'"),
        ("AWS4-HMAC-SHA256 Credential=a/1/r/ses/aws4_request, SignedHeaders=date, Signature=x", "'Host' must be a 'Si"),
    ],
)
def test_what_cannot_be_read_is_incomplete(authorization: str, text: str) -> None:
    wire = Wire("POST", b"/", b"", {b"x-amz-date": b"20150830T123600Z", b"authorization": authorization.encode()})
    error = refusal(wire)
    assert error.reason is Reason.INCOMPLETE
    assert str(error).startswith(text)


def test_an_unsigned_amazon_header_is_refused() -> None:
    wire = signed()
    extra = replace(wire, headers={**wire.headers, b"x-amz-target": b"TrentService.Encrypt"})
    assert "'x-amz-target' must be a 'SignedHeader'" in str(refusal(extra))


def test_unsigned_requests_make_no_claim() -> None:
    assert sigv4.parse(Wire("GET", b"/", b"Action=X", {b"host": b"h"})) is None


def test_the_date_header_counts_where_there_is_no_amazon_date() -> None:
    head = {b"host": b"h", b"date": b"Sun, 30 Aug 2015 12:36:00 GMT"}
    auth = (
        f"AWS4-HMAC-SHA256 Credential={KEY}/20150830/us-east-1/ses/aws4_request, SignedHeaders=date;host, Signature=0"
    )
    claim = sigv4.parse(Wire("GET", b"/", b"", {**head, b"authorization": auth.encode()}))
    assert claim is not None
    assert (claim.when, claim.time) == ("20150830T123600Z", NOW)


@pytest.mark.parametrize(
    "when", ["20150830", "20151330T000000Z", "20150230T250000Z", "x" * 500, "Sun, 99 Zzz", "٢٠150830T123600Z"]
)
def test_a_date_that_is_none(when: str) -> None:
    wire = replace(signed(), headers={**signed().headers, b"x-amz-date": when.encode("utf-8")})
    assert refusal(wire).reason is Reason.INCOMPLETE


@pytest.mark.parametrize(
    ("region", "password"),
    [
        ("us-east-1", "BLBM/9hSUELfq8Gw+rU1YcBjkOxGbhT2XG763xVLGWL9"),
        ("us-west-2", "BF2PynzbSCAjX08zhZZnP/kW+T9P5zs/1Er0pi5vTEmd"),
        ("eu-west-1", "BMW5RDrXmmVs0lV7GpI4oLkHXpZ4stDsk6q91z1g38Pk"),
    ],
)
def test_smtp_passwords(region: str, password: str) -> None:
    assert sigv4.smtp_password("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", region) == password


def test_the_old_smtp_password_is_bound_to_no_region() -> None:
    password = sigv4.smtp_password_v2("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    assert password.startswith("A")
    assert len(password) == 44


@given(st.integers(0, 253_402_300_799))
@settings(max_examples=200)
def test_stamps_agree_with_datetime(seconds: int) -> None:
    assert sigv4.stamp(seconds * 1000) == datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ").rjust(16, "0")


@given(
    st.binary(max_size=60),
    st.binary(max_size=60),
    st.one_of(
        st.none(), st.binary(max_size=80), st.binary(max_size=80).map(lambda x: b"AWS4-HMAC-SHA256 Credential=" + x)
    ),
    st.binary(max_size=40),
)
@settings(max_examples=200)
def test_random_requests_raise_only_signature_errors(
    path: bytes, query: bytes, auth: bytes | None, date: bytes
) -> None:
    headers = {b"host": b"h", b"x-amz-date": date} | ({} if auth is None else {b"authorization": auth})
    for text in (query, b"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" + query):
        assert not accepted(Wire("GET", path, text, headers), b"")
    assert sigv4.canonical_path(path).isascii()


def test_signing_keys_are_bounded() -> None:
    keys = SigningKeys(size=4)
    for day in range(20):
        keys.get(SECRET, f"201508{day:02d}", "us-east-1", "ses")
    assert keys.get.cache_info().currsize == 4
