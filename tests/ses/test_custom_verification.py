"""Templates of verification mail on both databases: what may be kept, who sees it, whose address it comes from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailstead.base.errors import AlreadyExists, Invalid, LimitExceeded, NotFound
from mailstead.ses import custom_verification, identities, tags
from mailstead.ses.custom_verification import Template
from mailstead.store import wipe
from peers.database import Ground

A, B = "111111111111", "222222222222"
EAST, WEST = "us-east-1", "eu-west-1"
HELLO = Template(
    "hello", "shop@example.com", "Please confirm", "<p>Hi</p>", "https://example.com/yes", "https://example.com/no"
)


@pytest.fixture(autouse=True)
def _verified(ground: Ground) -> None:
    for account, region in ((A, EAST), (A, WEST), (B, EAST)):
        ground.run(
            lambda tx, account=account, region=region: identities.create(
                tx, account, region, "shop@example.com", verified=True
            )
        )


def create(ground: Ground, template: Template = HELLO, account: str = A, region: str = EAST, **more: object) -> None:
    ground.run(lambda tx: custom_verification.create(tx, account, region, template, **more))


def find(ground: Ground, name: str = "hello", account: str = A, region: str = EAST) -> Template | None:
    return ground.read(lambda tx: custom_verification.find(tx, account, region, name))


def names(ground: Ground, after: str = "", limit: int = 50) -> list[str]:
    rows = ground.read(lambda tx: custom_verification.list_page(tx, A, EAST, after=after, limit=limit))
    return [row.name for row in rows]


def test_kept_read_replaced_and_forgotten(ground: Ground) -> None:
    create(ground)
    assert find(ground) == HELLO
    other = Template("hello", "shop+x@example.com", "S", "제목 \r\n\U0001f600", "http://a.test", "http://b.test/?x=%20")
    ground.run(lambda tx: custom_verification.update(tx, A, EAST, other))
    assert find(ground) == other
    ground.run(lambda tx: custom_verification.delete(tx, A, EAST, "hello"))
    assert find(ground) is None


def test_what_is_not_there(ground: Ground) -> None:
    create(ground, account=B)
    create(ground, region=WEST)
    for verb, what in (("get", "hello"), ("ready", "hello"), ("delete", "hello"), ("update", HELLO)):
        with pytest.raises(NotFound) as caught:
            ground.run(lambda tx, verb=verb, what=what: getattr(custom_verification, verb)(tx, A, EAST, what))
        assert caught.value.kind == "custom-verification-template"
    assert find(ground, account=B) == find(ground, region=WEST) == HELLO


def test_a_name_is_there_once(ground: Ground) -> None:
    create(ground)
    with pytest.raises(AlreadyExists):
        create(ground, replace(HELLO, html="other"))
    assert find(ground) == HELLO


def test_the_sender_is_verified(ground: Ground) -> None:
    stranger = replace(HELLO, sender="x@other.test")
    ground.run(lambda tx: identities.create(tx, A, EAST, "x@other.test"))
    ground.run(lambda tx: identities.create(tx, B, EAST, "x@other.test", verified=True))
    create(ground)
    for verb in (custom_verification.create, custom_verification.update):
        with pytest.raises(Invalid) as caught:
            ground.run(lambda tx, verb=verb: verb(tx, A, EAST, stranger))
        assert caught.value.kind == "from-not-verified"
    ground.run(lambda tx: identities.delete(tx, A, EAST, "shop@example.com"))
    with pytest.raises(Invalid) as caught:
        ground.run(lambda tx: custom_verification.ready(tx, A, EAST, "hello"))
    assert caught.value.kind == "from-not-verified"


def test_so_many(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(custom_verification, "MAX_TEMPLATES", 2)
    for name in ("a", "b"):
        create(ground, replace(HELLO, name=name))
    with pytest.raises(LimitExceeded):
        create(ground, replace(HELLO, name="c"))
    with pytest.raises(AlreadyExists):
        create(ground, replace(HELLO, name="b"))
    create(ground, replace(HELLO, name="c"), region=WEST)
    create(ground, replace(HELLO, name="c"), account=B)


def test_lists_by_page_and_without_content(ground: Ground) -> None:
    for name in ("c", "a", "B", "d_1"):
        create(ground, replace(HELLO, name=name))
    create(ground, account=B)
    everything = names(ground)
    assert sorted(everything) == ["B", "a", "c", "d_1"]
    first = names(ground, limit=3)
    assert first + names(ground, after=first[-1]) == everything
    rows = ground.read(lambda tx: custom_verification.list_page(tx, A, EAST, after="", limit=9))
    assert {row.html for row in rows} == {""}


def test_tags_go_with_their_template(ground: Ground) -> None:
    create(ground, tagged={"team": "shop"})
    arn = f"arn:aws:ses:{EAST}:{A}:custom-verification-email-template/hello"
    resource = ground.read(lambda tx: tags.by_arn(tx, A, EAST, arn))
    assert ground.read(lambda tx: tags.of(tx, A, EAST, resource)) == {"team": "shop"}
    ground.run(lambda tx: custom_verification.delete(tx, A, EAST, "hello"))
    create(ground)
    assert ground.read(lambda tx: tags.of(tx, A, EAST, resource)) == {}


def test_a_wiped_account_has_none(ground: Ground) -> None:
    create(ground)
    create(ground, account=B)
    ground.run(lambda tx: wipe.wipe(tx, A))
    assert (find(ground), find(ground, account=B)) == (None, HELLO)


URL = "must be an http or https address"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"name": "a b"}, "Invalid template name"),
        ({"name": "a" * 65}, "Template name cannot exceed 64 characters."),
        ({"sender": "Shop <shop@example.com>"}, ""),
        ({"sender": "shop"}, "Missing final '@domain'"),
        ({"sender": "shop@example.com\r\nBcc: x@y.test"}, ""),
        ({"subject": ""}, "one line"),
        ({"subject": "a\r\nBcc: x@y.test"}, "one line"),
        ({"subject": "a" * 999}, "one line"),
        ({"html": ""}, "The template content must be specified."),
        ({"html": "<script>"}, "the tag <script>"),
        ({"success_url": "javascript:alert(1)"}, f"SuccessRedirectionURL {URL}"),
        ({"failure_url": "ftp://a.test"}, f"FailureRedirectionURL {URL}"),
        ({"success_url": ""}, URL),
        ({"success_url": "//a.test"}, URL),
        ({"success_url": "https://"}, URL),
        ({"success_url": "https:///x"}, URL),
        ({"success_url": "https://a.test@evil.test/"}, URL),
        ({"success_url": "https://a.test\\@evil.test/"}, URL),
        ({"success_url": "https://a.test/\r\nSet-Cookie: x"}, URL),
        ({"success_url": "https://a.test/ b"}, URL),
        ({"success_url": "https://ä.test/"}, URL),
        ({"success_url": "https://[::1/"}, URL),
        ({"success_url": "https://a.test/" + "a" * 2000}, URL),
    ],
)
def test_what_may_not_be_kept(change: dict[str, str], text: str) -> None:
    with pytest.raises(Invalid) as caught:
        custom_verification.check(replace(HELLO, **change))
    assert text in caught.value.message


def test_the_content_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(custom_verification, "MAX_BYTES", 10)
    custom_verification.check(replace(HELLO, html="é" * 5))
    with pytest.raises(Invalid) as caught:
        custom_verification.check(replace(HELLO, html="é" * 5 + "x"))
    assert caught.value.kind == "custom-verification-content"
