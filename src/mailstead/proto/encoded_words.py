"""Encoded words: text beyond ASCII in header fields (RFC 2047, with the language tag of RFC 2231 §5)."""

from __future__ import annotations

import base64
import binascii
import re
from itertools import groupby

from mailstead.proto import charsets

# Careful: blanks inside a Q word are against RFC 2047 §2, but often sent and harmless to read.
_WORD = re.compile(r"=\?([A-Za-z0-9_.:*+-]{1,60})\?([BbQq])\?([^?\r\n]*)\?=")
_BLANK = re.compile(r"[ \t\r\n]*")
_HEX = re.compile(rb"=([0-9A-Fa-f]{2})")
_Q_UNSAFE = re.compile(rb"[^A-Za-z0-9!*+\-/]")  # RFC 2047 §5 (3): the set that is safe in a phrase
MAX_WORD = 75  # RFC 2047 §2


def _q_bytes(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape").replace(b"_", b" ")
    return _HEX.sub(lambda found: bytes((int(found[1], 16),)), raw)


def decode_base64(text: bytes) -> bytes:
    """Base64 as sent in real life, without padding, with stray characters; never fails."""
    clean = re.sub(rb"[^A-Za-z0-9+/]++", b"", text)
    if len(clean) % 4 == 1:  # no byte fits into six bits
        clean = clean[:-1]
    try:
        return base64.b64decode(clean + b"=" * (-len(clean) % 4))
    except binascii.Error:
        return b""


def _bytes_of(word: re.Match[str]) -> bytes:
    return decode_base64(word[3].encode("ascii", "ignore")) if word[2] in "Bb" else _q_bytes(word[3])


def decode(text: str) -> str:
    """Text of a field with its encoded words read; never fails.

    Blanks between adjacent words go (RFC 2047 §6.2), and the bytes of adjacent words in one charset are read together:
    senders cut characters of several bytes, and shift states, in two.
    """
    if "=?" not in text:
        return text
    return "".join(_pieces(text))


def _pieces(text: str) -> list[str]:
    out: list[str] = []
    run: list[tuple[str, bytes]] = []
    at = 0
    for word in _WORD.finditer(text):
        between = text[at : word.start()]
        if not run or not _BLANK.fullmatch(between):
            out.append(_joined(run))
            out.append(between)
            run = []
        run.append((word[1].partition("*")[0].lower(), _bytes_of(word)))
        at = word.end()
    return [*out, _joined(run), text[at:]]


def _joined(run: list[tuple[str, bytes]]) -> str:
    parts: list[str] = []
    for charset, words in groupby(run, key=lambda item: item[0]):
        parts.append(charsets.decode(b"".join(data for _, data in words), charset))
    return "".join(parts)


def _b_word(data: bytes, charset: str) -> str:
    return f"=?{charset}?B?{base64.b64encode(data).decode()}?="


def _q_word(data: bytes, charset: str) -> str:
    text = _Q_UNSAFE.sub(lambda found: b"_" if found[0] == b" " else b"=%02X" % found[0][0], data)
    return f"=?{charset}?Q?{text.decode()}?="


def encode(text: str, charset: str = "UTF-8", *, width: int = MAX_WORD) -> list[str]:
    """Words of at most ``width`` characters for a text, each with whole characters; to be joined by a blank or a fold.

    Q where most is ASCII, B elsewhere.

    Raises:
        UnicodeEncodeError: the charset cannot write the text.
        LookupError: we do not know the charset.
    """
    codec = charsets.codec(charset)
    if codec is None:
        raise LookupError(charset)
    data = text.encode(codec)
    stateful = codec.startswith(("iso2022", "hz", "utf-7", "utf-16", "utf-32"))
    word = _b_word if stateful or len(data.translate(None, _ASCII)) * 2 > len(data) else _q_word
    return [
        word(piece.encode(codec), charset) for piece in _cut(text, codec, width - len(charset) - 7, word is _b_word)
    ]


_ASCII = bytes(range(0x20, 0x7F))


def _cut(text: str, codec: str, room: int, is_b: bool) -> list[str]:
    """Pieces of a text whose words keep the limit, each as long as a quick estimate allows."""
    limit = room // 4 * 3 if is_b else room
    pieces: list[str] = []
    start = size = 0
    for index, char in enumerate(text):
        cost = _cost(char, codec, is_b)
        if size + cost > limit and index > start:
            pieces.append(text[start:index])
            start, size = index, 0
        size += cost
    return [*pieces, text[start:]]


def _cost(char: str, codec: str, is_b: bool) -> int:
    """Bytes (B) or characters (Q) one more character may add, shift sequences of stateful charsets included."""
    if is_b:
        return len(char.encode(codec))
    if char.isascii():
        return 1 if char == " " or not _Q_UNSAFE.match(char.encode()) else 3
    return 3 * len(char.encode(codec))
