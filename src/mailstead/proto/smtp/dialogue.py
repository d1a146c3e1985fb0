"""Dialogue: what a door offers and says: the words of SES for submission, those of a good MX for receiving."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from mailstead.proto.smtp.reply import Reply, harmless

_SHOWN = 256  # octets of a client's text that a reply repeats; a reply line has 512 (RFC 5321 §4.5.3.1.5)


@dataclass(frozen=True, slots=True)
class Words:
    """Every reply that the engine gives by itself, and ``ok`` words for the shell.

    ``{address}`` in a text stands for the address at fault, ``{size}`` for a number of octets.
    """

    ok: Reply
    sender_ok: Reply
    recipient_ok: Reply
    bye: Reply
    start_data: Reply
    chunk_ok: Reply
    help: Reply
    not_verified: Reply
    """VRFY."""
    ready_for_tls: Reply
    tls_unavailable: Reply
    tls_first: Reply
    auth_ok: Reply
    auth_failed: Reply
    auth_unavailable: Reply
    auth_first: Reply
    auth_twice: Reply
    auth_mechanism: Reply
    auth_malformed: Reply
    auth_cancelled: Reply
    unknown: Reply
    not_implemented: Reply
    syntax: Reply
    bad_line: Reply
    """A bare CR in a command."""
    line_too_long: Reply
    bad_sequence: Reply
    parameter: Reply
    sender_invalid: Reply
    sender_unusable: Reply
    """MAIL FROM with something that has no domain; SES says it to the null sender too (the shell decides)."""
    recipient_invalid: Reply
    sender_not_ascii: Reply
    recipient_not_ascii: Reply
    too_many_recipients: Reply
    too_large: Reply
    content_line_too_long: Reply
    bare_newline: Reply
    too_many_errors: Reply
    too_many_connections: Reply
    timeout: Reply
    ehlo_end: str = ""
    """A last EHLO line that is no keyword; empty: none."""


def about(reply: Reply, *, address: str = "", size: int = 0) -> Reply:
    """A reply with what it is about put into its text."""
    shown = harmless(address.encode()[:_SHOWN].decode("utf-8", "ignore"))
    return replace(reply, text=reply.text.replace("{address}", shown).replace("{size}", str(size)))


# SES: smtp §2 and §4; where SES was not seen to answer, RFC 5321 §4.2.2 and §4.2.3.
SUBMISSION_WORDS = Words(
    ok=Reply(250, "Ok"),
    sender_ok=Reply(250, "Ok"),
    recipient_ok=Reply(250, "Ok"),
    bye=Reply(221, "Bye"),
    start_data=Reply(354, "End data with <CR><LF>.<CR><LF>"),
    chunk_ok=Reply(250, "Ok"),
    help=Reply(214, "See RFC 5321"),
    not_verified=Reply(252, "Cannot VRFY user, but will accept message and attempt delivery"),
    ready_for_tls=Reply(220, "Ready to start TLS"),
    tls_unavailable=Reply(454, "TLS not available due to temporary reason"),
    tls_first=Reply(530, "Must issue a STARTTLS command first"),
    auth_ok=Reply(235, "Authentication successful."),
    auth_failed=Reply(535, "Authentication Credentials Invalid"),
    auth_unavailable=Reply(454, "Temporary authentication failure"),
    auth_first=Reply(530, "Authentication required"),
    auth_twice=Reply(503, "Bad sequence of commands"),
    auth_mechanism=Reply(504, "Unrecognized authentication type"),
    auth_malformed=Reply(501, "Syntax error in parameters or arguments"),
    auth_cancelled=Reply(501, "Authentication cancelled"),
    unknown=Reply(500, "Unknown command"),
    not_implemented=Reply(502, "Not implemented"),
    syntax=Reply(501, "Syntax error in parameters or arguments"),
    bad_line=Reply(500, "Syntax error, command unrecognized"),
    line_too_long=Reply(500, "Line too long"),
    bad_sequence=Reply(503, "Bad sequence of commands"),
    parameter=Reply(555, "MAIL FROM/RCPT TO parameters not recognized or not implemented"),
    sender_invalid=Reply(553, "<{address}> Invalid email address"),
    sender_unusable=Reply(501, "Invalid MAIL FROM address provided"),
    recipient_invalid=Reply(553, "<{address}> address unknown"),
    sender_not_ascii=Reply(553, "<{address}> Invalid email address"),
    recipient_not_ascii=Reply(553, "<{address}> address unknown"),
    too_many_recipients=Reply(452, "Too many recipients"),
    too_large=Reply(552, "Message is too long."),
    content_line_too_long=Reply(500, "Line too long"),
    bare_newline=Reply(554, "Transaction failed: Bare LF"),
    too_many_errors=Reply(421, "Too many errors on this connection"),
    too_many_connections=Reply(421, "Too many concurrent SMTP connections"),
    timeout=Reply(451, "Timeout waiting for data from client.", "4.4.2"),
    ehlo_end="Ok",
)

# Codes: RFC 5321 §4.2, RFC 3463 §3, RFC 2034, RFC 4954 §6, RFC 6531 §3.5.
MX_WORDS = Words(
    ok=Reply(250, "Ok", "2.0.0"),
    sender_ok=Reply(250, "Ok", "2.1.0"),
    recipient_ok=Reply(250, "Ok", "2.1.5"),
    bye=Reply(221, "Bye", "2.0.0"),
    start_data=Reply(354, "End data with <CR><LF>.<CR><LF>"),
    chunk_ok=Reply(250, "{size} octets received", "2.0.0"),
    help=Reply(214, "See RFC 5321", "2.0.0"),
    not_verified=Reply(252, "Send some mail, it will be tried", "2.0.0"),
    ready_for_tls=Reply(220, "Ready to start TLS", "2.0.0"),
    tls_unavailable=Reply(454, "TLS is not available now", "4.7.0"),
    tls_first=Reply(530, "Must issue a STARTTLS command first", "5.7.0"),
    auth_ok=Reply(235, "Authentication successful", "2.7.0"),
    auth_failed=Reply(535, "Authentication credentials invalid", "5.7.8"),
    auth_unavailable=Reply(454, "Temporary authentication failure", "4.7.0"),
    auth_first=Reply(530, "Authentication required", "5.7.0"),
    auth_twice=Reply(503, "Already authenticated", "5.5.1"),
    auth_mechanism=Reply(504, "Unrecognized authentication type", "5.5.4"),
    auth_malformed=Reply(501, "Cannot decode the response", "5.5.2"),
    auth_cancelled=Reply(501, "Authentication cancelled", "5.7.0"),
    unknown=Reply(500, "Unknown command", "5.5.2"),
    not_implemented=Reply(502, "Not implemented", "5.5.1"),
    syntax=Reply(501, "Syntax error in parameters or arguments", "5.5.4"),
    bad_line=Reply(500, "Command line with a bare CR", "5.5.2"),
    line_too_long=Reply(500, "Line too long", "5.5.6"),
    bad_sequence=Reply(503, "Bad sequence of commands", "5.5.1"),
    parameter=Reply(555, "Parameter not recognized or not implemented", "5.5.4"),
    sender_invalid=Reply(553, "<{address}> is not a valid address", "5.1.7"),
    sender_unusable=Reply(553, "<{address}> is not a valid address", "5.1.7"),
    recipient_invalid=Reply(553, "<{address}> is not a valid address", "5.1.3"),
    sender_not_ascii=Reply(550, "<{address}> needs SMTPUTF8", "5.6.7"),
    recipient_not_ascii=Reply(553, "<{address}> needs SMTPUTF8", "5.6.7"),
    too_many_recipients=Reply(452, "Too many recipients", "4.5.3"),
    too_large=Reply(552, "Message is larger than this server takes", "5.3.4"),
    content_line_too_long=Reply(500, "Line too long", "5.6.0"),
    bare_newline=Reply(550, "Bare LF or CR in the message", "5.6.0"),
    too_many_errors=Reply(421, "Too many errors on this connection", "4.7.0"),
    too_many_connections=Reply(421, "Too many concurrent SMTP connections", "4.7.0"),
    timeout=Reply(451, "Timeout waiting for data from client", "4.4.2"),
)


@dataclass(frozen=True, slots=True)
class Offer:
    """What a door offers and asks for. Trusted ones get ``replace(offer, require_tls=False, require_auth=False)``."""

    hostname: str
    greeting: str
    """What stands behind ``220 ``: host name first."""
    words: Words
    announce_size: bool = False
    pipelining: bool = False
    eight_bit_mime: bool = True
    smtputf8: bool = False
    enhanced_codes: bool = False
    chunking: bool = False
    starttls: bool = True
    auth: tuple[str, ...] = ()
    """SASL mechanisms, in the order in which they are announced."""
    require_tls: bool = False
    require_auth: bool = False
    max_message: int = 10 * 1024 * 1024
    """Octets of content."""
    max_recipients: int = 1000
    max_line: int = 998
    """Octets of a line of content without its CRLF (RFC 5322 §2.1.1)."""
    max_errors: int = 20
    """So many refused commands end the session with a 421."""
    max_idle: int = 1000
    """So many commands that lead nowhere (NOOP, RSET, EHLO…) without a message in between do so too."""
    bare_newline: Literal["normalize", "refuse"] = "normalize"
    ehlo_clear: bytes = field(init=False, repr=False, compare=False)
    ehlo_secure: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ehlo_clear", self._ehlo(starttls=self.starttls))
        object.__setattr__(self, "ehlo_secure", self._ehlo(starttls=False))

    def _ehlo(self, *, starttls: bool) -> bytes:
        offered = (
            ("PIPELINING", self.pipelining),
            ("8BITMIME", self.eight_bit_mime),
            (f"SIZE {self.max_message}", self.announce_size),
            ("SMTPUTF8", self.smtputf8),
            ("ENHANCEDSTATUSCODES", self.enhanced_codes),
            ("CHUNKING", self.chunking),
            ("STARTTLS", starttls),
            (f"AUTH {' '.join(self.auth)}", bool(self.auth)),
            (self.words.ehlo_end, bool(self.words.ehlo_end)),
        )
        return Reply.of_lines(250, (self.hostname, *(keyword for keyword, on in offered if on))).to_bytes()


def submission_offer(
    hostname: str, greeting: str, *, max_message: int = 10 * 1024 * 1024, announce_size: bool = False
) -> Offer:
    """What SES offers (SES: smtp §2)."""
    return Offer(
        hostname,
        greeting,
        SUBMISSION_WORDS,
        auth=("PLAIN", "LOGIN"),
        require_tls=True,
        require_auth=True,
        max_message=max_message,
        announce_size=announce_size,
    )


def mx_offer(hostname: str, greeting: str, *, max_message: int = 40 * 1024 * 1024, starttls: bool = True) -> Offer:
    """What a good MX offers."""
    return Offer(
        hostname,
        greeting,
        MX_WORDS,
        announce_size=True,
        pipelining=True,
        smtputf8=True,
        enhanced_codes=True,
        chunking=True,
        starttls=starttls,
        max_message=max_message,
        max_recipients=100,  # RFC 5321 §4.5.3.1.8: not fewer
    )
