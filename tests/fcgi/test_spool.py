"""Temporary files of a front: what they hold, and what all of them may take."""

import contextlib
import resource
from collections.abc import Iterator

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


@contextlib.contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes: what a full disk does to one of them."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("over", [1, 5000, 100_000])
def test_a_full_disk_is_told_to_who_writes_and_to_nobody_after_him(over: int) -> None:
    size = 100_000
    quota = Quota(10 * size)
    with full_disk(size):
        body, reply = BodySpool(quota), ReplySpool(quota)
        body.write(0, b"a" * (size - 10))
        reply.write(b"a" * (size - 10))
        for write in (lambda data: body.write(0, data), reply.write):
            with pytest.raises(OSError, match="large"):
                write(b"b" * (10 + over))
        assert body.read(0, size - 11, 1) == b"a"
        assert reply.take().startswith(b"a")
        body.close()
        reply.close()
    assert quota.left == 10 * size


def test_what_takes_the_disk_as_it_comes_is_read_as_it_was_sent() -> None:
    body = BodySpool(Quota(100))
    for stream, data in ((0, b"ab"), (1, b"12"), (0, b""), (0, b"cd"), (1, b"34")):
        body.write(stream, data)
    assert (body.read(0, 0, 9), body.read(1, 1, 9)) == (b"abcd", b"234")
    body.close()
