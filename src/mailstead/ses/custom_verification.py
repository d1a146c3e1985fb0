"""Custom verification: mail that an account writes itself, to ask for an address (SES: sending §1.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from mailstead.base.address import check_address
from mailstead.base.errors import AlreadyExists, Invalid, LimitExceeded, NotFound
from mailstead.proto import mail_html
from mailstead.ses import identities, tags
from mailstead.ses.templates import check_name
from mailstead.store.port import Transaction

MAX_TEMPLATES = 50  # SES: operations, limits
MAX_BYTES = 10 << 20
"""Of the content (SES: operations, limits)."""
MAX_URL = 2000
MAX_SUBJECT = 998  # RFC 5322 §2.1.1

KIND = "custom-verification-template"

_URL = re.compile(r"https?://[\x21-\x7e]+")
_BREAK = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Template:
    """A mail that asks for an address."""

    name: str
    sender: str
    """The bare address it comes from, which is verified."""
    subject: str
    html: str
    success_url: str
    """Where whoever opened the link goes on to…"""
    failure_url: str
    """…and where, if it was too late."""


def check(template: Template) -> Template:
    """The template, if it may be kept.  Slow for a large one: it is read from end to end.

    Raises:
        Invalid: it may not; kind ``custom-verification-content``: because of its markup or size.
    """
    check_name(template.name)
    check_address(template.sender)
    if not template.subject or len(template.subject) > MAX_SUBJECT or _BREAK.search(template.subject):
        raise Invalid("The template subject must be one line of at most 998 characters.")
    for name, url in (("SuccessRedirectionURL", template.success_url), ("FailureRedirectionURL", template.failure_url)):
        _check_url(name, url)
    if not template.html:
        raise Invalid("The template content must be specified.", kind=mail_html.KIND)
    if len(template.html.encode()) > MAX_BYTES:
        raise Invalid("The template content is larger than 10 MB.", kind=mail_html.KIND)
    mail_html.check(template.html)
    return template


def _check_url(name: str, url: str) -> None:
    """Visitors are sent on there: a web address and nothing that is read as two things."""
    try:
        host = urlsplit(url).hostname if len(url) <= MAX_URL and _URL.fullmatch(url) else None
    except ValueError:
        host = None
    if not host or "\\" in url or "@" in urlsplit(url).netloc:
        raise Invalid(f"{name} must be an http or https address of at most {MAX_URL} ASCII characters.")


_COLUMNS = "name, sender, subject, html, success_url, failure_url"
_WHERE = "WHERE account = $1 AND region = $2"


async def _check_sender(tx: Transaction, account: str, region: str, sender: str) -> None:
    if await identities.covering(tx, account, region, sender) is None:
        raise Invalid(f"The from email address <{sender}> is not verified.", kind="from-not-verified")


async def find(tx: Transaction, account: str, region: str, name: str) -> Template | None:
    """A template, or None."""
    sql = f"SELECT {_COLUMNS} FROM custom_verification_templates {_WHERE} AND name = $3"
    row = await tx.row(sql, account, region, name)
    return Template(*row) if row else None


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
    return NotFound(f"Custom verification email template {name} does not exist.", kind=KIND)


async def ready(tx: Transaction, account: str, region: str, name: str) -> Template:
    """A template that may be sent now.

    Raises:
        NotFound: there is none.
        Invalid: kind ``from-not-verified``: its sender is not verified any more.
    """
    found = await get(tx, account, region, name)
    await _check_sender(tx, account, region, found.sender)
    return found


async def create(
    tx: Transaction, account: str, region: str, template: Template, *, tagged: Mapping[str, str] | None = None
) -> None:
    """Keep a new template, which has been checked.

    Raises:
        AlreadyExists: there is one of this name.
        LimitExceeded: the account has fifty in the region.
        Invalid: kind ``from-not-verified``.
    """
    await _check_sender(tx, account, region, template.sender)
    if await find(tx, account, region, template.name) is not None:
        raise _twice(account, template.name)
    count = await tx.value(f"SELECT count(*) FROM custom_verification_templates {_WHERE}", account, region)
    if count >= MAX_TEMPLATES:
        raise LimitExceeded(f"An account has at most {MAX_TEMPLATES} custom verification email templates.", kind=KIND)
    made = await tx.run(
        f"INSERT INTO custom_verification_templates (account, region, {_COLUMNS}, created)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
        account,
        region,
        template.name,
        template.sender,
        template.subject,
        template.html,
        template.success_url,
        template.failure_url,
        tx.now(),
    )
    if not made:  # somebody made it at the same moment
        raise _twice(account, template.name)
    await tags.put(tx, account, region, tags.resource(tags.CUSTOM_VERIFICATION, template.name), tagged or {})


def _twice(account: str, name: str) -> AlreadyExists:
    return AlreadyExists(
        f"Custom verification email template {name} already exists for account id {account}", kind=KIND
    )


async def update(tx: Transaction, account: str, region: str, template: Template) -> None:
    """Replace all of a template, which has been checked.

    Raises:
        NotFound: there is none of this name.
        Invalid: kind ``from-not-verified``.
    """
    await _check_sender(tx, account, region, template.sender)
    sql = (
        "UPDATE custom_verification_templates SET sender = $4, subject = $5, html = $6, success_url = $7,"
        f" failure_url = $8 {_WHERE} AND name = $3"
    )
    values = (template.sender, template.subject, template.html, template.success_url, template.failure_url)
    if not await tx.run(sql, account, region, template.name, *values):
        raise _unknown(template.name)


async def delete(tx: Transaction, account: str, region: str, name: str) -> None:
    """Forget a template and its tags; links that were mailed with it stay good.

    Raises:
        NotFound: there is none.
    """
    if not await tx.run(f"DELETE FROM custom_verification_templates {_WHERE} AND name = $3", account, region, name):
        raise _unknown(name)
    await tags.forget(tx, account, region, tags.resource(tags.CUSTOM_VERIFICATION, name))


async def list_page(tx: Transaction, account: str, region: str, *, after: str, limit: int) -> list[Template]:
    """Templates by name, those behind ``after``; their content is left out."""
    sql = (
        "SELECT name, sender, subject, '', success_url, failure_url FROM custom_verification_templates"
        f" {_WHERE} AND name > $3 ORDER BY name LIMIT $4"
    )
    return [Template(*row) for row in await tx.rows(sql, account, region, after, limit)]
