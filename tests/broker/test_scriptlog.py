"""What scripts say through the broker: no more than their pool's `log_rate`."""

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from broker.scriptlog import ScriptLog
from luafarm.config.settings import Broker, PoolSettings, Settings
from luafarm.ends import Budget, Closing
from luafarm.names import Epoch, Pool, Script
from luafarm.process.lograte import AT_ONCE_S
from luafarm.wire.messages import Gone, Load, LoadFailed, Miss, Place, ScriptError
from tests.broker.peers.played import DEADLINE_S, Bench

RATE = 1024
SCRIPT = Script(b"/r/a.lua")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    pool = PoolSettings(root=(str(tmp_path / "root"),), log_rate=RATE)
    with Bench(tmp_path, pool=pool, broker=Broker(takeover=0.0)) as bench:
        yield bench


@pytest.fixture
def written(caplog: pytest.LogCaptureFixture) -> Callable[[str], list[str]]:
    """Return the texts so far in which there is this one."""
    caplog.set_level(logging.INFO, "luafarm")

    def those(part: str) -> list[str]:
        return [text for text in caplog.messages if part in text]

    return those


def left_out(told: list[str]) -> int:
    """Return the sum of lines that the broker says it left out."""
    return sum(int(text.split()[-4]) for text in told)


def most(since: float, longest: int) -> float:
    """Return how many bytes a pool may have written, the last text not counted."""
    return RATE * (AT_ONCE_S + time.monotonic() - since) + longest


def until(claim: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_all_hosts_of_a_pool_have_one_rate_and_what_is_left_out_is_told(
    bench: Bench, written: Callable[[str], list[str]]
) -> None:
    since = time.monotonic()
    hosts = [bench.host(name) for name in ("h1", "h2")]
    bench.supervisor(*hosts)
    script = Script(bytes(bench.root / "a.lua"))
    for _ in range(50):
        for host in hosts:
            host.say(Gone(script, Epoch(1), Closing.BROKEN, b"i" + b"l" * 1000 + b"\0"))
    told = "logs too much: "
    until(lambda: len(written("llll")) + left_out(written(told)) == 100)
    assert 0 < sum(map(len, written("llll"))) < most(since, 1100)


def test_errors_of_loading_count_as_well(
    bench: Bench, written: Callable[[str], list[str]]
) -> None:
    since = time.monotonic()
    host = bench.host()
    bench.supervisor(host)
    front = bench.front()
    error = ScriptError("error", "m" * 4000, "", "a.lua", 1, "", Budget.NONE)
    for number in range(20):
        front.say(Miss(bench.write(f"{number}.lua", f"{number}"), ()))
        load = host.expect(Load)
        host.say(LoadFailed(load.script, load.epoch, error, (), b""))
        front.expect(Place, lambda place: bool(place.asked))
    texts = written("does not load: mmm")
    assert 0 < sum(map(len, texts)) < most(since, 4200)


def test_lines_of_one_message_are_written_up_to_the_rate(
    written: Callable[[str], list[str]],
) -> None:
    pools = {"p": PoolSettings(log_rate=RATE), "q": PoolSettings()}
    log = ScriptLog(Settings(pool=pools))
    log.lines(Pool("p"), SCRIPT, b"w\0" * 10_000, 50.0)
    log.lines(Pool("q"), SCRIPT, b"wfrom another pool\0", 50.0)
    assert 0 < sum(map(len, written("script=/r/a.lua "))) < RATE * AT_ONCE_S
    assert written("another pool") == ["script=/r/a.lua from another pool"]
    log.tick(50.0)
    empty = len(written("script=/r/a.lua")) - 1
    assert left_out(written("logs too much: ")) == 10_000 - empty
