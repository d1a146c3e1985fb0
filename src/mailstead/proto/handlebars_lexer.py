"""Handlebars, words: a template as text and tags, with the white space taken out that tags do not leave behind.

A tag that stands alone on its line (block, else, comment, partial) takes the line with it; ``~`` takes all white space
on its side.  Bounded: tags in a template, words in a tag.  Time is linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mailstead.base.errors import Invalid

MAX_TAGS = 20_000
MAX_WORDS = 200
"""Words inside one tag."""

# White space as ECMAScript has it; Python's own differs at the edges.
BLANKS = "\t\n\v\f\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(map(chr, range(0x2000, 0x200B)))

ALONE = frozenset({"open", "inverted", "inline", "else", "close", "partial", "comment"})
"""Kinds of tags that take their line with them when they stand alone on it."""

_SEGMENT = r"(?:\[[^\]]*\]|[^\s!\"#%-,./;->@\[-^`{-~]+)"
_END = r"(?=[=~}\s)|])"
_WORD = re.compile(
    r"(?P<end>\}?~?\}\})"
    r"|(?P<names>as\s+\|[^|}]*\|)"
    r"|(?P<string>\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')"
    rf"|(?P<number>-?[0-9]{{1,18}}(?:\.[0-9]{{1,18}})?){_END}"
    rf"|(?P<path>@?(?:\.\.|\.|{_SEGMENT})(?:[./](?:\.\.|{_SEGMENT}))*){_END}"
    r"|(?P<mark>[()=])",
    re.DOTALL,
)
_SIGN = re.compile(r"(~?)\s*(\#\*|\#>|else(?=[\s~}])|[{&#^/>*!]|)\s*")
_SPACE = re.compile(r"\s*")
_COMMENT_END = re.compile(r"~?\}\}")
_LONG_COMMENT_END = re.compile(r"--~?\}\}")
_KINDS = {
    "": "value",
    "&": "value",
    "{": "value",
    "#": "open",
    "^": "inverted",
    "#*": "inline",
    "else": "else",
    "/": "close",
    ">": "partial",
}

Word = tuple[str, str]
"""Kind (``path``, ``string``, ``number``, ``names``, ``mark``) and text."""


@dataclass(frozen=True, slots=True)
class Tag:
    """``{{…}}``."""

    kind: str
    """``value``, ``open``, ``inverted``, ``inline``, ``else``, ``close``, ``partial`` or ``comment``."""
    words: tuple[Word, ...]
    at: int
    """Where it begins."""
    left: bool = False
    """``{{~``."""
    right: bool = False
    """``~}}``."""
    alone: bool = False
    """Its line goes with it."""
    indent: str = ""
    """Of a partial that stands alone: what its lines are indented by."""


Piece = str | Tag


def wrong(template: str, at: int, what: str) -> Invalid:
    """A template that is none: what is wrong and where."""
    return Invalid(f"{what} (line {template.count(chr(10), 0, at) + 1})", kind="template")


def pieces(template: str) -> list[Piece]:
    """Text and tags in order, trimmed.

    Raises:
        Invalid: kind ``template``: not a template.
    """
    found = _split(template)
    _find_alone(found)
    return [_trimmed(found, n) if isinstance(piece, str) else piece for n, piece in enumerate(found)]


def _split(template: str) -> list[Piece]:
    found: list[Piece] = []
    begin = look = 0
    tags = 0
    while (at := template.find("{{", look)) >= 0:
        text = template[begin:at]
        if text.endswith("\\") and not text.endswith("\\\\"):  # \{{ is text
            _keep(found, text[:-1])
            begin, look = at, at + 2
            continue
        _keep(found, text[:-1] if text.endswith("\\\\") else text)
        tags += 1
        if tags > MAX_TAGS:
            raise wrong(template, at, f"The template has more than {MAX_TAGS} tags")
        tag, begin = _tag(template, at)
        look = begin
        found.append(tag)
    _keep(found, template[begin:])
    return found


def _keep(found: list[Piece], text: str) -> None:
    if text:
        found.append(text)


def _tag(template: str, at: int) -> tuple[Tag, int]:
    """The tag that begins here, and where it ends."""
    if template.startswith("{{{{", at):
        raise wrong(template, at, "Raw blocks are not supported")
    sign = _SIGN.match(template, at + 2)
    assert sign is not None
    if sign[2] == "!":
        return _comment(template, at, sign)
    if sign[2] not in _KINDS:
        raise wrong(template, at, f"{{{{{sign[2]} is not supported")
    words, end, right = _words(template, at, sign.end(), triple=sign[2] == "{")
    kind = _KINDS[sign[2]]
    if kind == "inverted" and not words:
        kind = "else"
    return Tag(kind, words, at, sign[1] == "~", right), end


def _comment(template: str, at: int, sign: re.Match[str]) -> tuple[Tag, int]:
    after = sign.start(2) + 1
    long = template.startswith("--", after)
    end = (_LONG_COMMENT_END if long else _COMMENT_END).search(template, after)
    if end is None:
        raise wrong(template, at, "A comment is not closed")
    return Tag("comment", (), at, sign[1] == "~", "~" in end[0]), end.end()


def _words(template: str, at: int, begin: int, *, triple: bool) -> tuple[tuple[Word, ...], int, bool]:
    """Words up to the end of the tag, where that is, and whether it ends with ``~``."""
    words: list[Word] = []
    while True:
        word = _WORD.match(template, begin)
        if word is None or len(words) > MAX_WORDS:
            raise wrong(template, at, f"A tag is not closed or has something unexpected in it: {_shown(template, at)}")
        kind = str(word.lastgroup)
        if kind == "end":
            break
        words.append((kind, word[0]))
        space = _SPACE.match(template, word.end())
        assert space is not None
        begin = space.end()
    close, end = word[0], word.end()
    if close == "}}}" and not triple:
        return tuple(words), end - 1, False  # the third brace is text
    if (close in ("}}}", "}~}}")) != triple:
        raise wrong(template, at, f"A tag is not closed: {_shown(template, at)}")
    return tuple(words), end, "~" in close


def _shown(template: str, at: int) -> str:
    return template[at : at + 40].split("\n", 1)[0]


def _find_alone(found: list[Piece]) -> None:
    for n, piece in enumerate(found):
        if isinstance(piece, Tag) and piece.kind in ALONE and _begins_line(found, n) and _ends_line(found, n):
            before = found[n - 1] if n else ""
            indent = before[len(before.rstrip(" \t")) :] if isinstance(before, str) else ""
            found[n] = replace(piece, alone=True, indent=indent if piece.kind == "partial" else "")


def _begins_line(found: Sequence[Piece], n: int) -> bool:
    if n == 0:
        return True
    before = found[n - 1]
    if not isinstance(before, str):
        return False
    bare = before.rstrip(BLANKS)
    return "\n" in before[len(bare) :] or (n == 1 and not bare)


def _ends_line(found: Sequence[Piece], n: int) -> bool:
    if n + 1 == len(found):
        return True
    after = found[n + 1]
    if not isinstance(after, str):
        return False
    bare = after.lstrip(BLANKS)
    return "\n" in after[: len(after) - len(bare)] or (n + 2 == len(found) and not bare)


def _trimmed(found: Sequence[Piece], n: int) -> str:
    """A text without what the tags beside it take."""
    text = found[n]
    assert isinstance(text, str)
    before, after = (found[n - 1] if n else None), (found[n + 1] if n + 1 < len(found) else None)
    if isinstance(before, Tag):
        if before.right:
            text = text.lstrip(BLANKS)
        elif before.alone:
            text = text.lstrip(" \t").removeprefix("\r").removeprefix("\n")
    if isinstance(after, Tag):
        if after.left:
            text = text.rstrip(BLANKS)
        elif after.alone:
            text = text.rstrip(" \t")
    return text
