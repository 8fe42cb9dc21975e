"""What scripts say, as the front logs it and tells the web server."""

import logging

import pytest

from fcgi.dispatch.tables import Entry, Pending
from fcgi.scriptlog import ScriptLog
from luafarm.config.settings import Front, PoolSettings, Settings
from luafarm.ends import Budget
from luafarm.process.lograte import AT_ONCE_S, OVERHEAD
from luafarm.wire import loglines
from luafarm.wire.messages import ScriptError

KIB = 1024
RATE = 1024
PATH = b"/srv/a.lua"
AT_ONCE = int(AT_ONCE_S * RATE)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "luafarm")
    return caplog


def script_log(log_rate: int = RATE, *, stderr: bool = True) -> ScriptLog:
    pool = PoolSettings(log_rate=log_rate)
    return ScriptLog(Settings(front=Front(stderr=stderr), pool={"web": pool}))


def pending(pool: str = "web", path: bytes = PATH) -> Pending:
    found = Pending(None, path, 0, b"", b"", 0, 0, 0.0)
    found.entry = Entry(path)
    found.entry.pool = pool
    return found


def test_lines_go_to_the_log_and_to_stderr(said: pytest.LogCaptureFixture) -> None:
    log = loglines.encode("warning", "careful") + loglines.encode("info", "a\nb")
    stderr = script_log().lines(pending(), log)
    assert [(r.levelname, r.getMessage()) for r in said.records] == [
        ("WARNING", "/srv/a.lua: careful"),
        ("INFO", "/srv/a.lua: a\n\tb"),
    ]
    assert stderr == b"/srv/a.lua: careful\n/srv/a.lua: a\n\tb\n"


def test_a_name_that_is_no_utf_8_is_told_by_its_bytes(
    said: pytest.LogCaptureFixture,
) -> None:
    script_log().lines(pending(path=b"/srv/caf\xe9.lua"), loglines.encode("info", "x"))
    assert [r.getMessage() for r in said.records] == ["/srv/caf\\xe9.lua: x"]


def test_stderr_can_be_off(said: pytest.LogCaptureFixture) -> None:
    quiet = script_log(stderr=False)
    assert quiet.lines(pending(), loglines.encode("info", "x")) == b""
    assert (
        quiet.error(pending(), ScriptError("E", "m", "", "", 0, "", Budget.NONE)) == b""
    )
    assert len(said.records) == 2


@pytest.mark.parametrize("pool", ["web", "one of the broker's"])
def test_a_frame_full_of_lines_is_written_up_to_the_rate(
    said: pytest.LogCaptureFixture, pool: str
) -> None:
    stderr = script_log().lines(pending(pool), b"\0" * (8 << 20))
    rate = RATE if pool == "web" else PoolSettings().log_rate
    size = OVERHEAD + len(PATH) + len(": ")
    assert 0 < len(said.records) <= AT_ONCE_S * rate // size + 1
    assert stderr.count(b"\n") == len(said.records)


def test_a_long_name_does_not_make_the_web_servers_log_longer(
    said: pytest.LogCaptureFixture,
) -> None:
    path = b"/srv/" + b"n" * 4000
    stderr = script_log().lines(pending(path=path), b"ix\0" * 1000)
    assert 0 < len(stderr) <= AT_ONCE + len(path) + 10
    assert stderr.count(b"\n") == len(said.records)


def test_what_is_left_out_is_told(said: pytest.LogCaptureFixture) -> None:
    log = script_log()
    log.lines(pending(), b"ix\0" * 1000)
    written = len(said.records)
    log.tick(1e9)
    told = f"pool=web logs too much: {1000 - written} lines left out"
    assert said.messages[written:] == [told]


def test_errors_count_as_long_as_they_are_written(
    said: pytest.LogCaptureFixture,
) -> None:
    log = script_log()
    error = ScriptError("Runtime Error", "\0" * 1000, "", "", 0, "", Budget.NONE)
    sizes = [len(log.error(pending(), error)) for _ in range(10)]
    shown = len("/srv/a.lua: Runtime Error: \n") + 1000 * len(r"\x00")
    assert sizes == [shown] * -(-AT_ONCE // (shown + OVERHEAD)) + [0] * 7
    assert sum(sizes) == sum(len(text) + 1 for text in said.messages)
