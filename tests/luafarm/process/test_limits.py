"""Limits of open files, each tried in a process of its own."""

import subprocess
import sys

from tests.luafarm.farms import environment


def after(soft: int, hard: int, call: str) -> list[str]:
    """Return the result of a call, the soft limit after it, and what was logged."""
    program = (
        "import logging, resource; from luafarm.process import limits; "
        "logging.basicConfig(level='INFO', format='%(message)s'); "
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard})); "
        f"print(limits.{call}); print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(),
        capture_output=True,
        check=True,
        text=True,
    )
    return [*done.stdout.split(), done.stderr.strip()]


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    assert after(256, 2000, "raise_files()") == ["2000", "2000", ""]


def test_no_more_is_asked_for_than_is_enough() -> None:
    assert after(256, 2000, "raise_files(1000)") == ["1000", "1000", ""]


def test_a_limit_that_is_higher_already_stays() -> None:
    assert after(1500, 2000, "raise_files(1000)") == ["1500", "1500", ""]


def test_connections_that_fit_are_not_spoken_of() -> None:
    assert after(256, 2000, "connections(1488)") == ["1488", "2000", ""]


def test_connections_that_do_not_fit_are_fewer_and_it_is_said() -> None:
    assert after(256, 2000, "connections(4096)") == [
        "1488",
        "2000",
        "max_connections=4096: this front can hold 1488, because it may open 2000 "
        "files (LimitNOFILE, ulimit -Hn)",
    ]


def test_a_very_low_limit_leaves_half_for_connections() -> None:
    assert after(200, 300, "connections(4096)")[:2] == ["150", "300"]


def test_the_lowest_limits_leave_what_a_front_needs_for_itself() -> None:
    assert after(64, 64, "connections(4096)")[:2] == ["24", "64"]
    assert after(41, 41, "connections(4096)")[:2] == ["1", "41"]


def test_a_limit_below_what_the_farm_needs_is_told_with_what_it_needs() -> None:
    short = "a process may open 55 files here; with 4 VM hosts it needs at least 56 "
    assert after(30, 55, "shortage(4) or None")[0] != "None"
    said = after(55, 55, "shortage(4)")
    assert " ".join(said[:-2]).startswith(short.strip())
    assert after(30, 56, "shortage(4) or None")[0] == "None"
