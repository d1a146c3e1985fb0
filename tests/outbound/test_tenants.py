"""Mail through a tenant: what it must be able to use, when it is switched off, whose suppression list counts."""

from __future__ import annotations

import msgspec
import pytest

from mailstead.base.errors import Denied, MailsteadError, NotFound, Paused
from mailstead.outbound import suppressing
from mailstead.outbound.composition import Options, Templated
from mailstead.proto.smtp.reply import Reply
from mailstead.ses import account as accounts
from mailstead.ses import configuration_sets, events, identities, suppression, templates, tenant_resources, tenants
from mailstead.ses.suppression import BOUNCE, COMPLAINT
from mailstead.ses.tenants import Tenant
from mailstead.store import spool
from peers.yard import ACCOUNT, RAW, REGION, SENDER, Yard

TO = "r@example.net"
HERE = f"arn:aws:ses:{REGION}:{ACCOUNT}:"
THROUGH = Options(tenant="shop")
GONE = Reply(550, "user unknown", "5.1.1")
BOTH = (BOUNCE, COMPLAINT)


def furnish(yard: Yard, *resources: str, scope: str = "", reasons: tuple[str, ...] = BOTH) -> Tenant:
    own = tenants.Suppression(scope, reasons) if scope else None
    made = yard.run(lambda tx: tenants.create(tx, ACCOUNT, REGION, "shop", suppression=own))
    for resource in ("identity/example.com", *resources):
        yard.run(lambda tx, one=resource: tenant_resources.associate(tx, ACCOUNT, REGION, "shop", one))
    return made


def refused(yard: Yard, kind: type[MailsteadError], **given: object) -> str:
    with pytest.raises(kind) as caught:
        yard.submit(TO, **{"options": THROUGH, **given})  # type: ignore[arg-type]
    assert yard.rows("SELECT count(*) FROM messages") == [(0,)]
    return caught.value.message


def create_set(yard: Yard, name: str, **own: object) -> None:
    options = configuration_sets.Options(suppression=configuration_sets.Suppression(**own))  # type: ignore[arg-type]
    yard.run(lambda tx: configuration_sets.create(tx, ACCOUNT, REGION, name, options))


def suppress(yard: Yard, address: str, reason: str = BOUNCE, *, tenant: str = "") -> None:
    yard.run(lambda tx: suppression.put(tx, ACCOUNT, REGION, address, reason, tenant=tenant))


def listed(yard: Yard, tenant: str = "") -> list[str]:
    rows = yard.ground.read(lambda tx: suppression.list_page(tx, ACCOUNT, REGION, tenant=tenant))
    return [entry.address for entry in rows]


# -- what it may use


def test_it_is_told_of_the_mail(yard: Yard) -> None:
    furnish(yard)
    message = yard.submit(TO, options=THROUGH)
    row = yard.ground.read(lambda tx: spool.read(tx, message))
    assert row is not None
    assert row.tenant == "shop"
    assert msgspec.json.decode(row.mail_json)["tags"]["ses:tenant-name"] == ["shop"]
    yard.deliver()
    assert yard.states(message) == [(TO, "delivered")]
    assert b"X-SES-TENANT" not in yard.script.parcels[0].head


def test_a_header_names_it(yard: Yard) -> None:
    furnish(yard)
    message = yard.submit(TO, raw=b"X-SES-TENANT: shop\r\n" + RAW)
    assert yard.rows("SELECT tenant FROM messages WHERE id = $1", message) == [("shop",)]
    yard.deliver()
    assert b"X-SES-TENANT" not in yard.script.parcels[0].head
    other = yard.submit(TO)
    assert yard.rows("SELECT tenant FROM messages WHERE id = $1", other) == [("",)]


def test_no_such_tenant(yard: Yard) -> None:
    yard.run(lambda tx: tenants.create(tx, ACCOUNT, "eu-west-1", "shop"))
    yard.run(lambda tx: tenants.create(tx, "999999999999", REGION, "shop"))
    assert refused(yard, NotFound) == f"Tenant shop for AwsAccountId {ACCOUNT} not found."
    assert refused(yard, NotFound, options=Options(), raw=b"X-SES-TENANT: a b\r\n" + RAW) == (
        f"Tenant a b for AwsAccountId {ACCOUNT} not found."
    )


