"""Tenants on both databases: limits, what hangs on the id, deletions beside associations."""

from __future__ import annotations

import pytest

from mailstead.base.errors import AlreadyExists, Invalid, LimitExceeded, NotFound
from mailstead.ses import suppression, tags, templates, tenant_resources, tenants
from mailstead.ses.suppression import NO_RULE, Rule
from mailstead.store import wipe
from peers.database import Ground

A, B = "111111111111", "222222222222"
EAST, WEST = "us-east-1", "eu-west-1"
CONTENT = templates.Content("s", "t")
TABLES = ("tenants", "tenant_resources", "tenant_suppressed", "resource_tags")


def create(ground: Ground, name: str, account: str = A, region: str = EAST) -> tenants.Tenant:
    return ground.run(lambda tx: tenants.create(tx, account, region, name))


def furnish(ground: Ground, account: str = A) -> tenants.Tenant:
    """A tenant with a row in each table."""
    made = create(ground, "shop", account)
    ground.run(lambda tx: templates.create(tx, account, EAST, ("hello", CONTENT)))
    ground.run(lambda tx: tenant_resources.associate(tx, account, EAST, "shop", "template/hello"))
    ground.run(lambda tx: suppression.put(tx, account, EAST, "a@x.org", "BOUNCE", tenant=made.id))
    ground.run(lambda tx: tags.put(tx, account, EAST, tags.resource(tags.TENANT, made.id), {"k": "v"}))
    return made


def counts(ground: Ground, account: str = A) -> list[int]:
    return [
        ground.read(lambda tx, t=table: tx.value(f"SELECT count(*) FROM {t} WHERE account = $1", account))
        for table in TABLES
    ]


def test_an_account_has_so_many_in_a_region(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenants, "MAX_TENANTS", 2)
    create(ground, "a")
    create(ground, "b")
    with pytest.raises(LimitExceeded):
        create(ground, "c")
    create(ground, "c", region=WEST)
    create(ground, "c", account=B)


def test_a_name_is_there_once(ground: Ground) -> None:
    first = create(ground, "a")
    with pytest.raises(AlreadyExists):
        create(ground, "a")
    assert ground.read(lambda tx: tenants.get(tx, A, EAST, "a")) == first
    assert create(ground, "A").id != first.id


def test_all_of_it_goes(ground: Ground) -> None:
    furnish(ground)
    furnish(ground, B)
    assert counts(ground) == [1, 1, 1, 1]
    ground.run(lambda tx: tenants.delete(tx, A, EAST, "shop"))
    assert counts(ground) == [0, 0, 0, 0]
    assert counts(ground, B) == [1, 1, 1, 1]
    assert ground.read(lambda tx: templates.find(tx, A, EAST, "hello")) is not None
    ground.run(lambda tx: wipe.wipe(tx, B))
    assert counts(ground, B) == [0, 0, 0, 0]


def test_a_refused_deletion_leaves_all_as_it_was(ground: Ground) -> None:
    furnish(ground)
    ground.run(lambda tx: tags.put(tx, A, EAST, "template/hello", {"k": "v"}))
    with pytest.raises(Invalid):
        ground.run(lambda tx: templates.delete(tx, A, EAST, "hello"))
    assert ground.read(lambda tx: templates.get(tx, A, EAST, "hello")).content == CONTENT
    assert ground.read(lambda tx: tags.of(tx, A, EAST, "template/hello")) == {"k": "v"}


def test_what_is_not_there_is_not_associated(ground: Ground) -> None:
    create(ground, "shop")
    ground.run(lambda tx: templates.create(tx, B, EAST, ("hello", CONTENT)))
    with pytest.raises(NotFound) as caught:
        ground.run(lambda tx: tenant_resources.associate(tx, A, EAST, "shop", "template/hello"))
    assert caught.value.message == f"Resource arn:aws:ses:{EAST}:{A}:template/hello does not exist."
    with pytest.raises(NotFound):
        ground.run(lambda tx: tenant_resources.associate(tx, A, EAST, "nobody", "template/hello"))


def test_an_account_that_was_never_here_has_no_rule(ground: Ground) -> None:
    assert ground.read(lambda tx: suppression.rule_of(tx, A, EAST, "set", "shop")) == NO_RULE


@pytest.mark.parametrize(
    ("said", "tenant", "expected"),
    [
        ([], "", Rule(("BOUNCE",))),
        ([("TENANT", None)], "", Rule(("BOUNCE",))),
        ([("TENANT", None)], "tn", Rule(("BOUNCE",), "tn")),
        ([("", None), ("TENANT", ())], "tn", Rule((), "tn")),
        ([("ACCOUNT", None), ("TENANT", ("COMPLAINT",))], "tn", Rule(("COMPLAINT",))),
        ([("", ()), ("TENANT", ("COMPLAINT",))], "tn", Rule((), "tn")),
    ],
)
def test_who_has_the_first_word(said: list[tuple[str, tuple[str, ...] | None]], tenant: str, expected: Rule) -> None:
    assert suppression.settled(said, account=("BOUNCE",), tenant=tenant) == expected
