"""Standards page: writes docs/standards.md: each RFC that the code cites or will need, its state, and who cites it.

``--check`` changes nothing and fails when the page is not what would be written. An RFC without a row here is an error.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "standards.md"
_CITED = re.compile(r"\bRFC (\d{3,5})\b")

HEAD = """# Standards

Written by `make docs` from the source; change `tools/make_standards_page.py`, not this page.
**yes**: done in full where it concerns us; **partly**: what is missing is said; **planned**: in a later issue;
**no**: on purpose.

| RFC | title | state | cited in |
|---|---|---|---|
"""

# number: (title, state, what is missing or why not)
STANDARDS: Mapping[int, tuple[str, str, str]] = {
    821: ("SMTP (old)", "yes", "as RFC 5321"),
    822: ("Internet message format (old)", "yes", "as RFC 5322"),
    1034: ("Domain names: concepts", "yes", "as a client"),
    1035: ("Domain names: implementation", "yes", "as a client"),
    1123: ("Requirements for Internet hosts", "yes", "what it says of mail"),
    1591: ("Domain name structure", "partly", "which country a name is of"),
    1652: ("8bit-MIMEtransport (old)", "yes", "as RFC 6152"),
    1846: ("SMTP 521 reply code (old)", "yes", "as RFC 7504"),
    1870: ("SMTP SIZE", "yes", ""),
    1918: ("Private addresses", "yes", ""),
    1939: ("POP3", "planned", ""),
    1982: ("Serial number arithmetic", "yes", ""),
    2034: ("SMTP ENHANCEDSTATUSCODES", "yes", ""),
    2045: ("MIME part one: bodies", "yes", ""),
    2046: ("MIME part two: media types", "yes", ""),
    2047: ("MIME part three: encoded words", "yes", ""),
    2049: ("MIME part five: conformance", "yes", ""),
    2104: ("HMAC", "yes", ""),
    2142: ("Mailbox names for common services", "partly", "postmaster and abuse"),
    2181: ("Clarifications to DNS", "yes", ""),
    2183: ("Content-Disposition", "yes", ""),
    2231: ("MIME parameter values", "yes", ""),
    2308: ("Negative caching of DNS queries", "yes", ""),
    2369: ("List-* header fields", "partly", "List-Unsubscribe in mail of contact lists, without mailto"),
    2387: ("multipart/related", "yes", ""),
    2557: ("MHTML: Content-Location", "yes", "for attachments"),
    2781: ("UTF-16", "yes", ""),
    2782: ("SRV records", "planned", ""),
    2818: ("HTTP over TLS", "yes", ""),
    2821: ("SMTP (old)", "yes", "as RFC 5321"),
    2822: ("Internet message format (old)", "yes", "as RFC 5322"),
    2852: ("SMTP DELIVERBY", "no", ""),
    2920: ("SMTP PIPELINING", "yes", ""),
    2978: ("IANA charset names", "yes", ""),
    3030: ("SMTP CHUNKING and BINARYMIME", "partly", "BINARYMIME is not offered"),
    3207: ("SMTP STARTTLS", "yes", ""),
    3339: ("Timestamps", "yes", ""),
    3461: ("SMTP DSN extension", "planned", "not offered"),
    3462: ("multipart/report (old)", "yes", "as RFC 6522"),
    3463: ("Enhanced status codes", "yes", ""),
    3464: ("Delivery status notifications", "partly", "written, not yet read"),
    3492: ("Punycode", "yes", ""),
    3501: ("IMAP4rev1", "planned", ""),
    3596: ("AAAA records", "yes", ""),
    3676: ("text/plain format=flowed", "yes", "carried unchanged"),
    3696: ("Checking and transforming names", "yes", ""),
    3834: ("Automatic responses", "yes", "Auto-Submitted on notices"),
    3848: ("ESMTP transmission types", "yes", ""),
    3986: ("URI syntax", "yes", ""),
    4035: ("DNSSEC protocol", "planned", "the resolver's AD flag"),
    4193: ("Unique local IPv6 addresses", "yes", ""),
    4291: ("IPv6 addressing", "yes", ""),
    4422: ("SASL", "yes", ""),
    4592: ("DNS wildcards", "yes", "as a client"),
    4616: ("SASL PLAIN", "yes", ""),
    4180: ("CSV files", "partly", "no line breaks inside of a field that is read"),
    4648: ("Base16, Base32, Base64", "yes", ""),
    4871: ("DKIM (old)", "yes", "as RFC 6376"),
    4954: ("SMTP AUTH", "yes", ""),
    5034: ("POP3 SASL", "planned", ""),
    5208: ("PKCS #8", "yes", "through cryptography"),
    5228: ("Sieve", "planned", ""),
    5246: ("TLS 1.2", "yes", "through OpenSSL"),
    5248: ("Registry of enhanced status codes", "yes", ""),
    5280: ("X.509 certificates", "yes", "through cryptography"),
    5321: ("SMTP", "yes", ""),
    5322: ("Internet message format", "yes", ""),
    5735: ("Special-use IPv4 addresses (old)", "yes", "as RFC 6890"),
    5751: ("S/MIME", "no", "carried unchanged"),
    5782: ("DNS block lists", "partly", "asked about our own addresses; mail from outside is not checked by them"),
    5869: ("HKDF", "yes", ""),
    5890: ("IDNA 2008: definitions", "yes", ""),
    5891: ("IDNA 2008: protocol", "yes", ""),
    5952: ("IPv6 text form", "yes", ""),
    5965: ("ARF feedback reports", "planned", ""),
    6068: ("mailto URI", "planned", ""),
    6125: ("Service identity in TLS", "planned", "with MTA-STS and DANE"),
    6152: ("SMTP 8BITMIME", "yes", ""),
    6052: ("IPv4 addresses inside IPv6 ones", "yes", "known as private where the inner one is"),
    6376: ("DKIM signatures", "yes", ""),
    6409: ("Message submission", "yes", ""),
    6522: ("multipart/report", "yes", ""),
    6530: ("Internationalized mail: framework", "yes", ""),
    6531: ("SMTPUTF8", "yes", ""),
    6532: ("Internationalized headers", "yes", ""),
    6533: ("Internationalized DSN", "partly", "utf-8 address type in notices"),
    6585: ("Additional HTTP status codes", "yes", "429"),
    6698: ("DANE TLSA", "planned", ""),
    6724: ("Default address selection", "yes", "the system's order"),
    6761: ("Special-use domain names", "yes", ""),
    6762: ("Multicast DNS", "no", ".local is never looked up"),
    6840: ("DNSSEC clarifications", "partly", "the AD flag is read"),
    6890: ("Special-purpose addresses", "yes", ""),
    6891: ("EDNS", "yes", "through dnspython"),
    7001: ("Authentication-Results (old)", "yes", "as RFC 8601"),
    7208: ("SPF", "partly", "evaluated; nothing asks for it yet"),
    7230: ("HTTP/1.1 syntax (old)", "yes", "through httptools"),
    7231: ("HTTP/1.1 semantics (old)", "yes", "through httptools"),
    7435: ("Opportunistic security", "yes", ""),
    7468: ("PEM", "yes", "through cryptography"),
    7489: ("DMARC (old)", "planned", "what its records still say"),
    7504: ("SMTP 521 and 556", "yes", ""),
    7505: ("Null MX", "yes", ""),
    7578: ("multipart/form-data", "partly", "read in the one click of RFC 8058; no files"),
    7672: ("SMTP with DANE", "planned", ""),
    7766: ("DNS over TCP", "yes", "through dnspython"),
    7817: ("TLS server identity for mail clients", "planned", ""),
    8017: ("PKCS #1", "yes", "through cryptography"),
    8020: ("NXDOMAIN: nothing underneath", "yes", ""),
    8032: ("Ed25519", "yes", "through cryptography"),
    8058: ("One-click unsubscribe", "yes", ""),
    8098: ("Message disposition notifications", "no", "carried unchanged"),
    8259: ("JSON", "yes", ""),
    8301: ("DKIM: rsa-sha256, key sizes", "yes", ""),
    8305: ("Happy eyeballs", "no", "hosts are tried in order, as RFC 5321 says"),
    8314: ("Cleartext considered obsolete", "yes", "submissions, and TLS before AUTH"),
    8375: ("home.arpa.", "yes", ""),
    8446: ("TLS 1.3", "yes", "through OpenSSL"),
    8460: ("SMTP TLS reporting", "planned", ""),
    8461: ("MTA-STS", "planned", ""),
    8463: ("DKIM: Ed25519", "yes", ""),
    8601: ("Authentication-Results", "partly", "a caller's are removed; ours come with receiving"),
    8616: ("Email authentication for internationalized mail", "partly", "DKIM, SPF"),
    8617: ("ARC", "planned", ""),
    8689: ("SMTP REQUIRETLS", "planned", ""),
    9051: ("IMAP4rev2", "planned", ""),
    9110: ("HTTP semantics", "yes", "through httptools"),
    9112: ("HTTP/1.1", "yes", "through httptools"),
    9476: (".alt", "yes", ""),
    9499: ("DNS terminology", "yes", ""),
    9562: ("UUIDs", "yes", "version 4"),
    9989: ("DMARC", "planned", ""),
    9990: ("DMARC aggregate reports", "planned", ""),
    9991: ("DMARC failure reports", "planned", ""),
}


def citations(files: Iterable[Path], root: Path = ROOT) -> dict[int, list[str]]:
    """RFC number → the files that cite it, relative to ``root`` and sorted."""
    found: dict[int, set[str]] = {}
    for file in files:
        for number in _CITED.findall(file.read_text()):
            found.setdefault(int(number), set()).add(file.relative_to(root).as_posix())
    return {number: sorted(names) for number, names in sorted(found.items())}


def unknown(cited: Mapping[int, list[str]]) -> list[str]:
    """A line for each cited RFC without a row."""
    return [
        f"RFC {number} has no row in tools/make_standards_page.py (cited in {', '.join(files)})"
        for number, files in cited.items()
        if number not in STANDARDS
    ]


def page(cited: Mapping[int, list[str]]) -> str:
    """The whole page: what is cited, and what is planned or declined though nothing cites it yet."""
    rows = []
    for number, (title, state, note) in sorted(STANDARDS.items()):
        if number not in cited and state not in {"planned", "no"}:
            continue
        where = ", ".join(f"`{name.removeprefix('src/mailstead/')}`" for name in cited.get(number, []))
        link = f"[{number}](https://www.rfc-editor.org/rfc/rfc{number})"
        rows.append(f"| {link} | {title} | {state}{f': {note}' if note else ''} | {where} |")
    return HEAD + "\n".join(rows) + "\n"


def main(words: list[str]) -> int:
    """Write the page, or check it."""
    cited = citations(sorted((ROOT / "src").rglob("*.py")))
    if lines := unknown(cited):
        print("\n".join(lines), file=sys.stderr)
        return 1
    wanted = page(cited)
    if "--check" not in words:
        PAGE.write_text(wanted)
    elif not PAGE.exists() or PAGE.read_text() != wanted:
        print("docs/standards.md is not what the source says: run `make docs`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
