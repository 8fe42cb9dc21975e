"""Temporary files of a front: what they hold, and what all of them may take."""

import pytest

from fcgi.quota import Quota
from fcgi.spool import BodySpool, ReplySpool


def test_a_reply_comes_out_as_it_went_in_and_gives_its_room_back() -> None:
    quota = Quota(100)
    spool = ReplySpool(quota)
    spool.write(b"a" * 60)
    spool.write(b"b" * 40)
    assert (len(spool), quota.left) == (100, 0)
    assert spool.take() == b"a" * 60 + b"b" * 40
    assert spool.take() == b""
    assert (len(spool), quota.left) == (0, 100)
    spool.write(b"c")
    assert spool.take() == b"c"
    spool.close()


def test_what_finds_no_room_is_an_error_and_takes_none() -> None:
    quota = Quota(100)
    first, second, body = ReplySpool(quota), ReplySpool(quota), BodySpool(quota)
    first.write(b"a" * 80)
    with pytest.raises(OSError, match="spool"):
        second.write(b"b" * 21)
    with pytest.raises(OSError, match="spool"):
        body.write(0, b"b" * 21)
    body.write(1, b"c" * 20)
    assert quota.left == 0
    for spool in (first, second, body):
        spool.close()
    assert quota.left == 100


def test_a_body_is_read_by_offset() -> None:
    spool = BodySpool(Quota(100))
    spool.write(0, b"0123456789")
    assert (spool.read(0, 2, 3), spool.read(0, 10, 3), spool.read(1, 0, 9)) == (
        b"234",
        b"",
        b"",
    )
    spool.close()
