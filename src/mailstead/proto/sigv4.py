"""SigV4: who signed this request, and did they know the secret?  Also SMTP passwords, which are made from keys.

Two halves, because the secret is looked up between them: ``parse`` reads what a request says about its signer (a
``Claim``); ``check`` looks at scope and time; ``verify`` compares the signature (AWS Signature Version 4).

Careful: the path is canonicalised as every service but S3 does it: dot segments removed, each segment encoded once more
than it is on the wire.  The body's hash is always ours; ``x-amz-content-sha256`` counts as one more signed header.
Not done: SigV4A (asymmetric), chunk signatures, and signature versions 2 and 3 are refused, each with a clear text.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from calendar import timegm
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from email.utils import parsedate_tz
from enum import Enum
from functools import lru_cache
from urllib.parse import quote_from_bytes, unquote_to_bytes

ALGORITHM = "AWS4-HMAC-SHA256"
TERMINATOR = "aws4_request"
SKEW = 15 * 60_000  # SES: wire §5.2
MAX_EXPIRES = 7 * 86_400  # seconds that a presigned request may be good for
MAX_SIGNED_HEADERS = 64
MAX_PAIRS = 20_000  # parameters of a query string
EMPTY_HASH = hashlib.sha256(b"").hexdigest()
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"


class Reason(Enum):
    """Why a signature is refused; doors choose a code by it (SES: wire §4)."""

    MISSING = "missing"
    INCOMPLETE = "incomplete"
    UNKNOWN_KEY = "unknown-key"
    MISMATCH = "mismatch"
    EXPIRED_TOKEN = "expired-token"  # noqa: S105 - a reason, not a secret


class SignatureError(Exception):
    """The request is not signed, or not as it should be.  ``str(error)`` is AWS's text for the caller."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


MISSING_TEXT = "Request is missing Authentication Token"
UNKNOWN_TEXT = "The security token included in the request is invalid."
MISMATCH_TEXT = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)
OLD_TEXT = "Signature versions 2 and 3 are no longer supported. Sign the request with AWS Signature Version 4."


@dataclass(frozen=True, slots=True)
class Wire:
    """A request as it came: nothing decoded."""

    method: str
    path: bytes
    """Percent-encoded as on the request line, without the query string."""
    query: bytes
    headers: Mapping[bytes, bytes]
    """Names in lower case; the values of a repeated header joined with commas (RFC 9110 §5.3)."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request says about its signer; nothing of it is proved yet."""

    access_key: str
    date: str
    """``YYYYMMDD`` of the scope."""
    region: str
    service: str
    terminator: str
    signed_headers: tuple[str, ...]
    signature: str
    when: str
    """``YYYYMMDDTHHMMSSZ``, as it stands in the string to sign."""
    time: int
    """The same in milliseconds since 1970."""
    expires: int | None
    """Seconds that a presigned request is good for; None: signed by header."""
    token: str | None
    """A session token (temporary credentials)."""

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/{self.terminator}"


# Parsing


def parse(request: Wire) -> Claim | None:
    """What the request says about its signer; None if it is not signed at all.

    Raises:
        SignatureError: ``INCOMPLETE``: it is signed in a way we cannot read or do not support.
    """
    header = request.headers.get(b"authorization")
    if header is not None:
        return _from_header(request, header.decode("latin-1").strip())
    if b"X-Amz-Algorithm=" in request.query or b"X-Amz-Signature=" in request.query:
        return _from_query(request)
    if b"x-amzn-authorization" in request.headers or b"AWSAccessKeyId=" in request.query:
        raise _incomplete(OLD_TEXT)
    return None


def _incomplete(text: str) -> SignatureError:
    return SignatureError(Reason.INCOMPLETE, text)


def _shown(text: str) -> str:
    """A caller's own words, short and printable, for an error."""
    return "".join(char if char.isprintable() else "?" for char in text[:200])


def _check_algorithm(algorithm: str) -> None:
    if algorithm == ALGORITHM:
        return
    if algorithm.startswith(("AWS3", "AWS ")) or algorithm == "AWS":
        raise _incomplete(OLD_TEXT)
    raise _incomplete(f"Unsupported AWS 'algorithm': '{_shown(algorithm)}'. Sign the request with {ALGORITHM}.")


