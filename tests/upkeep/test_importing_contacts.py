"""Contacts read in from lists: what a record may say, and what becomes of one that may not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mailstead.ses import contact_lists, contacts, jobs
from mailstead.ses.contact_lists import Described, Topic
from mailstead.ses.jobs import CONTACT_LIST, IMPORT
from mailstead.store.port import Transaction
from peers.job_yard import Stage
from peers.yard import ACCOUNT, REGION

TOPICS = (Topic("News", "News", "OPT_IN"), Topic("Offers", "Offers", "OPT_OUT"))
HEADER = b"emailAddress,unsubscribeAll,attributesData,topicPreferences.News,topicPreferences.Offers\n"


def listing(stage: Stage, content: bytes, form: str = "CSV", action: str = "PUT") -> str:
    (stage.folder / "all").write_bytes(content)
    request = {
        "ImportDestination": {
            "ContactListDestination": {"ContactListName": "people", "ContactListImportAction": action}
        },
        "ImportDataSource": {"S3Url": "s3://lists/all", "DataFormat": form},
    }
    return stage.yard.run(lambda tx: jobs.create(tx, ACCOUNT, REGION, kind=IMPORT, sort=CONTACT_LIST, request=request))


def people(stage: Stage) -> dict[str, tuple[bool, str | None, dict[str, str]]]:
    async def read(tx: Transaction) -> contacts.Page:
        return await contacts.list_page(tx, await contact_lists.get(tx, ACCOUNT, REGION, "people"))

    return {
        one.address: (one.wishes.unsubscribed, one.wishes.attributes, dict(one.wishes.preferences))
        for one in stage.yard.ground.read(read).contacts
    }


@pytest.fixture
def list_of_people(stage: Stage) -> None:
    stage.yard.run(lambda tx: contact_lists.create(tx, ACCOUNT, REGION, "people", Described(topics=TOPICS)))


@pytest.mark.usefixtures("list_of_people", "small")
def test_contacts_are_read_in_and_replaced_and_taken_off(stage: Stage) -> None:
    content = HEADER + (
        b'a@example.com,false,"{""Name"": ""Anna""}",OPT_IN,OPT_OUT\r\n'
        b"B@Example.COM,TRUE,,,\r\n"
        b'c@example.com,,{"Name": "Carl"},,OPT_IN\r\n'
        b"d@example.com\r\n"
    )
    job = listing(stage, content)
    assert stage.turns() == 1
    assert stage.counts(job) == ("COMPLETED", 4, 0)
    assert people(stage) == {
        "a@example.com": (False, '{"Name": "Anna"}', {"News": "OPT_IN", "Offers": "OPT_OUT"}),
        "B@example.com": (True, None, {}),
        "c@example.com": (False, '{"Name": "Carl"}', {"Offers": "OPT_IN"}),
        "d@example.com": (False, None, {}),
    }
    again = b'{"emailAddress":"a@example.com","unsubscribeAll":true,"attributesData":"{}",' + (
        b'"topicPreferences":[{"topicName":"News","subscriptionStatus":"OPT_OUT"}]}\n{"emailAddress":"d@example.com"}'
    )
    job = listing(stage, again, "JSON")
    stage.turns()
    assert stage.counts(job) == ("COMPLETED", 2, 0)
    assert people(stage)["a@example.com"] == (True, "{}", {"News": "OPT_OUT"})
    job = listing(stage, b"emailAddress\na@example.com\nnobody@example.com\n", action="DELETE")
    stage.turns()
    assert stage.counts(job) == ("COMPLETED", 2, 0)
    assert set(people(stage)) == {"B@example.com", "c@example.com", "d@example.com"}


@pytest.mark.usefixtures("list_of_people", "small")
def test_the_names_of_columns_hold_for_every_turn(stage: Stage) -> None:
    content = b"topicPreferences.News,emailAddress\n" + b"".join(b"OPT_OUT,a%d@example.com\n" % n for n in range(20))
    job = listing(stage, content)
    assert stage.turns() > 2
    assert stage.counts(job) == ("COMPLETED", 20, 0)
    assert set(map(str, people(stage).values())) == {"(False, None, {'News': 'OPT_OUT'})"}


@pytest.mark.usefixtures("list_of_people")
@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"unsubscribeAll": True}, "The record has no emailAddress."),
        ({"emailAddress": "x"}, "Missing final '@domain'"),
        ({"emailAddress": "a@example.com", "unsubscribeAll": "maybe"}, "unsubscribeAll must be true or false."),
        ({"emailAddress": "a@example.com", "unsubscribeAll": 1}, "unsubscribeAll must be true or false."),
        (
            {"emailAddress": "a@example.com", "attributesData": {}},
            "attributesData must be a text that holds a JSON object.",
        ),
        ({"emailAddress": "a@example.com", "attributesData": "[]"}, "AttributesData is not a valid JSON object."),
        ({"emailAddress": "a@example.com", "topicPreferences": {}}, "topicPreferences must be a list of objects."),
        ({"emailAddress": "a@example.com", "topicPreferences": [7]}, "topicPreferences must be a list of objects."),
        (
            {"emailAddress": "a@example.com", "topicPreferences": [{"topicName": "News"}]},
            "A subscriptionStatus must be OPT_IN or OPT_OUT.",
        ),
        (
            {"emailAddress": "a@example.com", "topicPreferences": [{"subscriptionStatus": "OPT_IN"}]},
            "Each member of topicPreferences must have a topicName of its own.",
        ),
        (
            {"emailAddress": "a@example.com", "topicPreferences.None": "OPT_IN"},
            "List: people doesn't contain Topic: None",
        ),
        ({"emailAddress": "a@example.com", "name": "x"}, "The member name is not known."),
    ],
)
def test_bad_contacts_are_told(stage: Stage, record: dict[str, Any], reason: str) -> None:
    job = listing(stage, json.dumps(record).encode() + b'\n{"emailAddress":"good@example.com"}\n', "JSON")
    stage.turns()
    assert stage.counts(job) == ("COMPLETED", 2, 1)
    (told,) = stage.file(job).splitlines()
    assert json.loads(told)["line"] == 1
    if reason.startswith("Missing"):
        assert json.loads(told)["error"]
    else:
        assert json.loads(told)["error"] == reason
    assert set(people(stage)) == {"good@example.com"}


@pytest.mark.usefixtures("list_of_people")
@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"a@example.com\n", "The first line must name the columns, each once, emailAddress among them."),
        (b"emailAddress,emailAddress\n", "The first line must name the columns, each once, emailAddress among them."),
        (b"emailAddress,age\n", "The column age is not known."),
        (b"x" * 200_000, "The line is longer than 65536 bytes."),
    ],
)
def test_columns_without_names_end_the_job(stage: Stage, content: bytes, text: str) -> None:
    job = listing(stage, content)
    stage.turns()
    ended = stage.get(job)
    assert (ended.status, ended.error) == ("FAILED", text)


@pytest.mark.usefixtures("list_of_people")
def test_a_list_that_is_gone_ends_the_job(stage: Stage) -> None:
    job = listing(stage, b"emailAddress\na@example.com\n")
    stage.yard.run(lambda tx: contact_lists.delete(tx, ACCOUNT, REGION, "people"))
    stage.turns()
    ended = stage.get(job)
    assert (ended.status, ended.error, ended.taken) == ("FAILED", "List with name: people doesn't exist.", 0)
