"""Every operation of the models is either offered or says why not; the tables and the page are those of today."""

from __future__ import annotations

import runpy
from collections import Counter
from typing import Any

import pytest

from mailstead.aws import errors, model, not_offered
from mailstead.aws.errors import Code
from mailstead.aws.operations import HANDLED
from mailstead.base.errors import MailsteadError
from peers.ground import ROOT

MODEL = {(service, name) for service in ("ses", "sesv2", "sts", "sns") for name in model.load(service).operations}  # type: ignore[arg-type]


def tool(name: str) -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "tools" / f"{name}.py"))


def test_handlers_and_not_offered_are_exactly_the_operations_of_the_models() -> None:
    offered, absent = set(HANDLED), set(not_offered.NOT_OFFERED)
    assert offered & absent == set(), "has a handler: take it out of aws/not_offered.py"
    assert offered | absent == MODEL


def test_no_operation_is_named_twice() -> None:
    for lines in not_offered.PLANNED.values():
        names = Counter(name for line in lines for name in line.split())
        assert [name for name, count in names.items() if count > 1] == []


def test_what_is_declined_says_why() -> None:
    assert all(reason.endswith(".") for reason in not_offered.DECLINED.values())


def test_what_an_operation_lacks_is_said_of_those_that_are_offered() -> None:
    assert set(not_offered.NOT_YET) <= set(HANDLED)
    assert all(lack.endswith(".") for lack in not_offered.NOT_YET.values())


def test_the_page_of_operations_is_up_to_date() -> None:
    page = tool("make_operations_page")["page"]()
    assert (ROOT / "docs" / "operations.md").read_text("utf-8") == page, "run make docs"


def test_the_tables_are_those_of_the_installed_botocore() -> None:
    for name, text in tool("make_models")["tables"]().items():
        assert (ROOT / "src" / "mailstead" / "aws" / "models" / name).read_text("utf-8") == text, "run make models"


@pytest.mark.parametrize("table", [errors.V1, errors.V2, errors.SNS])
def test_every_word_of_ours_has_a_code(table: dict[tuple[type[MailsteadError], str], Code]) -> None:
    words = [cls for cls in MailsteadError.__subclasses__() if cls.__module__ == MailsteadError.__module__]
    assert len(words) >= 13
    for cls in words:  # those that others derive from them are found through these
        for kind in ("", "something else"):
            assert errors.code_of(table, cls("text", kind=kind)) is not None, cls


def test_the_codes_are_those_of_the_models() -> None:
    """A code that looks like a declared error must be one: word and status."""
    v1 = dict(model.load("ses").errors.values())
    for code in errors.V1.values():
        assert code.word not in v1 or v1[code.word] == code.status
    v2 = dict(model.load("sesv2").errors.values())
    for code in errors.V2.values():
        assert code.word not in v2 or v2[code.word] == code.status
    known = set(v1) | {"InvalidParameterValue", "ValidationError", "Throttling", "AccessDenied", "OptInRequired"}
    known |= {"ServiceUnavailable", "UnsupportedOperation"}
    assert {code.word for code in errors.V1.values()} <= known
