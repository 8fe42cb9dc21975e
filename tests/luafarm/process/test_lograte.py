"""How much of what scripts say is written down."""

from typing import Any

from luafarm.config.settings import PoolSettings, ScriptSettings, Settings
from luafarm.process.lograte import AT_ONCE_S, OVERHEAD, SLACK, LogRate

RATE = 1000
KIB = 1024


class Watched(bytes):
    """Bytes that remember how many of them were taken out."""

    taken = 0

    def __getitem__(self, key: Any) -> Any:
        """Return what is asked for."""
        part = super().__getitem__(key)
        self.taken += len(part) if isinstance(part, bytes) else 1
        return part


def rate(**override: Any) -> LogRate:
    pool = PoolSettings(log_rate=RATE, log_lines=100, log_bytes=4 * KIB)
    rules = (ScriptSettings(**override),) if override else ()
    return LogRate(Settings(pool={"a": pool, "b": pool}, script=rules))


def flood(limited: LogRate, pool: str, now: float) -> int:
    """Log a line of 36 bytes until it is enough; return how many were written."""
    return sum(limited.admit(pool, 100 - OVERHEAD, now) for _ in range(1000))


def test_a_flood_is_cut_at_ten_seconds_worth_then_at_its_rate() -> None:
    limited = rate()
    assert flood(limited, "a", 50.0) == AT_ONCE_S * RATE / 100
    assert flood(limited, "a", 51.0) == RATE / 100
    assert flood(limited, "a", 1000.0) == AT_ONCE_S * RATE / 100


def test_a_pool_does_not_use_up_what_another_may_write() -> None:
    limited = rate()
    flood(limited, "a", 50.0)
    assert limited.admit("b", 100, 50.0)
    assert limited.admit("one of the broker's", 100, 50.0)


def test_one_long_text_is_written_and_paid_for_later() -> None:
    limited = rate()
    assert limited.admit("a", 100_000, 50.0)
    assert not limited.admit("a", 1, 100.0)
    assert limited.admit("a", 1, 150.0)


def test_what_was_left_out_is_told_once_a_second() -> None:
    limited = rate()
    assert limited.dropped(50.0) == []
    written = flood(limited, "a", 50.0)
    assert limited.dropped(50.1) == [("a", 1000 - written)]
    written = flood(limited, "a", 50.2)
    assert limited.dropped(50.3) == []
    assert limited.dropped(51.2) == [("a", 1000 - written)]
    assert limited.dropped(60.0) == []


def test_lines_are_written_up_to_the_rate_and_no_further_one_is_read() -> None:
    limited = rate()
    log = Watched((b"i" + b"x" * 35 + b"\0") * 100)  # 100 bytes each, with OVERHEAD
    assert limited.lines("a", log, 0, 50.0) == [("info", "x" * 35)] * 100
    again = Watched(log)
    assert len(limited.lines("a", again, 900, 50.0)) == 1  # pays for the next ones
    assert again.taken == 36
    assert limited.dropped(51.0) == [("a", 99)]


def test_a_log_longer_than_any_script_may_have_is_cut_before_it_is_read() -> None:
    limited = rate()
    log = Watched(b"\0" * (1 << 20))
    written = limited.lines("a", log, 0, 50.0)
    assert len(written) == -(-AT_ONCE_S * RATE // OVERHEAD)
    assert log.taken == 0  # nothing stands between the NULs
    most = 4 * KIB + 2 * 100 + SLACK
    assert limited.dropped(50.0) == [("a", most - len(written) + 1)]


def test_one_line_without_end_is_none() -> None:
    limited = rate()
    log = Watched(b"i" + b"x" * (1 << 20))
    assert limited.lines("a", log, 0, 50.0) == []
    assert log.taken == 0
    assert limited.dropped(50.0) == [("a", 1)]


def test_a_log_as_long_as_a_script_may_have_is_written_whole() -> None:
    limited = rate(log_lines=3, log_bytes=6 * KIB)
    text = b"y" * (2 * KIB - 1)
    log = b"w" + text + b"\0"
    assert len(limited.lines("a", log * 3 + b"w9 more log lines\0", 0, 50.0)) == 4
    assert limited.dropped(50.0) == []


def test_what_is_made_harmless_counts_as_long_as_it_is_written() -> None:
    limited = rate()
    limited.lines("a", b"i" + b"\x01" * 2500 + b"\0", 0, 50.0)  # 10,000 as written
    assert not limited.admit("a", 1, 50.0)
