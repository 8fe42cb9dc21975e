"""What VM hosts may say: each limit from both sides."""

import pytest

from fcgi.dispatch.conduct import (
    FRAME_BYTES,
    IDLE_AT_ONCE,
    IDLE_PER_S,
    MAX_EMPTY,
    MAX_PIECE,
    Conduct,
    check_end,
    check_part,
    check_want,
    count_piece,
    longest_frame,
)
from fcgi.dispatch.tables import Entry, Pending
from luafarm.config.settings import PoolSettings, ScriptSettings, Settings
from luafarm.errors import ProtocolError
from luafarm.names import RequestId
from luafarm.wire import loglines
from luafarm.wire.messages import PROTOCOL, Role, Want, Welcome

SCRIPT = b"/srv/a.lua"
HEAD = b"Status: 200 OK"
WELCOME = Welcome(PROTOCOL, Role.HOST, "host", 0)


def pending(body_bytes: int = 0, data_bytes: int = 0) -> Pending:
    made = Pending(object(), SCRIPT, 0, b"", None, body_bytes, data_bytes, 0.0)
    made.entry = Entry(SCRIPT)
    made.entry.reply_bytes = 100
    made.entry.log_bytes = 50
    return made


def want(offset: int, size: int = 10, stream: int = 0) -> Want:
    return Want(RequestId(1), stream, offset, size)


def pull(run: Pending, stream: int, size: int) -> None:
    """Have a piece asked for, sent and taken."""
    at = run.data_at if stream else run.body_at
    check_want(run, want(at, size or 1, stream), 0)
    count_piece(run, stream, size, 0)


def test_a_reply_may_be_as_long_as_its_budget_and_no_longer() -> None:
    run = pending()
    check_part(run, HEAD, bytes(60), b"")
    check_part(run, b"", bytes(40), b"")
    check_end(run, b"", b"")
    with pytest.raises(ProtocolError, match=r"a reply of 101 bytes; .* make 100"):
        check_end(run, b"x", b"")
    with pytest.raises(ProtocolError, match=r"a reply of 101 bytes; .* make 100"):
        check_part(run, b"", b"x", b"")


def test_a_log_may_be_as_long_as_its_budget_in_all_parts_together() -> None:
    run = pending()
    check_part(run, HEAD, b"", bytes(30))
    check_end(run, b"", bytes(20))
    with pytest.raises(ProtocolError, match=r"a log of 51 bytes; .* may make 50"):
        check_end(run, b"", b"x")


def test_a_part_without_a_lie_is_the_start_of_the_reply() -> None:
    run = pending()
    with pytest.raises(ProtocolError, match="a reply of 101 bytes"):
        check_part(run, HEAD, bytes(101), b"")
    assert not run.begun
    run = pending()
    check_part(run, HEAD, b"", b"")
    assert run.begun


def test_both_streams_of_a_body_are_read_in_order_each_to_its_end() -> None:
    run = pending(body_bytes=25, data_bytes=7)
    pull(run, 0, 10)
    pull(run, 1, 5)
    pull(run, 0, 10)
    pull(run, 0, 5)
    pull(run, 1, 2)
    for stream in (0, 1):
        with pytest.raises(ProtocolError, match=f"body {stream} at .* goes on"):
            check_want(run, want(25 if not stream else 7, 1, stream), 0)


@pytest.mark.parametrize("size", [1, MAX_PIECE])
def test_a_piece_has_any_size_up_to_the_limit(size: int) -> None:
    check_want(pending(body_bytes=1 << 20), want(0, size), 0)


@pytest.mark.parametrize("size", [-1, 0, MAX_PIECE + 1, 2**63])
def test_a_piece_has_no_other_size(size: int) -> None:
    with pytest.raises(ProtocolError, match=f"an ask for {size} bytes of body 0"):
        check_want(pending(body_bytes=1 << 20), want(0, size), 0)


def test_the_next_piece_is_asked_for_when_the_last_was_taken() -> None:
    run = pending(body_bytes=25)
    check_want(run, want(0), 100)
    count_piece(run, 0, 10, 150)
    with pytest.raises(ProtocolError, match="before the last was taken"):
        check_want(run, want(10), 149)
    check_want(run, want(10), 150)


def test_a_body_that_is_gone_is_asked_for_a_few_times() -> None:
    run = pending(body_bytes=25)
    for _ in range(MAX_EMPTY):
        pull(run, 0, 0)
    check_want(run, want(0), 0)
    with pytest.raises(ProtocolError, match=f"more than {MAX_EMPTY} asks"):
        count_piece(run, 0, 0, 0)


def test_a_hello_is_answered_with_one_welcome() -> None:
    conduct = Conduct()
    with pytest.raises(ProtocolError, match="a Welcome without a Hello"):
        conduct.welcome(WELCOME)
    for _ in range(2):
        conduct.greet()
        conduct.welcome(WELCOME)
    with pytest.raises(ProtocolError, match="a Welcome without a Hello"):
        conduct.welcome(WELCOME)


@pytest.mark.parametrize(
    "message",
    [
        Welcome(PROTOCOL + 1, Role.HOST, "host", 0),
        Welcome(PROTOCOL, Role.BROKER, "host", 0),
    ],
)
def test_a_welcome_is_that_of_a_host(message: Welcome) -> None:
    conduct = Conduct()
    conduct.greet()
    with pytest.raises(ProtocolError, match="Welcome as"):
        conduct.welcome(message)


def test_messages_without_content_are_few_at_once_and_any_in_all() -> None:
    conduct = Conduct()
    now = 100.0
    for _ in range(3):
        for _ in range(IDLE_AT_ONCE):
            conduct.idle(now)
        now += IDLE_AT_ONCE / IDLE_PER_S
    for _ in range(IDLE_AT_ONCE):
        conduct.idle(now)
    with pytest.raises(ProtocolError, match=f"more than {IDLE_AT_ONCE} messages"):
        conduct.idle(now + 0.9 / IDLE_PER_S)


def test_the_longest_frame_has_room_for_the_longest_log_of_its_pool() -> None:
    small = PoolSettings(log_bytes=1000, log_lines=10)
    large = PoolSettings(log_bytes=1 << 20, log_lines=10)
    settings = Settings(pool={"small": small, "large": large})
    for pool, log_bytes in (("small", 1000), ("large", 1 << 20), ("other", 1 << 20)):
        longest = loglines.longest(log_bytes, 10)
        assert longest_frame(settings, pool) == FRAME_BYTES + longest
    script = ScriptSettings(pattern="*.lua", log_bytes=5000, log_lines=20)
    settings = Settings(pool={"small": small}, script=(script,))
    assert longest_frame(settings, "small") == FRAME_BYTES + loglines.longest(5000, 20)
    assert longest_frame(Settings(), "any") < 4 << 20
