"""Refusals: each reason in SES's reply."""

from __future__ import annotations

import pytest

from mailstead.base import errors
from mailstead.outbound.admission import NotVerified
from mailstead.servers.refusals import refusal


@pytest.mark.parametrize(
    ("error", "reply"),
    [
        (errors.Throttled("Maximum sending rate exceeded.", kind="rate"), "454 Throttling failure: Maximum sending"),
        (errors.MailFromNotVerified("Not verified"), "554 Message rejected: Not verified"),
        (errors.TooLarge("anything"), "552 Message is too long."),
        (errors.Rejected("Bad content"), "554 Message rejected: Bad content"),
        (errors.Invalid("Illegal filename"), "554 Transaction failed: Illegal filename"),
        (errors.Conflict("odd"), "451 Temporary service failure"),
    ],
)
def test_each_reason_has_its_reply(error: errors.MailsteadError, reply: str) -> None:
    assert str(refusal(error)).startswith(reply)


def test_no_reply_is_longer_than_512_octets() -> None:
    for error in (
        errors.Invalid("x" * 2000),
        errors.Denied("é" * 2000),
        NotVerified("us-east-1", [f"{'n' * n}@example.org" for n in range(1, 200)]),
        NotVerified("us-east-1", ["x" * 3000]),
    ):
        line = refusal(error).to_bytes()
        assert line.endswith(b"...\r\n")
        assert len(line) <= 512
