"""Imports: what a record of a list says, and what comes of it (SES: sending §6, §7).

A record is looked at before its transaction, and once more in it: what it needs may be gone by then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from mailstead.base.address import check_address
from mailstead.base.errors import Invalid, MailsteadError, NotFound
from mailstead.proto.records import Line, RecordError, read_csv, read_json
from mailstead.ses import contact_lists, contacts, suppression
from mailstead.ses.contacts import Wishes
from mailstead.ses.jobs import CONTACT_LIST, SUPPRESSION_LIST, Job, Refused
from mailstead.store.port import Transaction

MiB = 1 << 20
PUT = "PUT"
JSON = "JSON"

SHOWN = 1000
"""Characters of a refused record that are kept."""

Record = Mapping[str, Any]
"""Members of a record by the names that JSON gives them; of CSV, fields by the names of their columns."""

Entry = tuple[Line, Any]
"""A record that can be taken, as its target wants it."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one job takes."""

    records: int
    octets: int


@dataclass(frozen=True, slots=True)
class Target:
    """What a job reads into."""

    bounds: Bounds
    columns: tuple[str, ...]
    """The fields of a line of CSV; empty: the first line names them."""
    read: Callable[[Record], Any]
    """What a record says; raises what is wrong with it."""
    take: Callable[[Transaction, Sequence[Entry]], Awaitable[list[Refused]]]
    """Do what records say; those that cannot be done after all. NotFound: what is read into is gone."""


def target(job: Job) -> Target:
    """What a job reads into."""
    return _TARGETS[job.sort](job)


def read(
    lines: Sequence[Line], target: Target, columns: tuple[str, ...], *, json: bool
) -> tuple[list[Entry], list[Refused]]:
    """Lines that are not blank, as entries and as what is wrong with them."""
    entries, refused = list[Entry](), []
    for line in lines:
        try:
            record = read_json(line) if json else _named(read_csv(line), columns)
            entries.append((line, target.read(record)))
        except (RecordError, MailsteadError) as error:
            refused.append(_refused(line, error))
    return entries, refused


def header(line: Line) -> tuple[str, ...]:
    """The names of columns.

    Raises:
        RecordError: they are none.
    """
    names = tuple(read_csv(line))
    if "emailAddress" not in names or len(set(names)) < len(names):
        raise RecordError("The first line must name the columns, each once, emailAddress among them.")
    for name in names:
        if name not in _CONTACT and not name.startswith(_TOPIC):
            raise RecordError(f"The column {name[:64]} is not known.")
    return names


def _refused(line: Line, error: Exception) -> Refused:
    return Refused(line.number, _shown(line.content[: 4 * SHOWN].decode("utf-8", "replace")), _shown(str(error)))


def _shown(text: str) -> str:
    """A text for people, cut; NUL, which PostgreSQL cannot keep, becomes U+FFFD as what is not UTF-8 does."""
    return text[:SHOWN].replace("\0", "\ufffd")


def _named(fields: list[str], columns: tuple[str, ...]) -> Record:
    if len(fields) > len(columns):
        raise RecordError(f"The record has {len(fields)} fields; at most {len(columns)} are known.")
    return {name: field for name, field in zip(columns, fields, strict=False) if field}


def _known(record: Record, names: tuple[str, ...], *, prefix: str | None = None) -> None:
    for name in record:
        if name not in names and not (prefix and name.startswith(prefix)):
            raise RecordError(f"The member {name[:64]} is not known.")


def _address(record: Record) -> str:
    address = record.get("emailAddress")
    if not isinstance(address, str) or not address:
        raise RecordError("The record has no emailAddress.")
    check_address(address)
    return address


def place(url: str) -> tuple[str, str]:
    """Bucket and key of ``s3://BUCKET/KEY``.

    Raises:
        Invalid: it is none.
    """
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not url.startswith("s3://") or not bucket or not key:
        raise Invalid("S3Url must be like s3://bucket/key.")
    return bucket, key


# -- the suppression list ----------------------------------------------------------------------------------------------

_SUPPRESSION = ("emailAddress", "reason")


def _suppression(job: Job) -> Target:
    """SES: sending §7: ``address,REASON`` or ``{"emailAddress": …, "reason": …}``; to take off, the address alone."""
    wanted = job.request["ImportDestination"]["SuppressionListDestination"]["SuppressionListImportAction"]
    if wanted == PUT:
        return Target(Bounds(100_000, 64 * MiB), _SUPPRESSION, _suppressed, partial(_suppress, job))
    return Target(Bounds(10_000, 64 * MiB), _SUPPRESSION, _listed, partial(_take_off, job))


