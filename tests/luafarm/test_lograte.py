"""How much of what scripts say is written down."""

from luafarm.lograte import AT_ONCE_S, OVERHEAD, LogRate
from luafarm.settings import PoolSettings

RATE = 1000


def rate() -> LogRate:
    return LogRate({"a": PoolSettings(log_rate=RATE), "b": PoolSettings(log_rate=RATE)})


def flood(limited: LogRate, pool: str, now: float) -> int:
    """Log a line of 36 bytes until it is enough; return how many were written."""
    return sum(limited.admit(pool, 100 - OVERHEAD, 1, now) for _ in range(1000))


def test_a_flood_is_cut_at_ten_seconds_worth_then_at_its_rate() -> None:
    limited = rate()
    assert flood(limited, "a", 50.0) == AT_ONCE_S * RATE / 100
    assert flood(limited, "a", 51.0) == RATE / 100
    assert flood(limited, "a", 1000.0) == AT_ONCE_S * RATE / 100


def test_a_pool_does_not_use_up_what_another_may_write() -> None:
    limited = rate()
    flood(limited, "a", 50.0)
    assert limited.admit("b", 100, 1, 50.0)
    assert limited.admit("one of the broker's", 100, 1, 50.0)


def test_one_long_text_is_written_and_paid_for_later() -> None:
    limited = rate()
    assert limited.admit("a", 100_000, 1, 50.0)
    assert not limited.admit("a", 1, 1, 100.0)
    assert limited.admit("a", 1, 1, 150.0)


def test_what_was_left_out_is_told_once_a_second() -> None:
    limited = rate()
    assert limited.dropped(50.0) == []
    written = flood(limited, "a", 50.0)
    assert limited.dropped(50.1) == [("a", 1000 - written)]
    written = flood(limited, "a", 50.2)
    assert limited.dropped(50.3) == []
    assert limited.dropped(51.2) == [("a", 1000 - written)]
    assert limited.dropped(60.0) == []
