"""Content: the message between DATA and its final dot: finding the end, dots, long lines.

Careful: only CRLF . CRLF ends the data. A server that also takes ``LF . LF`` or the like lets a sender smuggle a second
message in (RFC 5321 §4.1.1.4, CVE-2023-51764 and its sisters).
"""

from __future__ import annotations

from mailstead.proto.newlines import normalize

_END = b"\r\n.\r\n"
_SMALL = 4096  # octets: many pieces smaller than that are put together, for each costs forty octets more than it holds
_MANY = 256


class DataReader:
    """Gathers the content of one DATA command from pieces. Past ``limit`` octets it reads on and keeps nothing."""

    __slots__ = ("_chunks", "_limit", "_size", "_small", "_tail", "dotted")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._chunks: list[bytes] = []
        self._small = 0
        self._size = 0
        self._tail = b"\r\n"  # the line end of the DATA command itself: a dot may follow at once
        self.dotted = False
        """May a line begin with a dot? If not there is nothing to unstuff."""

    def take(self, data: bytes) -> int:
        """Take a piece; the index behind the end of the content in it, or -1 if the end has not come."""
        after = self._end_of(data)
        if after < 0:
            self._tail = data[-4:] if len(data) >= 4 else (self._tail + data)[-4:]
            self._keep(data)
        else:
            self._keep(data[:after])
        return after

    @property
    def overflow(self) -> bool:
        """Is it more than is kept?"""
        return self._size > self._limit

    @property
    def held(self) -> int:
        """Octets that are kept."""
        return 0 if self.overflow else self._size

    def drop(self) -> None:
        """Keep nothing more, as past the limit."""
        self._limit = -1
        self._chunks.clear()

    def _end_of(self, data: bytes) -> int:
        tail = self._tail
        after = self._end_in(tail + data[:4])  # across the border of two pieces
        return after - len(tail) if after >= 0 else self._end_in(data)

    def _end_in(self, text: bytes) -> int:
        dot = text.find(b"\r\n.")
        if dot < 0 or text.startswith(_END, dot):
            return dot + 5 if dot >= 0 else -1
        self.dotted = True
        end = text.find(_END, dot)
        return end + 5 if end >= 0 else -1

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._limit:
            self._chunks.clear()
        else:
            self._chunks.append(data)
            self._small = _put_together(self._chunks, self._small) if len(data) < _SMALL else 0

    def raw(self) -> bytes:
        """What stood before the final dot, with the CRLF of its last line."""
        chunks = self._chunks
        if len(chunks[-1]) >= 3:
            chunks[-1] = chunks[-1][:-3]
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)
        return b"".join(chunks)[:-3]


def _put_together(pieces: list[bytes], small: int) -> int:
    """Join the last pieces if they are many and small; ``small``: how many were before this one. How many are now."""
    if small + 1 < _MANY:
        return small + 1
    pieces[-_MANY:] = [b"".join(pieces[-_MANY:])]
    return 0


class ChunkReader:
    """Gathers the chunks of BDAT commands. Of a refused chunk, or past ``limit`` octets, nothing is kept."""

    __slots__ = ("_limit", "_pieces", "_small", "begun", "keep", "last", "left", "size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._small = 0
        self.size = 0
        """Octets of all chunks so far."""
        self.begun = 0
        """Octets of this chunk."""
        self.left = 0
        """Octets of this chunk that have not come."""
        self.last = False
        self.keep = True

    @property
    def overflow(self) -> bool:
        return self.size > self._limit

    @property
    def held(self) -> int:
        """Octets that are kept."""
        return 0 if self.overflow or not self.size else self.size - self.left * self.keep

    def drop(self) -> None:
        """Keep nothing more, as past the limit."""
        self._limit = -1
        self._pieces.clear()

    def begin(self, size: int, *, last: bool, keep: bool) -> None:
        """The next chunk of so many octets."""
        self.begun = self.left = size
        self.last, self.keep = last, keep
        if keep:
            self.size += size
        if self.overflow:
            self._pieces.clear()
            self._small = 0

    def take(self, data: bytes) -> None:
        """Take a piece, at most ``left`` octets."""
        self.left -= len(data)
        if self.keep and not self.overflow:
            self._pieces.append(data)
            self._small = _put_together(self._pieces, self._small) if len(data) < _SMALL else 0

    def raw(self) -> bytes:
        """All chunks as one."""
        return b"".join(self._pieces)


def unstuff(data: bytes, *, bare: bool) -> bytes:
    """Without the dots that the client put before lines that begin with one (RFC 5321 §4.5.2)."""
    if bare:
        return _unstuff_bare(data)
    if data.startswith(b"."):
        data = data[1:]
    return data.replace(b"\r\n.", b"\r\n") if b"\r\n." in data else data


def _unstuff_bare(data: bytes) -> bytes:
    """Where bare newlines are about: a dot that stands alone on a line is content, not stuffing; two dots behind a bare
    LF are one, stuffed by a client that takes LF for a line end (Python's smtplib with bytes).

    Not by a regex: ten million dots are as many pieces for it, and seconds.
    """
    data = (b"\r\n" + data).replace(b"\r\n..", b"\r\n...").replace(b"\n..", b"\n.")
    for end in (b"\r", b"\r", b"\n"):  # CR twice: what it ends may begin the next one
        data = data.replace(b"\r\n." + end, b"\r\n.." + end)
    if data.endswith(b"\r\n."):
        data += b"."
    return data.replace(b"\r\n.", b"\r\n")[2:]


def stuff(data: bytes) -> bytes:
    """Ready to be sent before a final ``.`` line: CRLF only, a CRLF at the end, dots doubled at line starts."""
    data = normalize(data)
    if b"\r\n." in data:
        data = data.replace(b"\r\n.", b"\r\n..")
    if data.startswith(b"."):
        data = b"." + data
    return data if data.endswith(b"\r\n") or not data else data + b"\r\n"


def has_long_line(data: bytes, limit: int) -> bool:
    """Is a line longer than ``limit`` octets, its CRLF not counted? Looks at one place every ``limit`` octets or so."""
    start, length = 0, len(data)
    while length - start > limit:
        end = data.rfind(b"\n", start, start + limit + 2)
        if end < 0:
            return True
        start = end + 1
    return False
