"""Templates: subject, text and HTML that an account keeps and sends with other data each time (SES: sending §5)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from mailstead.base.errors import AlreadyExists, Invalid, LimitExceeded, NotFound
from mailstead.proto.handlebars import MAX_STEPS, Unrenderable, compiled
from mailstead.ses import tags, tenant_resources
from mailstead.store.port import Row, Transaction

MAX_TEMPLATES = 10_000  # SES: operations, limits
MAX_BYTES = 500 * 1024
"""Of subject, text and HTML together (SES: operations, limits)."""
MAX_DATA = 262_144
"""Characters of the data of one rendering (SES: operations, limits)."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_BREAK = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

Data = Mapping[str, Any]
"""What a template is rendered with: an object of JSON."""


@dataclass(frozen=True, slots=True)
class Content:
    """The parts of a template; None: it has no such part."""

    subject: str
    text: str | None = None
    html: str | None = None


@dataclass(frozen=True, slots=True)
class Template:
    """A template of an account in a region."""

    name: str
    content: Content
    created: int


@dataclass(frozen=True, slots=True)
class Listed:
    """A template as lists show it."""

    name: str
    created: int


def check_name(name: str) -> str:
    """The name, if a template may have it.

    Raises:
        Invalid: it may not.
    """
    if not name:
        raise Invalid("The template name must be specified.")
    if len(name) > 64:
        raise Invalid("Template name cannot exceed 64 characters.")
    if not _NAME.fullmatch(name):
        raise Invalid(f"Invalid template name <{name}>: only alphanumeric ASCII characters, '_',  '-' are allowed.")
    return name


def check_content(content: Content) -> Content:
    """The content, if a template may have it; its parts are compiled and kept for the first send.

    Raises:
        Invalid: no subject, no body; kind ``template``: too long, or a part is not in the language of templates.
    """
    if not content.subject:
        raise Invalid("The subject must be specified.")  # SES: wire §9
    if not content.text and not content.html:
        raise Invalid("The text part or the html part must be specified.")
    if sum(len(part.encode()) for part in _parts(content)) > MAX_BYTES:
        raise Invalid("The template is larger than 500 KB.", kind="template")
    for name, part in (("subject", content.subject), ("text part", content.text), ("html part", content.html)):
        try:
            compiled(part or "")
        except Invalid as error:
            raise Invalid(f"Template {name}: {error.message}", kind="template") from None
    return content


def size(content: Content) -> int:
    """Characters of all parts together."""
    return sum(map(len, _parts(content)))


def check_inline(content: Content) -> Content:
    """The content that came with a send: simple substitution only (SES: sending §5).

    Raises:
        Invalid: as ``check_content``; kind ``template`` for anything but ``{{name}}``.
    """
    check_content(content)
    if not all(compiled(part).simple for part in _parts(content)):
        raise Invalid("Only simple substitution is possible in the template content of a send.", kind="template")
    return content


def _parts(content: Content) -> list[str]:
    return [part for part in (content.subject, content.text, content.html) if part]


def data_of(text: str | None) -> Data:
    """The data of a rendering; none given is an empty object.

    Raises:
        Invalid: kind ``template-data``: it is too long, or no object of JSON.
    """
    if not text:
        return {}
    if len(text) > MAX_DATA:
        raise Invalid(f"Template data cannot exceed {MAX_DATA} characters.", kind="template-data")
    try:
        found = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        raise Invalid("The template data is not valid JSON.", kind="template-data") from None
    if not isinstance(found, dict):
        raise Invalid("The template data must be a JSON object.", kind="template-data")
    return found


def render(content: Content, data: Data, room: int, *, steps: int = MAX_STEPS) -> Content:
    """Subject and parts for this data, at most ``room`` characters and ``steps`` each.

    Raises:
        OutOfSteps: it takes more steps.
        Unrenderable: the data lacks an attribute, a bound is passed, or the subject became more than a line.
    """
    subject = compiled(content.subject).render(data, room, steps=steps).strip("\r\n")
    if _BREAK.search(subject):
        raise Unrenderable(
            "The rendered subject contains a line break or control character.", kind="rendering-parameter"
        )
    return Content(
        subject,
        None if not content.text else compiled(content.text).render(data, room, steps=steps),
        None if not content.html else compiled(content.html).render(data, room, steps=steps),
    )


# The account's templates

_COLUMNS = "name, subject, body, html, created"
_WHERE = "WHERE account = $1 AND region = $2"


def _template(row: Row) -> Template:
    name, subject, text, html, created = row
    return Template(name, Content(subject, text, html), created)


async def find(tx: Transaction, account: str, region: str, name: str) -> Template | None:
    """A template, or None."""
    row = await tx.row(f"SELECT {_COLUMNS} FROM templates {_WHERE} AND name = $3", account, region, name)
    return _template(row) if row else None


async def get(tx: Transaction, account: str, region: str, name: str) -> Template:
    """A template.

    Raises:
        NotFound: there is none.
    """
    found = await find(tx, account, region, name)
    if found is None:
        raise _unknown(name)
    return found


def _unknown(name: str) -> NotFound:
    return NotFound(f"Template {name} does not exist", kind="template")


async def create(
    tx: Transaction,
    account: str,
    region: str,
    template: tuple[str, Content],
    *,
    tagged: Mapping[str, str] | None = None,
) -> None:
    """Keep a new template; its name and content have been checked.

    Raises:
        AlreadyExists: there is one of this name.
        LimitExceeded: the account has ten thousand in the region.
    """
    name, content = template
    # Counting reads the index of one account and region only.
    count = await tx.value(f"SELECT count(*) FROM templates {_WHERE}", account, region)
    made = count < MAX_TEMPLATES and await tx.run(
        "INSERT INTO templates (account, region, name, subject, body, html, created)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (account, region, name) DO NOTHING",
        account,
        region,
        name,
        content.subject,
        content.text,
        content.html,
        tx.now(),
    )
    if not made:
        if count >= MAX_TEMPLATES and await find(tx, account, region, name) is None:
            raise LimitExceeded(f"An account has at most {MAX_TEMPLATES} templates in a region.", kind="template")
        raise AlreadyExists(f"Template {name} already exists for account id {account}", kind="template")
    await tags.put(tx, account, region, tags.resource(tags.TEMPLATE, name), tagged or {})


async def update(tx: Transaction, account: str, region: str, name: str, content: Content) -> None:
    """Replace the whole content, which has been checked.

    Raises:
        NotFound: there is none of this name.
    """
    sql = f"UPDATE templates SET subject = $4, body = $5, html = $6 {_WHERE} AND name = $3"
    if not await tx.run(sql, account, region, name, content.subject, content.text, content.html):
        raise _unknown(name)


async def delete(tx: Transaction, account: str, region: str, name: str) -> None:
    """Forget a template and its tags.

    Raises:
        NotFound: there is none.
        Invalid: a tenant may use it.
    """
    if not await tx.run(f"DELETE FROM templates {_WHERE} AND name = $3", account, region, name):
        raise _unknown(name)
    await tenant_resources.check_free(tx, account, region, tags.resource(tags.TEMPLATE, name))
    await tags.forget(tx, account, region, tags.resource(tags.TEMPLATE, name))


async def list_page(tx: Transaction, account: str, region: str, *, after: str, limit: int) -> list[Listed]:
    """Templates by name, those behind ``after``."""
    sql = f"SELECT name, created FROM templates {_WHERE} AND name > $3 ORDER BY name LIMIT $4"
    return [Listed(*row) for row in await tx.rows(sql, account, region, after, limit)]
