"""Block-list reports through boto3: what is refused (the lists themselves answer in tests/ses and tests/e2e)."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from mailstead.ses import account, dedicated_ips

A, B = "111111111111", "222222222222"
ONE = "192.0.2.1"


def refused(call, **params):
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"]


@pytest.fixture
def furnished(cloud):
    """Makes a cloud where the first account has an address."""

    def make(*lists):
        made = cloud(new_account=account.PRODUCTION, blocklists=lists)
        made.client("sesv2").get_account()
        made.ground.run(lambda tx: dedicated_ips.assign(tx, A, "us-east-1", ONE))
        return made

    return make


@pytest.fixture
def here(furnished):
    return furnished("bl.test")


def test_only_the_accounts_own_addresses(here):
    for owner, region, ip in ((B, "us-east-1", ONE), (A, "eu-west-1", ONE), (A, "us-east-1", "192.0.2.2")):
        call = here.client("sesv2", owner, region).get_blacklist_reports
        text = f"Could not find dedicated IP <{ip}> under this account."
        assert refused(call, BlacklistItemNames=[ip]) == ("NotFoundException", text)


@pytest.mark.parametrize("count", [0, 51])
def test_how_many(here, count):
    names = [f"192.0.2.{n}" for n in range(count)]
    code, text = refused(here.client("sesv2").get_blacklist_reports, BlacklistItemNames=names)
    assert code == "BadRequestException"
    assert text


def test_no_lists_no_report(furnished):
    v2 = furnished().client("sesv2")
    code, text = refused(v2.get_blacklist_reports, BlacklistItemNames=[ONE])
    assert (code, text) == ("UnsupportedOperation", "No block list is named here (deliverability.blocklists).")


def test_the_panel_is_not_here(here):
    v2 = here.client("sesv2")
    code, text = refused(v2.get_deliverability_dashboard_options)
    assert code == "UnsupportedOperation"
    assert text.startswith("Mailstead does not offer GetDeliverabilityDashboardOptions: it tells where mail lands")