def _from_header(request: Wire, header: str) -> Claim:
    algorithm, _, rest = header.partition(" ")
    _check_algorithm(algorithm)
    fields = dict.fromkeys(("Credential", "Signature", "SignedHeaders"), "")
    for piece in rest.split(",", 8):
        name, _, value = piece.strip().partition("=")
        if name in fields:
            fields[name] = value.strip()
    missing = [f"Authorization header requires '{name}' parameter." for name, value in fields.items() if not value]
    when = request.headers.get(b"x-amz-date") or request.headers.get(b"date")
    if when is None:
        missing.append("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    if missing or when is None:
        raise _incomplete(" ".join(missing))
    token = request.headers.get(b"x-amz-security-token")
    claim = _claim(fields, when.decode("latin-1").strip(), None, None if token is None else token.decode("latin-1"))
    _check_signed(request, claim)
    return claim


_QUERY_FIELDS = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-Date", "X-Amz-SignedHeaders")


def _from_query(request: Wire) -> Claim:
    fields = {}
    for name, value in _pairs(request.query):
        if name.startswith(b"X-Amz-"):
            fields[name.decode("latin-1")] = value.decode("latin-1")
    missing = [f"AWS query-string parameters must include '{name}'." for name in _QUERY_FIELDS if not fields.get(name)]
    if missing:
        raise _incomplete(" ".join(missing))
    _check_algorithm(fields["X-Amz-Algorithm"])
    expires = fields.get("X-Amz-Expires", "900")
    if not (expires.isascii() and expires.isdigit() and len(expires) < 8 and 0 < int(expires) <= MAX_EXPIRES):
        raise _incomplete(f"X-Amz-Expires must be a number of seconds from 1 to {MAX_EXPIRES}.")
    named = {name.removeprefix("X-Amz-"): value for name, value in fields.items()}
    claim = _claim(named, fields["X-Amz-Date"], int(expires), fields.get("X-Amz-Security-Token"))
    if "host" not in claim.signed_headers:
        raise _incomplete("'Host' must be a 'SignedHeader' in the AWS Authorization.")
    return claim


_SIGNATURE = re.compile(r"[0-9a-f]{64}")


def _claim(fields: Mapping[str, str], when: str, expires: int | None, token: str | None) -> Claim:
    # An access key may not hold a slash, so there are five elements, or it is no credential.
    credential = fields["Credential"].split("/")
    if len(credential) != 5 or not all(credential):
        raise _incomplete(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, "
            f"got '{_shown(fields['Credential'])}'"
        )
    names = tuple(fields["SignedHeaders"].lower().split(";"))
    if len(names) > MAX_SIGNED_HEADERS:
        raise _incomplete("Too many 'SignedHeaders'.")
    stamp, time = _moment(when)
    key, date, region, service, terminator = credential
    return Claim(
        key, date, region, service, terminator, names, fields["Signature"], stamp, time, expires, token or None
    )


def _check_signed(request: Wire, claim: Claim) -> None:
    """``host`` and every ``x-amz-*`` header must be signed (SES: wire §5.3).

    A session token may be added after signing: so says AWS's own suite (post-sts-header-after).
    """
    if "host" not in claim.signed_headers:
        raise _incomplete("'Host' must be a 'SignedHeader' in the AWS Authorization.")
    for name in request.headers:
        if name.startswith(b"x-amz-") and name != b"x-amz-security-token":
            text = name.decode("latin-1")
            if text not in claim.signed_headers:
                raise SignatureError(
                    Reason.MISMATCH, f"'{_shown(text)}' must be a 'SignedHeader' in the AWS Authorization."
                )


_BASIC = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z", re.ASCII)
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@lru_cache(maxsize=64)
def _moment(text: str) -> tuple[str, int]:
    """A date as ``YYYYMMDDTHHMMSSZ`` and in milliseconds, from that form or from an RFC 9110 §5.6.7 date."""
    basic = _BASIC.fullmatch(text)
    if basic:
        year, month, day, hour, minute, second = (int(part) for part in basic.groups())
        if year >= 1970 and 1 <= month <= 12 and 1 <= day <= _DAYS[month - 1] and hour < 24 and minute < 60:
            return text, timegm((year, month, day, hour, minute, min(second, 60), 0, 0, 0)) * 1000
    else:
        seconds = _http_date(text)
        if seconds is not None:
            return stamp(seconds * 1000), seconds * 1000
    raise _incomplete(f"Date must be in ISO-8601 'basic format'. Got '{_shown(text)}'.")


def _http_date(text: str) -> int | None:
    if len(text) > 64:
        return None
    try:
        parts = parsedate_tz(text)
        if parts is None or not 1970 <= parts[0] <= 9999:
            return None
        seconds = timegm((*parts[:6], 0, 0, 0)) - (parts[9] or 0)
    except (ValueError, IndexError, OverflowError, TypeError):
        return None
    return seconds if 0 <= seconds < 253_402_300_800 else None


def stamp(time: int) -> str:
    """Milliseconds since 1970 as ``YYYYMMDDTHHMMSSZ``."""
    days, second = divmod(time // 1000, 86_400)
    year, month, day = _civil(days)
    return f"{year:04d}{month:02d}{day:02d}T{second // 3600:02d}{second // 60 % 60:02d}{second % 60:02d}Z"


def _civil(days: int) -> tuple[int, int, int]:
    """Year, month and day of a number of days since 1970-01-01 in the Gregorian calendar."""
    days += 719_468  # days from 0000-03-01, where every leap day ends a year
    era, day_of_era = divmod(days, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return year_of_era + era * 400 + (month <= 2), month, day_of_year - (153 * shifted + 2) // 5 + 1


# Checking scope and time


def check(claim: Claim, *, service: str, regions: Collection[str] | None, now: int) -> None:
    """Is the claim meant for us, and for now?  ``regions`` None: any.

    Raises:
        SignatureError: ``MISMATCH`` with AWS's text.
    """
    if claim.terminator != TERMINATOR:
        raise _wrong(
            f"Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{_shown(claim.terminator)}'."
        )
    if claim.service != service:
        raise _wrong(f"Credential should be scoped to correct service: '{service}'.")
    if regions is not None and claim.region not in regions:
        raise _wrong(f"Credential should be scoped to a valid region, not '{_shown(claim.region)}'.")
    if claim.date != claim.when[:8]:
        raise _wrong(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{_shown(claim.date)}' != '{claim.when[:8]}', from '{claim.when}'."
        )
    _check_time(claim, now)


def _wrong(text: str) -> SignatureError:
    return SignatureError(Reason.MISMATCH, text)


def _check_time(claim: Claim, now: int) -> None:
    span = SKEW if claim.expires is None else claim.expires * 1000
    # Whole minutes as AWS writes them; a presigned request of less than a minute names its seconds.
    words = f"{span // 60_000} min." if span >= 60_000 else f"{span // 1000} sec."
    if claim.time < now - span:
        raise _wrong(
            f"Signature expired: {claim.when} is now earlier than {stamp(now - span)} ({stamp(now)} - {words})"
        )
    if claim.time > now + SKEW:
        raise _wrong(
            f"Signature not yet current: {claim.when} is still later than {stamp(now + SKEW)} ({stamp(now)} + 15 min.)"
        )


# The canonical request

_PLAIN = re.compile(rb"[A-Za-z0-9_.~/-]*")
_PLAIN_PIECE = re.compile(rb"[A-Za-z0-9_.~-]*")


def canonical_path(path: bytes) -> str:
    """The path with dot segments and double slashes removed, every other octet percent-encoded once more."""
    if b"//" in path or b"/." in path:
        path = _normalized(path)
    path = path or b"/"
    return path.decode("ascii") if _PLAIN.fullmatch(path) else quote_from_bytes(path, safe="/~")


def _normalized(path: bytes) -> bytes:
    kept: list[bytes] = []
    segments = path.split(b"/")
    for segment in segments:
        if segment == b"..":
            del kept[-1:]
        elif segment not in (b"", b"."):
            kept.append(segment)
    last = b"/" if kept and segments[-1] in (b"", b".", b"..") else b""
    return b"/" + b"/".join(kept) + last


def _pairs(query: bytes) -> list[tuple[bytes, bytes]]:
    """Names and values of a query string, decoded (``+`` is a blank)."""
    pieces = query.split(b"&", MAX_PAIRS)
    if len(pieces) > MAX_PAIRS:
        raise _incomplete("Too many query-string parameters.")
    split = (piece.partition(b"=") for piece in pieces if piece)
    return [(_decoded(name), _decoded(value)) for name, _, value in split]


def _decoded(piece: bytes) -> bytes:
    return unquote_to_bytes(piece.replace(b"+", b" ")) if b"%" in piece or b"+" in piece else piece


def _encoded(piece: bytes) -> str:
    return piece.decode("ascii") if _PLAIN_PIECE.fullmatch(piece) else quote_from_bytes(piece, safe="-_.~")


def canonical_query(query: bytes) -> str:
    """Every parameter but the signature itself, encoded anew and sorted by name and value."""
    if not query:
        return ""
    pairs = sorted((_encoded(name), _encoded(value)) for name, value in _pairs(query) if name != b"X-Amz-Signature")
    return "&".join(f"{name}={value}" for name, value in pairs)


def canonical_request(request: Wire, signed_headers: tuple[str, ...], payload_hash: str) -> bytes:
    """What is hashed into the string to sign.  Values are trimmed, inner blanks collapsed."""
    find = request.headers.get
    lines = [request.method.encode("latin-1", "replace"), canonical_path(request.path).encode("ascii")]
    lines.append(canonical_query(request.query).encode("ascii"))
    for name in signed_headers:
        raw = name.encode("latin-1", "replace")
        lines.append(raw + b":" + _trimmed(find(raw, b"")))
    lines += [b"", ";".join(signed_headers).encode("latin-1", "replace"), payload_hash.encode("ascii", "replace")]
    return b"\n".join(lines)


def _trimmed(value: bytes) -> bytes:
    # Blanks around a comma stay: a repeated header comes here joined with a bare comma, its pieces trimmed before.
    return b" ".join(value.split()) if b"  " in value or b"\t" in value or b"\n" in value else value.strip()


# Verifying and signing


def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """The key of one day, region and service."""
    key = hmac.digest(b"AWS4" + secret.encode(), date.encode("latin-1", "replace"), "sha256")
    for part in (region, service, TERMINATOR):
        key = hmac.digest(key, part.encode("latin-1", "replace"), "sha256")
    return key


class SigningKeys:
    """Signing keys lately used: at most ``size`` of them, the longest unused goes first."""

    def __init__(self, size: int = 1024) -> None:
        self.get = lru_cache(maxsize=size)(signing_key)


def _signature(key: bytes, when: str, scope: str, canonical: bytes) -> str:
    to_sign = f"{ALGORITHM}\n{when}\n{scope}\n{hashlib.sha256(canonical).hexdigest()}"
    return hmac.digest(key, to_sign.encode("latin-1", "replace"), "sha256").hex()


def verify(claim: Claim, request: Wire, secret: str, payload_hash: str, keys: SigningKeys) -> None:
    """Does the signature belong to this request and this secret?  ``payload_hash``: SHA-256 of the body, in hex.

    A presigned request may have been signed for any body (``UNSIGNED-PAYLOAD``); no other may.

    Raises:
        SignatureError: ``MISMATCH``.
    """
    if claim.expires is not None and _any_body(request):
        payload_hash = UNSIGNED_PAYLOAD
    key = keys.get(secret, claim.date, claim.region, claim.service)
    canonical = canonical_request(request, claim.signed_headers, payload_hash)
    ours = _signature(key, claim.when, claim.scope, canonical)
    if not _SIGNATURE.fullmatch(claim.signature) or not hmac.compare_digest(ours, claim.signature):
        raise SignatureError(Reason.MISMATCH, MISMATCH_TEXT)


def _any_body(request: Wire) -> bool:
    given = request.headers.get(b"x-amz-content-sha256")
    return given == b"UNSIGNED-PAYLOAD" or b"X-Amz-Content-Sha256=UNSIGNED-PAYLOAD" in request.query


def sign(
    request: Wire,
    payload_hash: str,
    *,
    access_key: str,
    secret: str,
    region: str,
    service: str,
    now: int,
    token: str | None = None,
) -> dict[str, str]:
    """The headers to add to a request so that it is signed; every header it has is signed.  For tools and tests."""
    when = stamp(now)
    added = {"x-amz-date": when} | ({} if token is None else {"x-amz-security-token": token})
    headers = dict(request.headers) | {name.encode(): value.encode() for name, value in added.items()}
    names = tuple(sorted(name.decode("latin-1") for name in headers))
    scope = f"{when[:8]}/{region}/{service}/{TERMINATOR}"
    canonical = canonical_request(Wire(request.method, request.path, request.query, headers), names, payload_hash)
    signature = _signature(signing_key(secret, when[:8], region, service), when, scope, canonical)
    credential = f"Credential={access_key}/{scope}"
    return added | {
        "authorization": f"{ALGORITHM} {credential}, SignedHeaders={';'.join(names)}, Signature={signature}"
    }


# SMTP passwords (SES: smtp §3)


def smtp_password(secret: str, region: str) -> str:
    """The SMTP password of an access key in a region: 44 characters, made from the secret, never the secret itself."""
    key = hmac.digest(signing_key(secret, "11111111", region, "ses"), b"SendRawEmail", "sha256")
    return base64.b64encode(b"\x04" + key).decode("ascii")


def smtp_password_v2(secret: str) -> str:
    """The old form, for any region; SES still takes it, at a lowered rate."""
    key = hmac.digest(secret.encode(), b"SendRawEmail", "sha256")
    return base64.b64encode(b"\x02" + key).decode("ascii")