def test_all_that_is_lacking_is_named(yard: Yard) -> None:
    furnish(yard)
    create_set(yard, "mine")
    yard.run(lambda tx: tenant_resources.dissociate(tx, ACCOUNT, REGION, "shop", "identity/example.com"))
    with_set = Options(tenant="shop", configuration_set="mine")
    missing = "Tenant not associated with resources [{}]."
    both = f"{HERE}identity/example.com, {HERE}configuration-set/mine"
    assert refused(yard, Denied, options=with_set) == missing.format(both)
    yard.run(lambda tx: tenant_resources.associate(tx, ACCOUNT, REGION, "shop", "identity/example.com"))
    assert refused(yard, Denied, options=with_set) == missing.format(f"{HERE}configuration-set/mine")
    yard.run(lambda tx: tenant_resources.associate(tx, ACCOUNT, REGION, "shop", "configuration-set/mine"))
    assert yard.submit(TO, options=with_set)


def test_the_default_set_counts_too(yard: Yard) -> None:
    furnish(yard)
    create_set(yard, "mine")
    yard.run(lambda tx: identities.set_configuration_set(tx, ACCOUNT, REGION, "example.com", "mine"))
    assert refused(yard, Denied) == f"Tenant not associated with resources [{HERE}configuration-set/mine]."


def test_the_most_specific_identity_counts(yard: Yard) -> None:
    furnish(yard)
    yard.run(lambda tx: identities.create(tx, ACCOUNT, REGION, SENDER, verified=True))
    assert refused(yard, Denied) == f"Tenant not associated with resources [{HERE}identity/{SENDER}]."


def test_stored_templates_count_too(yard: Yard) -> None:
    furnish(yard)
    content = templates.Content("s", "t")
    yard.run(lambda tx: templates.create(tx, ACCOUNT, REGION, ("hello", content)))
    given = {"raw": None, "to": (TO,), "operation": "SendEmail", "destinations": None, "options": THROUGH}
    stored = Templated(content, {}, "hello")
    assert refused(yard, Denied, **given, templated=stored) == (
        f"Tenant not associated with resources [{HERE}template/hello]."
    )
    assert yard.submit(**given, templated=Templated(content, {}))  # type: ignore[arg-type]
    yard.run(lambda tx: tenant_resources.associate(tx, ACCOUNT, REGION, "shop", "template/hello"))
    assert yard.submit(**given, templated=stored)  # type: ignore[arg-type]


def test_what_it_may_use_no_longer(yard: Yard) -> None:
    """What was granted a moment ago is asked again after a change."""
    furnish(yard)
    for _ in range(2):
        yard.submit(TO, options=THROUGH)
    yard.run(lambda tx: tenant_resources.dissociate(tx, ACCOUNT, REGION, "shop", "identity/example.com"))
    with pytest.raises(Denied):
        yard.submit(TO, options=THROUGH)
    yard.submit(TO)
    yard.run(lambda tx: tenants.delete(tx, ACCOUNT, REGION, "shop"))
    with pytest.raises(NotFound):
        yard.submit(TO, options=THROUGH)


# -- its sending status


def test_switched_off(yard: Yard) -> None:
    made = furnish(yard)

    def switch(status: str) -> None:
        assert yard.run(lambda tx: tenants.set_status(tx, ACCOUNT, REGION, made.id, status))

    yard.submit(TO, options=THROUGH)
    switch(tenants.DISABLED)
    with pytest.raises(Paused) as caught:
        yard.submit(TO, options=THROUGH)
    assert caught.value.message.startswith("Sending paused for tenant <shop>. For more information")
    yard.submit(TO)
    for status in (tenants.REINSTATED, tenants.ENABLED):
        switch(status)
        yard.submit(TO, options=THROUGH)


def test_it_does_not_help_a_paused_account(yard: Yard) -> None:
    made = furnish(yard)
    yard.run(lambda tx: tenants.set_status(tx, ACCOUNT, REGION, made.id, tenants.REINSTATED))
    yard.run(lambda tx: accounts.set_sending(tx, ACCOUNT, REGION, enabled=False))
    assert refused(yard, Paused).startswith("Sending paused for this account.")


# -- whom it must not mail