def _suppressed(record: Record) -> tuple[str, str]:
    _known(record, _SUPPRESSION)
    address, reason = _address(record), record.get("reason")
    if reason not in suppression.REASONS:
        raise RecordError("The reason must be BOUNCE or COMPLAINT.")
    return address, str(reason)


def _listed(record: Record) -> str:
    _known(record, _SUPPRESSION)
    return _address(record)


async def _suppress(job: Job, tx: Transaction, entries: Sequence[Entry]) -> list[Refused]:
    for _, (address, reason) in entries:
        await suppression.put(tx, job.account, job.region, address, reason)
    return []


async def _take_off(job: Job, tx: Transaction, entries: Sequence[Entry]) -> list[Refused]:
    for _, address in entries:
        try:
            await suppression.delete(tx, job.account, job.region, address)
        except NotFound:
            continue  # it is not on the list: as wanted
    return []


# -- contacts ----------------------------------------------------------------------------------------------------------

_CONTACT = ("emailAddress", "unsubscribeAll", "attributesData", "topicPreferences")
_TOPIC = "topicPreferences."
_TRUTH = {True: True, False: False, "true": True, "false": False}
_STATUSES = (contact_lists.OPT_IN, contact_lists.OPT_OUT)


def _contacts(job: Job) -> Target:
    """SES: sending §6: CSV whose first line names its columns, or lines of JSON."""
    wanted = job.request["ImportDestination"]["ContactListDestination"]["ContactListImportAction"]
    bounds = Bounds(1_000_000, 512 * MiB)
    if wanted == PUT:
        return Target(bounds, (), _contact, partial(_put_contacts, job))
    return Target(bounds, (), _contact, partial(_delete_contacts, job))


def _contact(record: Record) -> tuple[str, Wishes]:
    _known(record, _CONTACT, prefix=_TOPIC)
    address = contacts.checked_address(_address(record))
    unsubscribed = record.get("unsubscribeAll", False)
    if isinstance(unsubscribed, str):
        unsubscribed = unsubscribed.lower()
    if not isinstance(unsubscribed, bool | str) or unsubscribed not in _TRUTH:
        raise RecordError("unsubscribeAll must be true or false.")
    attributes = record.get("attributesData")
    if attributes is not None and (not isinstance(attributes, str) or "\0" in attributes):
        raise RecordError("attributesData must be a text that holds a JSON object.")
    return address, Wishes(_preferences(record), _TRUTH[unsubscribed], attributes)


def _preferences(record: Record) -> dict[str, str]:
    """What is said of topics: a list of members in JSON, a column each in CSV."""
    said = {name.removeprefix(_TOPIC): status for name, status in record.items() if name.startswith(_TOPIC)}
    listed = record.get("topicPreferences", [])
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise RecordError("topicPreferences must be a list of objects.")
    for one in listed:
        _known(one, ("topicName", "subscriptionStatus"))
        name, status = one.get("topicName"), one.get("subscriptionStatus")
        if not isinstance(name, str) or name in said:
            raise RecordError("Each member of topicPreferences must have a topicName of its own.")
        said[name] = status
    if any(status not in _STATUSES for status in said.values()):
        raise RecordError("A subscriptionStatus must be OPT_IN or OPT_OUT.")
    return said


def list_name(request: Mapping[str, Any]) -> str:
    """The contact list that a job reads into."""
    return str(request["ImportDestination"]["ContactListDestination"]["ContactListName"])


async def _put_contacts(job: Job, tx: Transaction, entries: Sequence[Entry]) -> list[Refused]:
    found = await contact_lists.get(tx, job.account, job.region, list_name(job.request))
    refused = []
    for line, (address, wishes) in entries:
        try:
            contacts.check(found, wishes)
        except Invalid as error:
            refused.append(_refused(line, error))
        else:
            await contacts.put(tx, found, address, wishes)
    return refused


async def _delete_contacts(job: Job, tx: Transaction, entries: Sequence[Entry]) -> list[Refused]:
    found = await contact_lists.get(tx, job.account, job.region, list_name(job.request))
    for _, (address, _) in entries:
        try:
            await contacts.delete(tx, found, address)
        except NotFound:
            continue  # nobody of this address is on the list: as wanted
    return []


_TARGETS: dict[str, Callable[[Job], Target]] = {SUPPRESSION_LIST: _suppression, CONTACT_LIST: _contacts}
