"""Multi-region endpoints below the API: whose an id is, and limits."""

from __future__ import annotations

import re

import pytest

from mailstead.base.errors import AlreadyExists, Invalid, LimitExceeded, NotFound
from mailstead.ses import multi_region
from mailstead.ses.multi_region import MAX_ENDPOINTS

A, B = "111111111111", "222222222222"
EAST, WEST, ELSEWHERE = "us-east-1", "eu-west-1", "ap-south-1"


def make(ground, name="both", others=(WEST,), owner=A):
    return ground.run(lambda tx: multi_region.create(tx, owner, EAST, name, others))


def test_an_id_counts_in_both_regions_and_for_its_account_alone(ground):
    made = make(ground)
    assert re.fullmatch(r"[a-z0-9]{8}\.[a-z0-9]{3}", made.id)
    for region in (EAST, WEST):
        ground.read(lambda tx, region=region: multi_region.check_id(tx, A, region, made.id))
    for owner, region in ((A, ELSEWHERE), (B, EAST), (B, WEST)):
        with pytest.raises(NotFound, match=re.escape(f"<{made.id}> does not exist")):
            ground.read(lambda tx, o=owner, r=region: multi_region.check_id(tx, o, r, made.id))
    ground.run(lambda tx: multi_region.delete(tx, A, EAST, "both"))
    with pytest.raises(NotFound):
        ground.read(lambda tx: multi_region.check_id(tx, A, EAST, made.id))


@pytest.mark.parametrize(
    "others", [(), (WEST, ELSEWHERE), (EAST,), ("",), ("EU-WEST-1",), ("eu west 1",), ("x" * 500,)]
)
def test_one_other_region(ground, others):
    with pytest.raises(Invalid):
        make(ground, others=others)
    with pytest.raises(NotFound):
        ground.read(lambda tx: multi_region.get(tx, A, EAST, "both"))


def test_a_name_is_taken_once_and_twenty_are_enough(ground):
    made = make(ground)
    with pytest.raises(AlreadyExists, match="<both> already exists"):
        make(ground)
    assert ground.read(lambda tx: multi_region.get(tx, A, EAST, "both")) == made
    for n in range(1, MAX_ENDPOINTS):
        make(ground, f"e{n}")
    with pytest.raises(LimitExceeded, match="at most 20"):
        make(ground, "one-more")
    make(ground, "one-more", owner=B)
