"""Contact lists and contacts through boto3."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from mailstead.base.clock import HOUR

A, B = "111111111111", "222222222222"
NEWS = {"TopicName": "news", "DisplayName": "News", "Description": "All", "DefaultSubscriptionStatus": "OPT_IN"}
OFFERS = {"TopicName": "offers", "DisplayName": "Offers", "DefaultSubscriptionStatus": "OPT_OUT"}
ANNA = "Anna+x@example.com"


def refused(call, **params):
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"], answer["ResponseMetadata"]["HTTPStatusCode"]


@pytest.fixture
def here(cloud):
    return cloud()


@pytest.fixture
def v2(here):
    return here.client("sesv2")


@pytest.fixture
def ours(v2):
    """A list ``ours`` with two topics."""
    v2.create_contact_list(ContactListName="ours", Topics=[NEWS, OFFERS], Description="What we write")
    return v2


def moment(milliseconds):
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def preference(topic, status):
    return {"TopicName": topic, "SubscriptionStatus": status}


def told(answer):
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def test_the_life_of_a_list(here, v2):
    v2.create_contact_list(
        ContactListName="ours", Topics=[NEWS, OFFERS], Description="What", Tags=[{"Key": "team", "Value": "shop"}]
    )
    made = moment(here.ground.clock.now())
    assert told(v2.get_contact_list(ContactListName="ours")) == {
        "ContactListName": "ours",
        "Topics": [NEWS, OFFERS],
        "Description": "What",
        "CreatedTimestamp": made,
        "LastUpdatedTimestamp": made,
        "Tags": [{"Key": "team", "Value": "shop"}],
    }
    here.ground.clock.advance(HOUR)
    v2.update_contact_list(ContactListName="ours", Topics=[OFFERS])
    changed = moment(here.ground.clock.now())
    assert told(v2.get_contact_list(ContactListName="ours")) == {
        "ContactListName": "ours",
        "Topics": [OFFERS],
        "CreatedTimestamp": made,
        "LastUpdatedTimestamp": changed,
        "Tags": [{"Key": "team", "Value": "shop"}],
    }
    (listed,) = v2.list_contact_lists()["ContactLists"]
    assert listed == {"ContactListName": "ours", "LastUpdatedTimestamp": changed}
    v2.delete_contact_list(ContactListName="ours")
    assert v2.list_contact_lists()["ContactLists"] == []
    expected = ("NotFoundException", "List with name: ours doesn't exist.", 404)
    for call in (v2.get_contact_list, v2.update_contact_list, v2.delete_contact_list):
        assert refused(call, ContactListName="ours") == expected


def test_one_list(ours):
    code, text, status = refused(ours.create_contact_list, ContactListName="ours")
    assert (code, text, status) == ("AlreadyExistsException", "List with name: ours already exists.", 400)
    assert refused(ours.create_contact_list, ContactListName="another") == (
        "LimitExceededException",
        "A maximum of 1 Lists allowed per account.",
        400,
    )


def test_tags(here, ours):
    arn = f"arn:aws:ses:us-east-1:{A}:contact-list/ours"
    ours.tag_resource(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    ours.untag_resource(ResourceArn=arn, TagKeys=["a"])
    assert ours.get_contact_list(ContactListName="ours")["Tags"] == [{"Key": "b", "Value": "2"}]
    assert ours.list_tags_for_resource(ResourceArn=arn)["Tags"] == [{"Key": "b", "Value": "2"}]
    assert refused(here.client("sesv2", B).list_tags_for_resource, ResourceArn=arn)[0] == "NotFoundException"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"ContactListName": "a b"}, "ContactListName can contain up to 64 characters. "),
        ({"ContactListName": "a", "Topics": [NEWS, NEWS]}, "Duplicate topic names are not allowed within a List."),
        ({"ContactListName": "a", "Topics": [{**NEWS, "TopicName": "a;b"}]}, "TopicName can contain up to 64 "),
        (
            {"ContactListName": "a", "Topics": [{**NEWS, "TopicName": f"t{n}"} for n in range(21)]},
            "Maximum of <20> topics allowed per ContactList",
        ),
        ({"ContactListName": "a", "Topics": [{**NEWS, "DefaultSubscriptionStatus": "MAYBE"}]}, "1 validation error"),
        ({"ContactListName": "a", "Description": "x" * 501}, "List description can contain up to 500 characters."),
        ({"ContactListName": "a", "Tags": [{"Key": "aws:x", "Value": ""}]}, "Invalid tag key"),
    ],
)
def test_lists_that_cannot_be(v2, given, text):
    code, message, _ = refused(v2.create_contact_list, **given)
    assert code == "BadRequestException"
    assert message.startswith(text)
    assert v2.list_contact_lists()["ContactLists"] == []


def test_the_life_of_a_contact(here, ours):
    ours.create_contact(
        ContactListName="ours",
        EmailAddress="Anna+x@Example.COM",
        TopicPreferences=[preference("offers", "OPT_IN")],
        AttributesData='{"name": "Anna"}',
    )
    made = moment(here.ground.clock.now())
    assert told(ours.get_contact(ContactListName="ours", EmailAddress=ANNA)) == {
        "ContactListName": "ours",
        "EmailAddress": ANNA,
        "TopicPreferences": [preference("offers", "OPT_IN")],
        "TopicDefaultPreferences": [preference("news", "OPT_IN")],
        "UnsubscribeAll": False,
        "AttributesData": '{"name": "Anna"}',
        "CreatedTimestamp": made,
        "LastUpdatedTimestamp": made,
    }
    here.ground.clock.advance(HOUR)
    # Preferences and attributes that are not given again are dropped.
    ours.update_contact(
        ContactListName="ours",
        EmailAddress=ANNA,
        TopicPreferences=[preference("news", "OPT_OUT")],
        UnsubscribeAll=True,
    )
    changed = moment(here.ground.clock.now())
    summary = {
        "EmailAddress": ANNA,
        "TopicPreferences": [preference("news", "OPT_OUT")],
        "TopicDefaultPreferences": [preference("offers", "OPT_OUT")],
        "UnsubscribeAll": True,
        "LastUpdatedTimestamp": changed,
    }
    found = told(ours.get_contact(ContactListName="ours", EmailAddress=ANNA))
    assert found == {"ContactListName": "ours", **summary, "CreatedTimestamp": made}
    assert ours.list_contacts(ContactListName="ours")["Contacts"] == [summary]
    taken = refused(ours.create_contact, ContactListName="ours", EmailAddress=ANNA)
    assert taken == ("AlreadyExistsException", f"{ANNA} already exists in List.", 400)
    ours.delete_contact(ContactListName="ours", EmailAddress=ANNA)
    for call in (ours.get_contact, ours.update_contact, ours.delete_contact):
        gone = refused(call, ContactListName="ours", EmailAddress=ANNA)
        assert gone == ("NotFoundException", f"{ANNA} doesn't exist in List.", 404)
    assert ours.list_contacts(ContactListName="ours")["Contacts"] == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"EmailAddress": "nobody"}, ("BadRequestException", "EmailAddress <nobody> is invalid", 400)),
        (
            {"TopicPreferences": [preference("weather", "OPT_IN")]},
            ("BadRequestException", "List: ours doesn't contain Topic: weather", 400),
        ),
        ({"AttributesData": "[1]"}, ("BadRequestException", "AttributesData is not a valid JSON object.", 400)),
        ({"ContactListName": "none"}, ("NotFoundException", "List with name: none doesn't exist.", 404)),
    ],
)
def test_contacts_that_cannot_be(ours, given, expected):
    asked = {"ContactListName": "ours", "EmailAddress": ANNA, **given}
    assert refused(ours.create_contact, **asked) == expected
    ours.create_contact(ContactListName="ours", EmailAddress=ANNA)
    assert refused(ours.update_contact, **asked) == expected


def test_pages_and_filters(ours):
    for n in range(5):
        chosen = [preference("offers", ("OPT_IN", "OPT_OUT")[n % 2])] if n < 4 else []
        ours.create_contact(
            ContactListName="ours", EmailAddress=f"a{n}@example.com", TopicPreferences=chosen, UnsubscribeAll=n == 2
        )

    def listed(size=None, **chosen):
        found, more = [], {"PageSize": size} if size else {}
        while True:
            page = ours.list_contacts(ContactListName="ours", Filter=chosen, **more)
            assert size is None or len(page["Contacts"]) <= size
            found += [one["EmailAddress"][1] for one in page["Contacts"]]
            if "NextToken" not in page:
                return "".join(found)
            more["NextToken"] = page["NextToken"]

    def offers(default):
        return {"TopicName": "offers", "UseDefaultIfPreferenceUnavailable": default}

    for size in (None, 1, 2):
        assert listed(size) == "01234"
        assert listed(size, FilteredStatus="OPT_OUT") == "2"
        assert listed(size, FilteredStatus="OPT_IN") == "0134"
        assert listed(size, FilteredStatus="OPT_IN", TopicFilter=offers(False)) == "0"
        assert listed(size, FilteredStatus="OPT_OUT", TopicFilter=offers(False)) == "123"
        assert listed(size, FilteredStatus="OPT_OUT", TopicFilter=offers(True)) == "1234"
    token = ours.list_contacts(ContactListName="ours", PageSize=1)["NextToken"]
    for wrong in ({"NextToken": "x"}, {"NextToken": token, "Filter": {"FilteredStatus": "OPT_IN"}}):
        assert refused(ours.list_contacts, ContactListName="ours", **wrong)[0] == "BadRequestException"
    unknown = {"TopicFilter": {"TopicName": "weather"}}
    assert refused(ours.list_contacts, ContactListName="ours", Filter=unknown)[0] == "BadRequestException"
    assert refused(ours.list_contacts, ContactListName="none")[0] == "NotFoundException"


def test_accounts_and_regions_are_apart(here, ours):
    ours.create_contact(ContactListName="ours", EmailAddress=ANNA)
    for other in (here.client("sesv2", B), here.client("sesv2", A, "eu-west-1")):
        assert other.list_contact_lists()["ContactLists"] == []
        expected = ("NotFoundException", "List with name: ours doesn't exist.", 404)
        for call in (other.get_contact_list, other.update_contact_list, other.delete_contact_list, other.list_contacts):
            assert refused(call, ContactListName="ours") == expected
        for call in (other.create_contact, other.get_contact, other.update_contact, other.delete_contact):
            assert refused(call, ContactListName="ours", EmailAddress=ANNA) == expected
        other.create_contact_list(ContactListName="ours")
        assert other.list_contacts(ContactListName="ours")["Contacts"] == []
    assert ours.get_contact(ContactListName="ours", EmailAddress=ANNA)["EmailAddress"] == ANNA
