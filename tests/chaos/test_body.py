"""Replies, byte by byte."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.body import (
    Origin,
    ShortBodyError,
    WrongBodyError,
    check,
    digest,
    expected,
)
from tests.chaos.record import Order

ORDERS = st.builds(
    Order,
    id=st.from_regex(r"[0-9]{2}-[0-9]{6}", fullmatch=True),
    pool=st.just("open"),
    script=st.sampled_from(("quick.lua", "large.lua")),
    method=st.sampled_from(("GET", "POST")),
    lines=st.integers(min_value=1, max_value=20),
    upload_bytes=st.integers(min_value=0, max_value=50),
)
ORIGINS = st.builds(
    Origin,
    generation=st.integers(min_value=1, max_value=999),
    release=st.integers(min_value=1, max_value=99),
    mark=st.from_regex(r"vm-open-[0-9]-[0-9a-f]{8}/[0-9]\.[1-9]", fullmatch=True),
)


@given(ORDERS, ORIGINS)
def test_a_whole_reply_tells_where_it_comes_from(order: Order, origin: Origin) -> None:
    assert check(order, expected(order, origin)) == origin


@given(ORDERS, ORIGINS, st.data())
def test_a_beginning_is_short_and_never_whole(
    order: Order, origin: Origin, data: st.DataObject
) -> None:
    whole = expected(order, origin)
    end = data.draw(st.integers(min_value=0, max_value=len(whole) - 1))
    with pytest.raises(ShortBodyError):
        check(order, whole[:end])


@given(ORDERS, ORIGINS, st.data())
def test_one_other_byte_anywhere_is_seen(
    order: Order, origin: Origin, data: st.DataObject
) -> None:
    whole = bytearray(expected(order, origin))
    at = data.draw(st.integers(min_value=0, max_value=len(whole) - 1))
    whole[at] ^= 1 + data.draw(st.integers(min_value=0, max_value=254))
    try:
        assert check(order, bytes(whole)) != origin
    except (WrongBodyError, ShortBodyError):
        return
    assert order.lines == 1, "the run is named once only"


@given(ORDERS, ORIGINS, st.data())
def test_a_reply_of_two_runs_is_wrong(
    order: Order, origin: Origin, data: st.DataObject
) -> None:
    order = replace(order, lines=order.lines + 1)
    one = expected(order, origin).splitlines(keepends=True)
    other = expected(order, replace(origin, mark=origin.mark + "0"))
    at = data.draw(st.integers(min_value=1, max_value=order.lines - 1))
    mixed = one[:at] + other.splitlines(keepends=True)[at:]
    with pytest.raises(WrongBodyError):
        check(order, b"".join(mixed))


@given(ORDERS, ORIGINS)
def test_more_than_the_reply_and_the_reply_to_another_request_are_wrong(
    order: Order, origin: Origin
) -> None:
    whole = expected(order, origin)
    for text in (whole + b"x", whole * 2, b"<html>" + whole):
        with pytest.raises(WrongBodyError):
            check(order, text)
    other = replace(order, id="xx-000000")
    with pytest.raises(WrongBodyError):
        check(other, whole)


def test_what_was_uploaded_is_a_part_of_the_reply() -> None:
    order = Order("01-000001", "open", "quick.lua", method="POST", upload_bytes=10)
    origin = Origin(1, 1, "s.1")
    assert digest(order).encode() in expected(order, origin)
    with pytest.raises(WrongBodyError):
        check(replace(order, upload_bytes=11), expected(order, origin))
