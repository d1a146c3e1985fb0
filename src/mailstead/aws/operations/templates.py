"""Templates: keep, list, change, try; v1 and v2 side by side on one store.

Not here: custom verification templates, which are another thing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from mailstead.aws import paging
from mailstead.aws.operations.services import SES, SESV2, Handlers, Params, Request, Services
from mailstead.aws.operations.tags import pairs_of, shown
from mailstead.base.errors import Invalid, NotFound
from mailstead.base.ids import message_id
from mailstead.outbound import composition
from mailstead.outbound.composition import Templated
from mailstead.ses import tags, templates
from mailstead.ses.templates import Content, Listed, Template
from mailstead.store.port import Transaction

V1_PAGE = 10  # SES: operations, Templates
MAX_PAGE = 100
LARGE = 16 * 1024
"""Characters of a template that are read in a thread."""

HANDLED = frozenset(
    {
        (SES, "CreateTemplate"),
        (SES, "GetTemplate"),
        (SES, "UpdateTemplate"),
        (SES, "DeleteTemplate"),
        (SES, "ListTemplates"),
        (SES, "TestRenderTemplate"),
        (SESV2, "CreateEmailTemplate"),
        (SESV2, "GetEmailTemplate"),
        (SESV2, "UpdateEmailTemplate"),
        (SESV2, "DeleteEmailTemplate"),
        (SESV2, "ListEmailTemplates"),
        (SESV2, "TestRenderEmailTemplate"),
    }
)


def handlers(services: Services) -> Handlers:
    """The operations of this file."""
    operations = _Templates(services)
    return {
        (SES, "CreateTemplate"): operations.create,
        (SES, "GetTemplate"): operations.get,
        (SES, "UpdateTemplate"): operations.update,
        (SES, "DeleteTemplate"): operations.delete,
        (SES, "ListTemplates"): operations.list,
        (SES, "TestRenderTemplate"): operations.test_render,
        (SESV2, "CreateEmailTemplate"): operations.create_v2,
        (SESV2, "GetEmailTemplate"): operations.get_v2,
        (SESV2, "UpdateEmailTemplate"): operations.update_v2,
        (SESV2, "DeleteEmailTemplate"): operations.delete_v2,
        (SESV2, "ListEmailTemplates"): operations.list_v2,
        (SESV2, "TestRenderEmailTemplate"): operations.test_render_v2,
    }


class _Templates:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._db = services.runtime.db

    # Both

    async def _create(self, request: Request, name: str, content: Content, tagged: dict[str, str]) -> dict[str, Any]:
        caller = request.caller
        templates.check_name(name)
        await checked(templates.check_content, content)
        await self._db.run(
            lambda tx: templates.create(tx, caller.account, caller.region, (name, content), tagged=tagged)
        )
        return {}

    async def _get(self, request: Request) -> Template:
        caller, name = request.caller, request.params["TemplateName"]
        return await self._db.read(lambda tx: templates.get(tx, caller.account, caller.region, name))

    async def _update(self, request: Request, name: str, content: Content) -> dict[str, Any]:
        caller = request.caller
        await checked(templates.check_content, content)
        await self._db.run(lambda tx: templates.update(tx, caller.account, caller.region, name, content))
        return {}

    async def _delete(self, request: Request) -> dict[str, Any]:
        caller, name = request.caller, request.params["TemplateName"]
        await self._db.run(lambda tx: templates.delete(tx, caller.account, caller.region, name))
        return {}

    async def _page(self, request: Request, size: int) -> tuple[list[Listed], dict[str, str]]:
        """Rows of a page, and where the next begins: an absent NextToken ends paging."""
        caller, belongs = request.caller, request.page()
        start = paging.position(belongs, request.params.get("NextToken"))
        after = str(start[0]) if start else ""
        rows = await self._db.scan(
            lambda tx: templates.list_page(tx, caller.account, caller.region, after=after, limit=size + 1)
        )
        more = len(rows) > size
        return rows[:size], {"NextToken": paging.token(belongs, [rows[size - 1].name])} if more else {}

    async def _rendered(self, request: Request) -> dict[str, Any]:
        """The message that a send with this data would be, as MIME text."""
        found = await self._get(request)
        data = templates.data_of(request.params["TemplateData"])
        caller, now = request.caller, self._services.runtime.clock.now()
        text = await asyncio.to_thread(
            composition.preview,
            Templated(found.content, data),
            room=self._services.v1_message_bytes,
            message_id=message_id(caller.region, now),
            region=caller.region,
            provider=self._services.provider,
            now=now,
        )
        return {"RenderedTemplate": text}

    # v1

    async def create(self, request: Request) -> dict[str, Any]:
        given = request.params["Template"]
        return await self._create(request, given["TemplateName"], _v1_content(given), {})

    async def get(self, request: Request) -> dict[str, Any]:
        found = await self._get(request)
        parts = {
            "SubjectPart": found.content.subject,
            "TextPart": found.content.text,
            "HtmlPart": found.content.html,
        }
        return {"Template": {"TemplateName": found.name, **_present(parts)}}

    async def update(self, request: Request) -> dict[str, Any]:
        given = request.params["Template"]
        return await self._update(request, given["TemplateName"], _v1_content(given))

    async def delete(self, request: Request) -> dict[str, Any]:
        try:
            return await self._delete(request)
        except NotFound:  # v1 takes it for done
            return {}

    async def list(self, request: Request) -> dict[str, Any]:
        size = paging.page_size(request.params.get("MaxItems"), default=V1_PAGE, most=MAX_PAGE)
        rows, more = await self._page(request, size)
        return {"TemplatesMetadata": [{"Name": row.name, "CreatedTimestamp": row.created} for row in rows], **more}

    async def test_render(self, request: Request) -> dict[str, Any]:
        try:
            return await self._rendered(request)
        except Invalid as error:
            if error.kind == "template-data":
                raise Invalid(error.message, kind="rendering-parameter") from None
            raise

    # v2

    async def create_v2(self, request: Request) -> dict[str, Any]:
        params = request.params
        content = v2_content(params["TemplateContent"])
        return await self._create(request, params["TemplateName"], content, pairs_of(params.get("Tags")))

    async def get_v2(self, request: Request) -> dict[str, Any]:
        caller, name = request.caller, request.params["TemplateName"]

        async def look(tx: Transaction) -> tuple[Template, dict[str, str]]:
            found = await templates.get(tx, caller.account, caller.region, name)
            resource = tags.resource(tags.TEMPLATE, name)
            return found, await tags.of(tx, caller.account, caller.region, resource)

        found, tagged = await self._db.read(look)
        parts = {"Subject": found.content.subject, "Text": found.content.text, "Html": found.content.html}
        return {"TemplateName": found.name, "TemplateContent": _present(parts), "Tags": shown(tagged)}

    async def update_v2(self, request: Request) -> dict[str, Any]:
        params = request.params
        return await self._update(request, params["TemplateName"], v2_content(params["TemplateContent"]))

    async def delete_v2(self, request: Request) -> dict[str, Any]:
        return await self._delete(request)

    async def list_v2(self, request: Request) -> dict[str, Any]:
        asked = request.params.get("PageSize")
        if asked is not None and not 1 <= asked <= MAX_PAGE:
            raise Invalid(f"PageSize must be between 1 and {MAX_PAGE}.")
        rows, more = await self._page(request, asked or V1_PAGE)
        listed = [{"TemplateName": row.name, "CreatedTimestamp": row.created} for row in rows]
        return {"TemplatesMetadata": listed, **more}

    async def test_render_v2(self, request: Request) -> dict[str, Any]:
        return await self._rendered(request)


async def checked(check: Callable[[Content], Content], content: Content) -> Content:
    """The content as ``check`` lets it through, in a thread where reading it takes longer than a moment."""
    if templates.size(content) > LARGE:
        return await asyncio.to_thread(check, content)
    return check(content)


def _present(parts: dict[str, str | None]) -> dict[str, str]:
    return {name: part for name, part in parts.items() if part is not None}


def _v1_content(given: Params) -> Content:
    return Content(given.get("SubjectPart") or "", given.get("TextPart"), given.get("HtmlPart"))


def v2_content(given: Params) -> Content:
    """The ``TemplateContent`` of v2."""
    return Content(given.get("Subject") or "", given.get("Text"), given.get("Html"))
