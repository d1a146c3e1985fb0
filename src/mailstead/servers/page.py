"""Page: the sheet that everything an outsider is shown is written on: plain, readable anywhere, asking nobody else.

One style for all, in the page itself: no script, no image, no font and no request to anywhere.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape

_STYLE = (
    ":root{color-scheme:light dark}"
    "body{margin:0;font:1.05rem/1.6 system-ui,sans-serif;background:#f4f5f7;color:#1d232b}"
    "main{box-sizing:border-box;max-width:36rem;margin:8vh auto;padding:2rem;background:#fff;border-radius:.75rem}"
    "h1{margin:0 0 1rem;font-size:1.5rem;line-height:1.25}p{margin:0 0 1rem;overflow-wrap:anywhere}"
    "label{display:block;padding:.35rem 0}"
    "button{font:inherit;padding:.6rem 1.2rem;border:0;border-radius:.5rem;background:#1a56b0;color:#fff}"
    ":focus-visible{outline:3px solid #e09600;outline-offset:2px}"
    "@media(max-width:40rem){main{margin:0;min-height:100vh;border-radius:0;padding:1.5rem}}"
    "@media(prefers-color-scheme:dark){body{background:#15181d;color:#e6e9ee}main{background:#20252c}}"
)
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
"""The Content-Security-Policy that this sheet needs, and no more (CSP level 3 §6)."""


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{escape(text)}</p>\n"


def sheet(title: str, body: str) -> bytes:
    """A whole document.

    Args:
        title: plain text: the window's title and the heading.
        body: HTML of ours, in which everything that came from outside is escaped.
    """
    shown = escape(title)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{shown}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>{shown}</h1>\n{body}</main>\n</body>\n</html>\n"
    ).encode()
