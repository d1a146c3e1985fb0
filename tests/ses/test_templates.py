"""Templates on both databases: what may be kept, who sees it, what it becomes."""

from __future__ import annotations

import pytest

from mailstead.base.errors import AlreadyExists, Invalid, LimitExceeded, NotFound
from mailstead.proto.handlebars import Unrenderable
from mailstead.ses import tags, templates
from mailstead.ses.templates import Content
from peers.database import Ground

A, B = "111111111111", "222222222222"
EAST, WEST = "us-east-1", "eu-west-1"
HELLO = Content("Hello {{name}}", "Hi {{name}}", "<p>{{name}}</p>")


def create(ground: Ground, name: str, content: Content = HELLO, account: str = A, region: str = EAST, **more: object):
    ground.run(lambda tx: templates.create(tx, account, region, (name, content), **more))


def names(ground: Ground, account: str = A, region: str = EAST, after: str = "", limit: int = 100) -> list[str]:
    rows = ground.read(lambda tx: templates.list_page(tx, account, region, after=after, limit=limit))
    return [row.name for row in rows]


def test_kept_read_replaced_and_forgotten(ground: Ground) -> None:
    create(ground, "one")
    found = ground.read(lambda tx: templates.get(tx, A, EAST, "one"))
    assert (found.name, found.content, found.created) == ("one", HELLO, ground.clock.now())
    ground.clock.advance(5000)
    ground.run(lambda tx: templates.update(tx, A, EAST, "one", Content("S", None, "")))
    changed = ground.read(lambda tx: templates.get(tx, A, EAST, "one"))
    assert (changed.content, changed.created) == (Content("S", None, ""), found.created)
    ground.run(lambda tx: templates.delete(tx, A, EAST, "one"))
    assert ground.read(lambda tx: templates.find(tx, A, EAST, "one")) is None


def test_bytes_stay_as_they_are(ground: Ground) -> None:
    content = Content("제목 \u2028", "a\r\nb\nc\rd\t'; --", "<p>\U0001f600 & &amp;</p>\x7f")
    create(ground, "odd", content)
    assert ground.read(lambda tx: templates.get(tx, A, EAST, "odd")).content == content


def test_a_name_is_there_once(ground: Ground) -> None:
    create(ground, "one")
    with pytest.raises(AlreadyExists) as caught:
        create(ground, "one", Content("other", "x"))
    assert caught.value.message == f"Template one already exists for account id {A}"
    create(ground, "ONE")
    assert ground.read(lambda tx: templates.get(tx, A, EAST, "one")).content == HELLO


@pytest.mark.parametrize("verb", ["get", "update", "delete"])
def test_what_is_not_there(ground: Ground, verb: str) -> None:
    create(ground, "one", account=B)
    create(ground, "one", region=WEST)
    more = (HELLO,) if verb == "update" else ()
    with pytest.raises(NotFound) as caught:
        ground.run(lambda tx: getattr(templates, verb)(tx, A, EAST, "one", *more))
    assert (caught.value.message, caught.value.kind) == ("Template one does not exist", "template")
    assert names(ground, B) == names(ground, A, WEST) == ["one"]


def test_lists_by_page(ground: Ground) -> None:
    for name in ("b", "a", "_", "c-1"):
        create(ground, name)
    create(ground, "z", account=B)
    everything = names(ground)
    assert sorted(everything) == sorted(["b", "a", "_", "c-1"])
    first = names(ground, limit=2)
    assert first + names(ground, after=first[-1], limit=2) == everything


def test_tags_go_with_their_template(ground: Ground) -> None:
    create(ground, "one", tagged={"team": "shop"})
    arn = f"arn:aws:ses:{EAST}:{A}:template/one"
    resource = ground.read(lambda tx: tags.by_arn(tx, A, EAST, arn))
    assert ground.read(lambda tx: tags.of(tx, A, EAST, resource)) == {"team": "shop"}
    ground.run(lambda tx: templates.delete(tx, A, EAST, "one"))
    create(ground, "one")
    assert ground.read(lambda tx: tags.of(tx, A, EAST, resource)) == {}


