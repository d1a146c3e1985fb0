"""Mail HTML: what may stand in a mail that asks for an address, what may not, and its pictures."""

from __future__ import annotations

import base64
import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstead.base.errors import Invalid
from mailstead.proto.mail_html import check, pictures

PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\nnot much of a picture").decode()


@pytest.mark.parametrize(
    "html",
    [
        "plain words & more",
        "<html><head><title>x</title></head><body style='color:red;'><h1 class=a>Hi</h1><br/></body></html>",
        '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd"><p>x',
        '<a href="https://example.com/?a=b&amp;c=<d>" title="a > b">x</a><a href="mailto:a@b.test">y</a>',
        '<img src="https://example.com/a.png" alt=\'"\' width=1 height = "2">',
        "<!-- a comment --><P ALIGN=left>x</P >",
        "<table><tr><td colspan=2 nowrap>x</td></tr></table>",
        "제목 \U0001f600",
    ],
)
def test_usual_mail(html: str) -> None:
    check(html)
    assert pictures(html) == (html, ())


@pytest.mark.parametrize(
    ("html", "named"),
    [
        ("<script>alert(1)</script>", "the tag <script>"),
        ("<ScRiPt >", "the tag <script>"),
        ("<iframe src=https://a.test>", "the tag <iframe>"),
        ("<form action=https://a.test>", "the tag <form>"),
        ("<style>p{}</style>", "the tag <style>"),
        ("<svg>", "the tag <svg>"),
        ("<meta http-equiv=refresh>", "the tag <meta>"),
        ("<p onclick='x()'>", "the attribute onclick of <p>"),
        ("<p/onclick=x>", "the attribute onclick of <p>"),
        ("<img srcset=x>", "the attribute srcset of <img>"),
        ('<a href="javascript:x">', "the address in href"),
        ('<a href="&#106;ava\tscript:x">', "the address in href"),
        ('<a href="//evil.test">', "the address in href"),
        ('<a href=" data:text/html,x">', "the address in href"),
        ('<img src="file:///etc/passwd">', "the address in src"),
        ('<p style="background:url(javascript:x)">', "the style of a tag"),
        ('<p style="width:\\65xpression(x)">', "the style of a tag"),
        ('<p class="a>', "a tag that cannot be read"),
        ("<p", "a tag that cannot be read"),
        ("a < b", "a tag that cannot be read"),
        ("<p <b>", "a tag that cannot be read"),
        ("</p class=a>", "attributes in </p>"),
        ('<p class="a"=>', "an attribute of <p> that cannot be read"),
        ('<p "\'">', "an attribute of <p> that cannot be read"),
        ("<!--[if mso]><p>x<![endif]-->", "a comment or declaration"),
        ("<!--><p>-->", "a comment or declaration"),
        ("<!-- a --!> <p> -->", "a comment or declaration"),
        ("<!-- a", "a comment or declaration"),
        ("<![CDATA[x]]>", "a comment or declaration"),
        ("<?php ?>", "a tag that cannot be read"),
        ('<img src="data:text/html;base64,eA==">', "a data: address"),
        ('<img src="data:image/svg+xml;base64,eA==">', "a data: address"),
        ('<img src="data:image/png;base64,e">', "a picture that is not base64"),
    ],
)
def test_what_is_refused_is_named(html: str, named: str) -> None:
    with pytest.raises(Invalid) as caught:
        check(html)
    assert named in caught.value.message
    assert caught.value.kind == "custom-verification-content"


def test_pictures_become_parts() -> None:
    html = f'<p>a</p><img alt="x" src="data:image/png;base64,{PIXEL}"><img src=\'data:image/png;base64,{PIXEL}\'>b'
    changed, (part,) = pictures(html)
    assert changed == f'<p>a</p><img alt="x" src="cid:{part.content_id}"><img src=\'cid:{part.content_id}\'>b'
    assert part.content == base64.b64decode(PIXEL)
    assert (part.content_type, part.disposition) == ("image/png", "inline")


def test_so_many_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailstead.proto.mail_html.MAX_PICTURES", 2)
    made = [base64.b64encode(bytes([n])).decode() for n in range(3)]
    html = [f'<img src="data:image/gif;base64,{one}">' for one in made]
    assert len(pictures("".join(html[:2]))[1]) == 2
    with pytest.raises(Invalid, match="more than 2 pictures"):
        pictures("".join(html))


@pytest.mark.parametrize(
    "html",
    [
        "<" * 1_000_000,
        "<p " + "a " * 500_000,
        "<p " + "class " * 300_000 + ">",
        "<p class=" + "'" * 1_000_001,
        '<p "' + "'\"" * 500_000,
        "<!--" * 250_000,
        "<!doctype " * 100_000,
        "<p>" * 300_000,
        "<p" + " " * 1_000_000 + ">",
        "<p" + "/" * 1_000_000 + "'>",
        '<img src="data:image/png;base64,' + " " * 1_000_000 + '!">',
        "&" * 1_000_000,
        '<a href="' + "&#x" * 300_000 + '">',
    ],
    ids=range(13),
)
def test_nothing_takes_long(html: str) -> None:
    begun = time.monotonic()
    with contextlib.suppress(Invalid):
        check(html)
    assert time.monotonic() - begun < 2


@given(st.text(alphabet="<>!-/'\"= apsrc:dt\n&#x;[]", max_size=200))
def test_random_markup_is_taken_or_refused(html: str) -> None:
    refusal, changed = "", ""
    try:
        changed, _ = pictures(html)
    except Invalid as error:
        refusal = error.message
    assert not refusal or refusal.startswith("The template content contains what is not allowed: ")
    check(changed)
