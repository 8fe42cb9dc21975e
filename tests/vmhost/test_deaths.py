"""Exit codes put into words."""

import signal

import pytest

from vmhost import deaths
from vmhost.deaths import Cause, cause


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (-signal.SIGALRM, deaths.WALL),
        (-signal.SIGPROF, deaths.CPU),
        (-signal.SIGXCPU, deaths.CPU),
        (-signal.SIGSYS, deaths.SECCOMP),
        (-signal.SIGABRT, deaths.ABORT),
        (-signal.SIGSEGV, deaths.CRASH),
        (-signal.SIGBUS, deaths.CRASH),
        (-signal.SIGKILL, deaths.KILLED),
        (-signal.SIGTERM, deaths.STOPPED),
        (-signal.SIGRTMAX, deaths.KILLED),
        (-99, deaths.KILLED),
        (0, deaths.STOPPED),
        (deaths.EXIT_FAILED, deaths.FAILED),
        (deaths.EXIT_LACKING, deaths.LACKING),
        (deaths.EXIT_PROTOCOL, deaths.PROTOCOL),
        (1, deaths.FAILED),
    ],
)
def test_an_exit_code_names_the_reason(code: int, reason: str) -> None:
    assert cause(code, None, "").reason == reason


def test_a_panic_of_lua_51_is_told_from_other_failures_by_its_last_words() -> None:
    errors = "PANIC: unprotected error in call to Lua API (not enough memory)\n"
    assert cause(1, None, errors).reason == deaths.ABORT


def test_the_reason_of_the_supervisor_counts_when_it_killed() -> None:
    ours = Cause(deaths.WALL, "too long")
    assert cause(-signal.SIGKILL, ours, "") == ours


def test_a_host_that_died_otherwise_before_the_kill_arrived_tells_its_own_story() -> (
    None
):
    ours = Cause(deaths.WALL, "too long")
    assert cause(-signal.SIGSEGV, ours, "").reason == deaths.CRASH


def test_a_drained_host_ended_as_asked() -> None:
    ours = Cause(deaths.STOPPED, "recycled")
    assert cause(0, ours, "") == ours