@pytest.mark.parametrize(
    ("scope", "reasons", "own_set", "kept_back"),
    [
        ("", (), {}, "ab"),
        ("ACCOUNT", BOTH, {}, "ab"),
        ("ACCOUNT", (COMPLAINT,), {}, "b"),
        ("ACCOUNT", (), {}, ""),
        ("TENANT", BOTH, {}, "cd"),
        ("TENANT", (BOUNCE,), {}, "c"),
        ("TENANT", (), {}, ""),
        ("TENANT", BOTH, {"scope": "ACCOUNT"}, "ab"),
        ("TENANT", BOTH, {"reasons": (COMPLAINT,)}, "d"),
        ("ACCOUNT", (BOUNCE,), {"scope": "TENANT"}, "c"),
        ("", (), {"scope": "TENANT"}, "cd"),
        ("TENANT", BOTH, {"reasons": ()}, ""),
    ],
)
def test_whose_list_counts(
    yard: Yard, scope: str, reasons: tuple[str, ...], own_set: dict[str, object], kept_back: str
) -> None:
    made = furnish(yard, scope=scope, reasons=reasons)
    create_set(yard, "mine", **own_set)
    yard.run(lambda tx: tenant_resources.associate(tx, ACCOUNT, REGION, "shop", "configuration-set/mine"))
    yard.run(lambda tx: accounts.set_suppression(tx, ACCOUNT, REGION, reasons=BOTH))
    suppress(yard, "a@example.net", BOUNCE)
    suppress(yard, "b@example.net", COMPLAINT)
    suppress(yard, "c@example.net", BOUNCE, tenant=made.id)
    suppress(yard, "d@example.net", COMPLAINT, tenant=made.id)
    to = [f"{name}@example.net" for name in "abcde"]
    options = Options(tenant="shop", configuration_set="mine") if own_set else THROUGH
    for _ in range(2):
        message = yard.submit(*to, options=options)
        assert "".join(one[0] for one, state in yard.states(message) if state == "suppressed") == kept_back


def test_what_is_told_of_its_list(yard: Yard) -> None:
    made = furnish(yard, scope="TENANT")
    suppress(yard, "a@example.net", BOUNCE, tenant=made.id)
    suppress(yard, "b@example.net", COMPLAINT, tenant=made.id)
    message = yard.submit("a@example.net", "b@example.net", options=THROUGH)
    _, bounce, complaint = yard.events(message)
    text = "Amazon SES did not send the message to this address because it is on the suppression list for your tenant."
    assert bounce.detail["bounceSubType"] == complaint.detail["complaintSubType"] == "OnTenantSuppressionList"
    assert bounce.detail["bouncedRecipients"][0]["diagnosticCode"] == text
    assert (bounce.recipients, complaint.recipients) == (0, 0)
    assert yard.deliveries(message)[0].reply == str(suppressing.TENANT.reply) == f"550 5.1.1 {text}"
    ((_, notice),) = yard.notices()
    assert b"for your tenant" in notice.replace(b"\r\n ", b" ")


@pytest.mark.parametrize(
    ("scope", "reasons", "own_set", "on_account", "on_tenant"),
    [
        ("", (), {}, True, False),
        ("ACCOUNT", (BOUNCE,), {}, True, False),
        ("ACCOUNT", (COMPLAINT,), {}, False, False),
        ("TENANT", (BOUNCE,), {}, False, True),
        ("TENANT", (COMPLAINT,), {}, False, False),
        ("TENANT", (COMPLAINT,), {"reasons": (BOUNCE,)}, False, True),
        ("TENANT", (BOUNCE,), {"scope": "ACCOUNT"}, True, False),
    ],
)
def test_where_a_hard_bounce_is_noted(
    yard: Yard, scope: str, reasons: tuple[str, ...], own_set: dict[str, object], on_account: bool, on_tenant: bool
) -> None:
    made = furnish(yard, scope=scope, reasons=reasons)
    yard.run(lambda tx: accounts.set_suppression(tx, ACCOUNT, REGION, reasons=BOTH))
    create_set(yard, "mine", **own_set)
    yard.run(lambda tx: tenant_resources.associate(tx, ACCOUNT, REGION, "shop", "configuration-set/mine"))
    yard.script.replies[TO] = GONE
    options = Options(tenant="shop", configuration_set="mine") if own_set else THROUGH
    message = yard.submit(TO, options=options)
    yard.deliver()
    assert (listed(yard), listed(yard, made.id)) == ([TO] * on_account, [TO] * on_tenant)
    if on_tenant:
        entry = yard.ground.read(lambda tx: suppression.get(tx, ACCOUNT, REGION, TO, tenant=made.id))
        (bounce,) = [event for event in yard.events(message) if event.kind == events.BOUNCE]
        assert (entry.message, entry.feedback) == (message, bounce.detail["feedbackId"])


def test_the_tenant_is_gone_before_the_bounce(yard: Yard) -> None:
    furnish(yard, scope="TENANT")
    yard.run(lambda tx: accounts.set_suppression(tx, ACCOUNT, REGION, reasons=BOTH))
    yard.script.replies[TO] = GONE
    yard.submit(TO, options=THROUGH)
    yard.run(lambda tx: tenants.delete(tx, ACCOUNT, REGION, "shop"))
    yard.deliver()
    assert listed(yard) == [TO]
    assert yard.rows("SELECT count(*) FROM tenant_suppressed") == [(0,)]
