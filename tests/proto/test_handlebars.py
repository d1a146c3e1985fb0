"""Handlebars: the same text as handlebars (npm) wherever both have one; SES's errors where the data lacks something."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstead.base.errors import Invalid
from mailstead.proto import handlebars
from mailstead.proto.handlebars import Unrenderable, compiled
from peers.handlebars import Handlebars
from peers.outcome import outcome

ITEM: dict[str, Any] = {"x": "X<1>", "y": 0, "none": None, "deep": {"z": "Z"}, "more": [1, "two", {"x": "in"}]}
DATA: dict[str, Any] = {
    "name": "Ann & <b>",
    "zero": 0,
    "n": 42,
    "half": 1.5,
    "yes": True,
    "no": False,
    "null": None,
    "blank": "",
    "nothing": [],
    "hollow": {},
    "list": [ITEM, {**ITEM, "x": "X2", "y": 7}],
    "words": ["a", "b", "c"],
    "matrix": [[1, 2], [3]],
    "user": {"name": {"first": "Jo", "last": "Do"}, "tags": ["p", "q"], "odd key": "odd", "first-name": "dash"},
    "key": "name",
    "index": 1,
    "한글": "값",
}


@pytest.fixture(scope="module")
def judge() -> Iterator[Handlebars]:
    with Handlebars() as running:
        yield running


def render(template: str, data: Any = None) -> str:
    return compiled(template).render(DATA if data is None else data)


def refused(template: str) -> str:
    with pytest.raises(Invalid) as caught:
        compiled(template)
    assert caught.value.kind == "template"
    return caught.value.message


def failing(template: str, data: Any = None) -> Unrenderable:
    with pytest.raises(Unrenderable) as caught:
        render(template, data)
    return caught.value


SAME = [
    # Text and values
    "",
    "plain text, {one} brace } and }}",
    "Hello {{name}}, {{ name }}, {{{name}}}, {{& name}}, {{~ name ~}}.",
    "{{zero}} {{n}} {{half}} {{yes}} {{no}} [{{null}}] [{{blank}}]",
    "{{user.name.first}} {{user/name/last}} {{user.tags.[1]}} {{user.[odd key]}} {{user.first-name}}",
    "{{this.name}} {{./name}} {{한글}} {{words.length}}",
    "{{'name'}} {{\"name\"}} {{[name]}}",
    # Escapes and comments
    "\\{{name}} and {{name}} \\\\{{name}} a\\b",
    "\\{{name}}\\{{n}}",
    "{{! one }}{{!-- two }} --}}{{!}}x {{!-- a\nb --}} y",
    "a  {{~! c ~}}  b {{~!-- c --~}} d",
    # if and unless
    *[
        f"{{{{#if {value}}}}}yes{{{{else}}}}no{{{{/if}}}} {{{{#unless {value}}}}}un{{{{else}}}}less{{{{/unless}}}}"
        for value in ("name", "zero", "n", "yes", "no", "null", "blank", "nothing", "hollow", "absent", "user.absent.x")
    ],
    "{{#if zero includeZero=true}}zero counts{{/if}}",
    "{{#if no}}a{{else if null}}b{{else if n}}c{{else}}d{{/if}}",
    "{{#if no}}a{{else if null}}b{{else}}d{{/if}}",
    "{{#if no}}a{{^}}b{{/if}}",
    "{{#unless no}}a{{else if yes}}b{{/unless}}",
    "{{#if yes}}{{#if n}}{{#if no}}1{{else}}2{{/if}}{{/if}}{{/if}}",
    # each
    "{{#each words}}{{@index}}{{@key}}{{@first}}{{@last}}{{this}}{{.}} {{/each}}",
    "{{#each user.name}}{{@index}}{{@key}}={{this}}{{#unless @last}}, {{/unless}}{{/each}}",
    "{{#each nothing}}x{{else}}none{{/each}}",
    "{{#each hollow}}x{{else}}none{{/each}}{{#each absent}}x{{else}}none{{/each}}",
    "{{#each name}}x{{else}}no list{{/each}}{{#each n}}x{{else}}no list{{/each}}",
    "{{#each matrix}}{{#each this}}{{@../index}}{{@index}}{{this}};{{/each}}{{/each}}",
    "{{#each list}}{{x}}{{../name}}{{deep.z}}{{#each more}}{{@../index}}{{../x}}{{../../n}}{{/each}}{{/each}}",
    "{{#each list}}{{#if y}}{{../name}}{{@index}}{{else}}{{x}}{{/if}}{{/each}}",
    "{{#each list as |item i|}}{{i}}{{item.x}}{{#each item.more as |m|}}{{item.x}}{{i}}{{/each}}{{/each}}",
    "{{#each user as |value key|}}{{key}};{{/each}}",
    "{{#each words}}{{@root.name}}{{/each}}",
    # with
    "{{#with user}}{{name.first}}{{#with name}}{{last}}{{../../n}}{{/with}}{{/with}}",
    "{{#with user.name as |who|}}{{who.first}}{{first}}{{/with}}",
    "{{#with zero}}zero{{/with}}{{#with blank}}x{{else}}blank{{/with}}{{#with absent}}x{{else}}absent{{/with}}",
    "{{#with this}}{{name}}{{/with}}",
    # Sections
    "{{#words}}{{this}}{{/words}}{{#user}}{{name.first}}{{/user}}{{#yes}}{{name}}{{/yes}}{{#no}}x{{/no}}",
    "{{#nothing}}x{{else}}none{{/nothing}}{{^nothing}}none{{/nothing}}{{^absent}}none{{/absent}}{{^words}}x{{/words}}",
    "{{^no}}a{{else}}b{{/no}}{{^user}}a{{else}}{{name.first}}{{/user}}{{#null}}x{{/null}}{{#n}}{{this}}{{/n}}",
    # lookup
    "{{lookup this key}}{{lookup words index}}{{lookup user 'first-name'}}{{lookup words 9}}[{{lookup absent 'x'}}]",
    "{{#each words}}{{lookup ../words @index}}{{/each}}",
    "{{#with (lookup user 'name')}}{{first}}{{/with}}{{#if (lookup user 'absent')}}x{{else}}y{{/if}}",
    "{{lookup (lookup user 'name') 'first'}}",
    # White space
    "{{#if yes}}\nline\n{{/if}}\nend",
    "begin\n  {{#if yes}}  \n  line\n  {{else}}\n  other\n  {{/if}}\t\nend\n",
    "{{#if no}}\r\n  line\r\n{{else}}\r\n  other\r\n{{/if}}\r\nend\r\n",
    "a\n{{! alone }}\nb\n  {{!-- alone --}}  \nc {{! not alone }}\nd",
    "{{#each words}}\n  {{this}}\n{{/each}}\n",
    "{{#each words}}\n\n  {{this}}\n\n{{/each}}",
    "{{#if yes}} \n{{#if n}}\n x\n {{/if}}\n{{/if}}\n",
    "{{#if yes}}{{#if n}}\nx\n{{/if}}{{/if}}\n",
    "a {{~#if yes~}} \n b \n {{~/if~}} c",
    "a {{#if yes ~}} \n b \n {{~ else ~}} \n d {{~/if}} c",
    "{{#if no}}\n a\n{{~else~}}\n b\n{{/if}}\nc",
    "x {{~name~}} y {{~{name}~}} z",
    "\n{{#if yes}}\n{{/if}}\n",
    "{{#if yes}}\n{{/if}}",
    "  {{#if yes}}\nx\n  {{/if}}  ",
    "\u00a0{{! c }}\u2003\nx",
    # Inline partials
    '{{#*inline "who"}}{{name}} {{/inline}}\nHello {{> who}}!',
    '{{#* inline "fullName"}}{{user.name.first}}{{#if n}} {{n}}{{/if}}{{/inline}}\n<h1>{{> fullName}}</h1>',
    "{{> late}}{{#*inline 'late'}}late {{n}}{{/inline}}",
    "{{#*inline 'a'}}[{{first}}{{> b}}]{{/inline}}{{#*inline 'b'}}({{last}}){{/inline}}{{> a user.name}}",
    "{{#*inline 'a'}}{{x}}{{k}}{{@index}}{{/inline}}{{#each list}}{{> a k='v'}}{{> a k=@index}}{{/each}}",
    "{{#*inline 'a'}}{{#each more}}{{../x}}{{/each}}{{/inline}}{{#each list}}{{> a}}{{/each}}",
    "{{#*inline 'a'}}outer{{/inline}}{{#if yes}}{{#*inline 'a'}}inner{{/inline}}{{> a}}{{/if}}{{> a}}",
    "{{#*inline 'li'}}\n<li>\n {{this}}\n</li>\n{{/inline}}<ul>\n{{#each words}}\n   {{> li}}\n {{/each}}\n</ul>\n",
    "{{#*inline 'tree'}}{{#each this}}{{#if @first}}<{{/if}}{{> tree}}{{/each}}{{/inline}}{{> tree matrix}}",
    "{{#*inline 'my-part'}}ok{{/inline}}{{> my-part}}{{>my-part}}{{> 'my-part'}}",
]


@pytest.mark.parametrize("template", SAME)
def test_the_same_as_the_makers(judge: Handlebars, template: str) -> None:
    theirs = judge.render(template, DATA)
    assert "text" in theirs, theirs
    assert render(template) == theirs["text"]


# Templates whose values are all there, by the context they stand in.

VALUES = {
    "root": ["name", "n", "user.name.first", "this.blank", "words.[1]", "@root.n", "user.tags.length"],
    "item": ["x", "y", "deep.z", "../name", "this.x", "@index", "@root.name", "more.[0]"],
    "word": [".", "this", "@index", "@key", "@first", "@last", "../n"],
    "name": ["first", "last", "../n", "@root.name"],
}
CONDITIONS = {
    "root": ["name", "zero", "no", "null", "blank", "nothing", "hollow", "absent", "user.name"],
    "item": ["y", "none", "deep", "absent", "@first", "@last", "../no", "(lookup this 'x')"],
    "word": ["this", "@first", "../absent"],
    "name": ["first", "absent", "../zero"],
}
INTO = {
    "root": [
        ("each", "list", "item"),
        ("each", "words", "word"),
        ("with", "user.name", "name"),
        ("each", "absent", "word"),
    ],
    "item": [("with", "absent", "name")],
    "word": [("each", "absent", "word")],
    "name": [("with", "absent", "name")],
}
TEXT = st.sampled_from(["a", " ", "\n", "\n\n", "  \n", "\r\n", "\t", " b ", "<p>", "\n  c", "é\n"])
TILDE = st.sampled_from(["", "", "", "~"])


@st.composite
def body(draw: st.DrawFn, context: str, depth: int) -> str:
    return "".join(draw(st.lists(piece(context, depth), max_size=4)))


@st.composite
def tag(draw: st.DrawFn, inner: str) -> str:
    return f"{{{{{draw(TILDE)}{inner}{draw(TILDE)}}}}}"


@st.composite
def block(draw: st.DrawFn, context: str, depth: int) -> str:
    if draw(st.booleans()):
        name, inside = draw(st.sampled_from(["if", "unless"])), context
        subject = draw(st.sampled_from(CONDITIONS[context]))
    else:
        name, subject, inside = draw(st.sampled_from(INTO[context]))
    parts = [draw(tag(f"#{name} {subject}")), draw(body(inside, depth - 1))]
    if draw(st.booleans()):
        parts += [draw(tag("else")), draw(body(context, depth - 1))]
    return "".join([*parts, draw(tag(f"/{name}"))])


def piece(context: str, depth: int) -> st.SearchStrategy[str]:
    value = st.sampled_from(VALUES[context]).flatmap(lambda path: tag(f" {path} "))
    choices = [TEXT, TEXT, value, tag("! note ")]
    return st.one_of(*choices, block(context, depth)) if depth else st.one_of(*choices)


@given(template=body("root", 3))
@settings(max_examples=200)
def test_the_same_for_any_template(judge: Handlebars, template: str) -> None:
    theirs = judge.render(template, DATA)
    assert render(template) == theirs["text"]


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{{missing}}", "missing"),
        ("{{user.name.middle}}", "user.name.middle"),
        ("{{absent.a.b}}", "absent.a.b"),
        ("{{name.first}}", "name.first"),
        ("{{words.[3]}}", "words.[3]"),
        ("{{../name}}", "../name"),
        ("{{@index}}", "@index"),
        ("{{@}}{{@this}}", "@"),
        ("{{#each list}}{{this.absent}}{{/each}}", "this.absent"),
        ("{{#each list}}{{absent}}{{/each}}", "absent"),
        ("{{#IF}}x{{/IF}}", "IF"),
        ("{{#IF name}}x{{/IF}}", "IF"),
        ("{{shout name}}", "shout"),
        ("{{#missing}}x{{/missing}}", "missing"),
        ("{{#if yes}}{{absent}}{{/if}}", "absent"),
        ("{{#with user as |u|}}{{u.x}}{{/with}}", "u.x"),
    ],
)
def test_what_the_data_lacks_is_named(template: str, name: str) -> None:
    if template.startswith("{{@}}"):
        assert refused(template)
        return
    error = failing(template)
    assert error.message == f"Attribute '{name}' is not present in the rendering data."
    assert error.kind == "rendering-attribute"


def test_nothing_is_missing_where_nothing_is_written() -> None:
    assert render("{{#if no}}{{absent}}{{/if}}{{#each nothing}}{{absent}}{{/each}}ok") == "ok"
    assert render("{{#*inline 'p'}}{{absent}}{{/inline}}ok") == "ok"


def test_a_value_may_be_in_a_context_outside() -> None:
    assert render("{{#each words}}{{n}}{{/each}}{{#with user}}{{zero}}{{name.first}}{{/with}}") == "4242420Jo"
    assert render("{{#each list}}{{#if zero}}x{{/if}}{{#if name}}y{{/if}}{{/each}}") == ""


def test_numbers_of_a_list_and_braces_behind_a_tag() -> None:
    assert render("{{user.tags.0}} {{user.tags.[1]}} {{{n}}}} {{n}}}") == "p q 42} 42}"


def test_numbers_lists_and_objects_as_json_writes_them() -> None:
    data = {"a": [1, "two", None], "b": {"c": True}, "d": 10.0, "e": 12345678901234567, "f": -0.5}
    assert render("{{a}} {{b}} {{d}} {{e}} {{f}}", data) == '[1,"two",null] {"c":true} 10.0 12345678901234567 -0.5'


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{name", "A tag is not closed or has something unexpected in it: {{name (line 1)"),
        ("a\nb {{name} c", "A tag is not closed or has something unexpected in it: {{name} c (line 2)"),
        ("{{{name}}", "A tag is not closed: {{{name}} (line 1)"),
        ("{{#if a}}x", "{{#if}} is not closed (line 1)"),
        ("{{#if a}}{{/each}}", "{{/each}} does not close {{#if}} (line 1)"),
        ("{{#if a}}{{else if b}}{{#if c}}{{/if}}", "{{#if}} is not closed (line 1)"),
        ("x{{/if}}", "{{/if}} does not close anything (line 1)"),
        ("{{else}}", "{{else}} does not belong to a block (line 1)"),
        ("{{#if a}}{{else}}{{else}}{{/if}}", "{{else}} does not belong to a block (line 1)"),
        ("{{#if}}x{{/if}}", "{{#if}} takes one value (line 1)"),
        ("{{#each a b}}x{{/each}}", "{{#each}} takes one value (line 1)"),
        ("{{}}", "A tag ends too early (line 1)"),
        ("{{/}}", "A tag ends too early (line 1)"),
        ("{{! open", "A comment is not closed (line 1)"),
        ("{{!-- open }}", "A comment is not closed (line 1)"),
        ("{{> nobody}}", "There is no partial with the name 'nobody' (line 1)"),
        ("{{#> layout}}x{{/layout}}", "{{#> is not supported (line 1)"),
        ("{{{{raw}}}}x{{{{/raw}}}}", "Raw blocks are not supported (line 1)"),
        ("{{*deco}}", "{{* is not supported (line 1)"),
        ("{{#*other 'x'}}{{/other}}", 'Only {{#*inline "name"}} may begin with #* (line 1)'),
        ("{{#*inline 'x'}}{{else}}{{/inline}}", "{{else}} does not belong to a block (line 1)"),
        ("{{#if (a b)}}x{{/if}}", "(a …) is not supported: only lookup may stand in brackets (line 1)"),
        ("{{lookup a}}", "A tag ends too early (line 1)"),
        ("{{lookup a b c}}", "lookup takes two values (line 1)"),
        ("{{#if (lookup a b}}x{{/if}}", "A tag ends too early (line 1)"),
        ("{{#if a=1 b}}x{{/if}}", "A value may not stand behind key=value (line 1)"),
        ("{{(lookup a b)}}", "A tag must begin with a name (line 1)"),
        ("{{#each a as |x| b}}{{/each}}", "Nothing may stand behind as |names| (line 1)"),
    ],
)
def test_what_is_no_template_is_told(template: str, text: str) -> None:
    assert refused(template) == text


@given(st.text(alphabet="{}#/^!>*~ ab.@[]()=|\"'\\\n1-", max_size=60))
@settings(max_examples=200)
def test_any_text_is_a_template_or_told_why_not(template: str) -> None:
    made = outcome(lambda: compiled(template).render({"a": [1, {"b": 2}], "b": {"a": "x"}}), Invalid)
    if isinstance(made, Invalid):
        assert made.message
    else:
        assert made == template or "{{" in template


def test_simple_is_values_and_comments_alone() -> None:
    for template in ("", "x", "{{a}} {{{a.b}}} {{! c }} {{&a}}"):
        assert compiled(template).simple
    for template in ("{{#if a}}{{/if}}", "{{lookup a b}}", "{{#*inline 'x'}}{{/inline}}", "{{a b}}", "{{^a}}{{/a}}"):
        assert not compiled(template).simple


DOUBLE = "".join(f"{{{{#*inline 'p{n}'}}}}{{{{> p{n + 1}}}}}{{{{> p{n + 1}}}}}{{{{/inline}}}}" for n in range(60))


@pytest.mark.parametrize(
    "template",
    [
        "{{#*inline 'p'}}x{{> p}}{{/inline}}{{> p}}",
        "{{#*inline 'p'}}{{> p}}{{> p}}{{/inline}}{{> p}}",
        DOUBLE + "{{#*inline 'p60'}}{{/inline}}{{> p0}}",
        DOUBLE + "{{#*inline 'p60'}}x{{/inline}}{{> p0}}",
        "{{#each a}}{{#each ../a}}{{#each ../../a}}{{#each ../../../a}}x{{/each}}{{/each}}{{/each}}{{/each}}",
        "{{#each a}}{{#each ../a}}{{../../big}}{{/each}}{{/each}}",
        "{{#*inline 'p'}}\n{{big}}\n{{#if x}}\n  {{> p x=(lookup x 'x')}}\n{{/if}}\n{{/inline}}\n  {{> p}}\n",
    ],
)
def test_nothing_costs_more_than_a_moment(template: str) -> None:
    deep: Any = {}
    for _ in range(200):
        deep = {"x": deep}
    data = {"a": list(range(500)), "big": "y\n" * 60_000, **deep}
    started = time.process_time()
    error = failing(template, data)
    assert time.process_time() - started < 3
    assert error.kind == "rendering-parameter"


@pytest.mark.parametrize(
    "template",
    [
        "{{#if a}}" * 20_000,
        "{{#if a}}x{{else " * 20_000,
        "{{" * 250_000,
        "\n" * 500_000 + "x{{#if a}}" + " " * 500_000 + "x",
        "{{a." + "b." * 200_000 + "}}",
        "{{a " + "b " * 200_000 + "}}",
        "{{!--" * 100_000,
        "{{a}}" * 100_000,
        "\\{{" * 200_000 + "{{#if}}",
        "{{(" + "(" * 100 + "lookup",
        "{{#if " + "(lookup " * 50 + "a b" + ")" * 50 + "}}{{/if}}",
        "{{[" * 100_000,
        '{{"' * 100_000 + "'",
    ],
)
def test_no_text_takes_long_to_read(template: str) -> None:
    started = time.process_time()
    refused(template)
    assert time.process_time() - started < 3


def test_a_template_is_compiled_once_while_there_is_room() -> None:
    text, large = "{{a}}" * 100, "x" * (handlebars.MAX_KEPT // 2)
    first = compiled(text)
    assert compiled(text) is first
    assert compiled(large + "1") is compiled(large + "1")
    compiled(text)
    compiled(large + "2")
    assert compiled(text) is first  # the oldest went
    for n in range(handlebars.MAX_COUNT + 1):
        compiled(f"{n}")
    assert compiled(text) is not first


def test_the_room_is_the_callers() -> None:
    assert compiled("{{a}}").render({"a": "12345"}, 5) == "12345"
    with pytest.raises(Unrenderable):
        compiled("{{a}}").render({"a": "12345"}, 4)
    assert handlebars.MAX_OUTPUT >= 10_000_000