def test_an_account_has_so_many_in_a_region(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "MAX_TEMPLATES", 2)
    create(ground, "one")
    create(ground, "two")
    with pytest.raises(LimitExceeded):
        create(ground, "three")
    with pytest.raises(AlreadyExists):
        create(ground, "two")
    create(ground, "three", region=WEST)
    create(ground, "three", account=B)


@pytest.mark.parametrize("name", ["a", "A-b_9", "x" * 64])
def test_names(name: str) -> None:
    assert templates.check_name(name) == name


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "a.b", "a/b", "é", "a\n", "<script>"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(Invalid):
        templates.check_name(name)


@pytest.mark.parametrize(
    ("content", "text", "kind"),
    [
        (Content("", "x"), "The subject must be specified.", ""),
        (Content("s"), "The text part or the html part must be specified.", ""),
        (Content("s", "", ""), "The text part or the html part must be specified.", ""),
        (Content("s", "x" * 512_000), "The template is larger than 500 KB.", "template"),
        (Content("s", "é" * 200_000, "é" * 60_000), "The template is larger than 500 KB.", "template"),
        (Content("{{#if a}}", "x"), "Template subject: {{#if}} is not closed (line 1)", "template"),
        (Content("s", "a\n{{/if}}"), "Template text part: {{/if}} does not close anything (line 2)", "template"),
        (
            Content("s", "{{#*inline 'p'}}{{/inline}}", "{{> p}}"),
            "Template html part: There is no partial with the name 'p' (line 1)",
            "template",
        ),
    ],
)
def test_contents_that_are_none(content: Content, text: str, kind: str) -> None:
    with pytest.raises(Invalid) as caught:
        templates.check_content(content)
    assert (caught.value.message, caught.value.kind) == (text, kind)


def test_the_largest_content() -> None:
    templates.check_content(Content("s", "x" * (templates.MAX_BYTES - 1)))


def test_inline_content_is_simple() -> None:
    templates.check_inline(Content("{{a}}", "{{a.b}} {{{c}}}"))
    for text in ("{{#if a}}x{{/if}}", "{{lookup a 'b'}}", "{{#*inline 'p'}}{{/inline}}"):
        with pytest.raises(Invalid) as caught:
            templates.check_inline(Content("s", text))
        assert caught.value.kind == "template"


@pytest.mark.parametrize(("text", "data"), [(None, {}), ("", {}), ("{}", {}), ('{"a": [1, null]}', {"a": [1, None]})])
def test_data(text: str | None, data: dict[str, object]) -> None:
    assert templates.data_of(text) == data


@pytest.mark.parametrize(
    "text",
    ["{", "[1]", '"a"', "null", "1", "{'a': 1}", '{"a": NaN}', "[" * 200_000, '{"a":' * 40_000, '{"a": "\\ud800"}'],
)
def test_data_that_is_none(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        templates.data_of(text)
    assert caught.value.kind == "template-data"


def test_data_has_an_end() -> None:
    text = '{"a":"' + "x" * (templates.MAX_DATA - 8) + '"}'
    assert len(text) == templates.MAX_DATA
    assert templates.data_of(text)
    with pytest.raises(Invalid):
        templates.data_of(text + " ")


def test_rendering() -> None:
    assert templates.render(HELLO, {"name": "<Jo & Co>"}, 100) == Content(
        "Hello <Jo & Co>", "Hi <Jo & Co>", "<p><Jo & Co></p>"
    )
    assert templates.render(Content("s", None, "h"), {}, 100) == Content("s", None, "h")


@pytest.mark.parametrize(("data", "kind"), [({}, "rendering-attribute"), ({"name": "x" * 200}, "rendering-parameter")])
def test_what_cannot_be_rendered(data: dict[str, str], kind: str) -> None:
    with pytest.raises(Unrenderable) as caught:
        templates.render(HELLO, data, 100)
    assert caught.value.kind == kind


@pytest.mark.parametrize("value", ["a\r\nBcc: x@y.org", "a\nb", "a\0b"])
def test_a_subject_stays_one_line(value: str) -> None:
    with pytest.raises(Unrenderable):
        templates.render(HELLO, {"name": value}, 100)
    assert templates.render(Content("{{name}}\n", "t"), {"name": "x"}, 100).subject == "x"
