"""Exit codes put into words."""

import signal

import pytest

from luafarm.ends import Death
from vmhost import deaths
from vmhost.deaths import Cause, cause


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (-signal.SIGALRM, Death.WALL),
        (-signal.SIGPROF, Death.CPU),
        (-signal.SIGXCPU, Death.CPU),
        (-signal.SIGSYS, Death.SECCOMP),
        (-signal.SIGABRT, Death.ABORT),
        (-signal.SIGSEGV, Death.CRASH),
        (-signal.SIGBUS, Death.CRASH),
        (-signal.SIGKILL, Death.KILLED),
        (-signal.SIGTERM, Death.STOPPED),
        (-signal.SIGRTMAX, Death.KILLED),
        (-99, Death.KILLED),
        (0, Death.STOPPED),
        (deaths.EXIT_FAILED, Death.FAILED),
        (deaths.EXIT_LACKING, Death.LACKING),
        (deaths.EXIT_PROTOCOL, Death.PROTOCOL),
        (deaths.EXIT_UNOPENED, Death.FAILED),
        (1, Death.FAILED),
    ],
)
def test_an_exit_code_names_the_reason(code: int, reason: str) -> None:
    assert cause(code, None, "").reason == reason


def test_a_panic_of_lua_51_is_told_from_other_failures_by_its_last_words() -> None:
    errors = "PANIC: unprotected error in call to Lua API (not enough memory)\n"
    assert cause(1, None, errors).reason == Death.ABORT


def test_the_reason_of_the_supervisor_counts_when_it_killed() -> None:
    ours = Cause(Death.WALL, "too long")
    assert cause(-signal.SIGKILL, ours, "") == ours


def test_a_host_that_died_otherwise_before_the_kill_arrived_tells_its_own_story() -> (
    None
):
    ours = Cause(Death.WALL, "too long")
    assert cause(-signal.SIGSEGV, ours, "").reason == Death.CRASH


def test_a_script_that_ends_the_process_is_told_from_a_host_that_ends_as_asked() -> (
    None
):
    assert cause(0, None, "", is_running=True).reason == Death.FAILED
    assert cause(0, None, "", is_running=False).reason == Death.STOPPED


def test_a_drained_host_ended_as_asked() -> None:
    ours = Cause(Death.STOPPED, "recycled")
    assert cause(0, ours, "") == ours
