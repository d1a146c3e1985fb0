"""Message tags: what SES says of wrong ones (SES: wire §9)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstead.base.errors import Invalid
from mailstead.ses import message_tags


@pytest.mark.parametrize(
    ("tags", "text"),
    [
        ([("", "v")], "The tag name must be specified."),
        ([("n", "")], "The tag value must be specified."),
        ([("", "")], "The tag name must be specified."),
        ([("x" * 256, "v")], "Tag name cannot exceed 255 characters."),
        ([("n", "x" * 256)], "Tag value cannot exceed 255 characters."),
        ([("a b", "v")], "Invalid tag name <a b>: only alphanumeric ASCII characters, '_',  '-' are allowed."),
        ([("é", "v")], "Invalid tag name <é>: only alphanumeric ASCII characters, '_',  '-' are allowed."),
        (
            [("n", "a b")],
            "Invalid tag value <a b>: only alphanumeric ASCII characters, '_',  '-' , '.', '@' are allowed.",
        ),
        (
            [("n", "v"), ("a.b", "c d")],
            "Invalid tag name <a.b>: only alphanumeric ASCII characters, '_',  '-' are allowed.",
        ),
        (
            [("n", "v\n")],
            "Invalid tag value <v\n>: only alphanumeric ASCII characters, '_',  '-' , '.', '@' are allowed.",
        ),
        ([(f"n{n}", "v") for n in range(51)], "Tag count exceeds 50."),
    ],
)
def test_wrong_tags(tags, text):
    with pytest.raises(Invalid) as caught:
        message_tags.check(tags)
    assert str(caught.value) == text


def test_good_tags():
    tags = (("A-z_0", "a.b@c-d_e"), ("x" * 255, "y" * 255))
    assert message_tags.check(tags) == tags


def test_the_header():
    assert message_tags.parse_header("a=1, b=x@y.z ,c=2,") == (("a", "1"), ("b", "x@y.z"), ("c", "2"))
    assert message_tags.parse_header("") == ()
    with pytest.raises(Invalid, match="value must be specified"):
        message_tags.parse_header("a")


@given(st.text(max_size=60))
def test_any_header_is_tags_or_invalid(text):
    try:
        tags = message_tags.parse_header(text)
    except Invalid:
        return
    assert message_tags.check(tags) == tags
