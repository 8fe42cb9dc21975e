"""Trials that never were, and what is wrong with them."""

from dataclasses import replace

import pytest

from tests.chaos.body import Origin, expected
from tests.chaos.judge import Claim, Verdict, judge, suspects
from tests.chaos.record import Act, Execution, Framing, Order, Seen, Trial, Version

GET = Order("01-000001", "open", "quick.lua", lines=5)
POST = replace(GET, id="01-000002", method="POST")
ORIGIN = Origin(1, 1, "s.1")
VERSIONS = (Version("open", "quick.lua", 1, 1, begun=0.0, acknowledged=0.0),)


def reply(order: Order, origin: Origin = ORIGIN, at: float = 10.0) -> Seen:
    return Seen(order, at, at + 1, Framing.WHOLE, 200, expected(order, origin))


def failed(order: Order, status: int, at: float = 10.0) -> Seen:
    return Seen(order, at, at + 1, Framing.WHOLE, status, b"<h1>sorry</h1>")


def ran(seen: Seen, mark: str = "s.1") -> Execution:
    return Execution(seen.order.id, mark, seen.order.method, has_ended=True)


def verdicts(
    *seen: Seen,
    acts: tuple[Act, ...] = (),
    runs: tuple[Execution, ...] = (),
    versions: tuple[Version, ...] = VERSIONS,
    left: tuple[str, ...] = (),
) -> list[Verdict]:
    trial = Trial(seen, versions, acts, runs, frozenset({"open"}), left)
    return judge(trial)


def claims(found: list[Verdict]) -> list[Claim]:
    return [verdict.claim for verdict in found]


# ---- replies -----------------------------------------------------------------------


def test_what_is_as_it_should_be_is_right() -> None:
    get, post = reply(GET), reply(POST, Origin(1, 1, "s.2"))
    assert verdicts(get, post, runs=(ran(get), ran(post, "s.2"))) == []


def test_a_reply_with_the_bytes_of_two_runs_is_wrong_whatever_is_on() -> None:
    one = expected(GET, ORIGIN).splitlines(keepends=True)
    other = expected(GET, replace(ORIGIN, mark="t.1")).splitlines(keepends=True)
    seen = replace(reply(GET), body=b"".join(one[:3] + other[3:]))
    found = verdicts(seen, acts=(Act("stop_all", 5.0, 15.0),), runs=(ran(seen),))
    assert claims(found) == [Claim.BODY]
    assert found[0].cause == "stop_all"
    assert "line 4 of 5" in found[0].what


def test_a_short_reply_that_looks_whole_is_wrong_whatever_is_on() -> None:
    seen = replace(reply(GET), body=expected(GET, ORIGIN)[:100])
    found = verdicts(seen, acts=(Act("kill_front", 10.5, 10.5),))
    assert claims(found) == [Claim.VISIBLE]


def test_a_reply_that_is_cut_visibly_is_right_only_where_a_fault_may_cut() -> None:
    cut = Seen(GET, 10.0, 11.0, Framing.CUT, 200, expected(GET, ORIGIN)[:100])
    assert claims(verdicts(cut)) == [Claim.ERRORS]
    assert verdicts(cut, acts=(Act("kill_host", 10.5, 10.5),)) == []
    assert claims(verdicts(cut, acts=(Act("hup", 10.5, 10.5),))) == [Claim.ERRORS]


def test_no_answer_and_two_answers_are_never_right() -> None:
    on = (Act("kill_roles", 10.5, 10.5, victims=9),)
    none = Seen(GET, 10.0, 11.0, Framing.NONE)
    extra = Seen(GET, 10.0, 11.0, Framing.EXTRA, why="HTTP/1.1 200 OK")
    assert claims(verdicts(none, acts=on)) == [Claim.ANSWERED]
    assert claims(verdicts(extra, acts=on)) == [Claim.ANSWERED]


def test_whoever_went_away_is_owed_nothing() -> None:
    assert verdicts(Seen(GET, 10.0, 11.0, Framing.LEFT, 200)) == []


def test_the_reply_to_another_request_is_wrong() -> None:
    seen = replace(reply(GET), order=replace(GET, id="01-000009"))
    assert claims(verdicts(seen, runs=(ran(seen),))) == [Claim.BODY]


def test_a_role_that_nobody_replaces_is_wrong_by_itself() -> None:
    replaced = Act("stop_broker", 5.0, 12.0)
    hangs = replace(replaced, unreplaced=("luafarm-broker",))
    seen = reply(GET)
    assert verdicts(seen, acts=(replaced,), runs=(ran(seen),)) == []
    (found,) = verdicts(seen, acts=(hangs,), runs=(ran(seen),))
    assert (found.claim, found.what) == (
        Claim.REPLACED,
        "luafarm-broker hangs for ever",
    )


# ---- runs --------------------------------------------------------------------------


def test_an_unsafe_request_that_ran_twice_is_wrong_whatever_it_was_answered() -> None:
    on = (Act("stop_supervisor", 5.0, 10.5, victims=6),)
    for seen in (reply(POST), failed(POST, 502)):
        found = verdicts(seen, acts=on, runs=(ran(seen), ran(seen, "t.1")))
        assert claims(found) == [Claim.ONCE]


def test_a_safe_request_runs_once_more_only_when_something_was_done() -> None:
    seen = reply(GET)
    runs = (ran(seen), ran(seen, "t.1"))
    assert claims(verdicts(seen, runs=runs)) == [Claim.TWICE]
    on = (Act("kill_host", 10.5, 10.5),)
    assert verdicts(seen, runs=runs, acts=on) == []
    thrice = (*runs, ran(seen, "u.1"))
    assert claims(verdicts(seen, runs=thrice, acts=on)) == [Claim.TWICE]


def test_nginx_may_ask_once_more_itself_when_a_front_was_killed() -> None:
    seen = reply(GET)
    runs = tuple([ran(seen, mark) for mark in ("s.1", "t.1", "u.1")])
    assert verdicts(seen, runs=runs, acts=(Act("kill_front", 10.5, 10.5),)) == []


def test_an_answer_without_a_run_is_wrong() -> None:
    seen = reply(GET)
    assert claims(verdicts(seen)) == [Claim.RUN]
    assert claims(verdicts(seen, runs=(ran(seen, "t.1"),))) == [Claim.RUN]


def test_a_run_that_answered_two_requests_is_wrong() -> None:
    get, post = reply(GET), reply(POST)
    found = verdicts(get, post, runs=(ran(get), ran(post)))
    assert claims(found) == [Claim.BODY]
    assert GET.id in found[0].what


def test_a_pool_without_a_ledger_is_not_asked_for_its_runs() -> None:
    order = replace(GET, pool="closed")
    versions = (replace(VERSIONS[0], pool="closed"),)
    assert verdicts(reply(order), versions=versions) == []


# ---- versions ----------------------------------------------------------------------

NEW = Version("open", "quick.lua", 2, 1, begun=5.0, acknowledged=8.0)
GONE = Version("open", "quick.lua", 0, 1, begun=5.0, acknowledged=8.0)


def test_the_old_version_after_the_acknowledgement_is_wrong() -> None:
    late, early = reply(GET), reply(POST, at=6.0)
    runs = (ran(late), ran(early))
    assert Claim.FRESH in claims(verdicts(late, runs=runs, versions=(*VERSIONS, NEW)))
    assert verdicts(early, runs=runs, versions=(*VERSIONS, NEW)) == []


def test_a_script_of_one_release_with_the_module_of_another_is_wrong() -> None:
    seen = reply(GET, Origin(2, 2, "s.1"))
    found = verdicts(seen, runs=(ran(seen),), versions=(*VERSIONS, NEW))
    assert claims(found) == [Claim.FRESH]


def test_a_script_that_is_gone_is_404_and_only_then() -> None:
    missing = failed(GET, 404)
    assert verdicts(missing, versions=(*VERSIONS, GONE)) == []
    assert claims(verdicts(missing)) == [Claim.ERRORS]
    back = replace(NEW, begun=8.0, acknowledged=9.0)
    found = verdicts(missing, versions=(*VERSIONS, GONE, back))
    assert claims(found) == [Claim.FRESH]
    seen = reply(GET)
    found = verdicts(seen, runs=(ran(seen),), versions=(*VERSIONS, GONE))
    assert claims(found) == [Claim.FRESH]


# ---- failures ----------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_failure_without_a_fault_is_wrong(status: int) -> None:
    assert claims(verdicts(failed(GET, status))) == [Claim.ERRORS]
    deploy = (Act("flip", 10.5, 10.5),)
    assert claims(verdicts(failed(GET, status), acts=deploy)) == [Claim.ERRORS]


def test_a_killed_host_costs_one_unsafe_request_and_no_safe_one() -> None:
    on = (Act("kill_host", 10.5, 10.5),)
    first, second = failed(POST, 502), failed(replace(POST, id="01-000003"), 502)
    assert verdicts(first, acts=on) == []
    assert claims(verdicts(first, second, acts=on)) == [Claim.ERRORS]
    assert claims(verdicts(failed(GET, 502), acts=on)) == [Claim.ERRORS]
    assert claims(verdicts(failed(POST, 503), acts=on)) == [Claim.ERRORS]
    more = (*on, Act("kill_host", 10.8, 10.8))
    assert verdicts(first, second, acts=more) == []


def test_a_safe_request_may_fail_by_the_second_fault_that_takes_its_host() -> None:
    on = (Act("kill_host", 10.2, 10.2), Act("kill_supervisor", 10.8, 10.8, victims=6))
    assert verdicts(failed(GET, 502), acts=on) == []
    over = (Act("kill_host", 9.2, 9.2), on[1])
    assert claims(verdicts(failed(GET, 502), acts=over)) == [Claim.ERRORS]
    idle = (replace(on[0], victims=0), on[1])
    assert claims(verdicts(failed(GET, 502), acts=idle)) == [Claim.ERRORS]


def test_what_hangs_for_so_short_that_nobody_replaces_it_costs_nothing() -> None:
    short, long = Act("stop_front", 9.0, 10.5), Act("stop_front", 2.0, 10.5)
    assert claims(verdicts(failed(POST, 502), acts=(short,))) == [Claim.ERRORS]
    assert verdicts(failed(POST, 502), acts=(long,)) == []


def test_somebody_is_answered_while_the_supervisor_hangs() -> None:
    on = (Act("stop_supervisor", 2.0, 11.5),)
    early, late = reply(GET, at=5.0), reply(POST, Origin(1, 1, "s.2"))
    runs = (ran(early), ran(late, "s.2"))
    assert verdicts(early, late, acts=on, runs=runs) == []
    found = verdicts(early, acts=on, runs=runs)
    assert claims(found) == [Claim.SERVED]
    assert found[0].cause == "stop_supervisor"
    short = (Act("stop_supervisor", 2.0, 8.5),)
    assert verdicts(early, acts=short, runs=runs) == []


def test_a_fault_that_has_no_victim_costs_nothing() -> None:
    on = (Act("kill_host", 10.5, 10.5, victims=0),)
    assert claims(verdicts(failed(POST, 502), acts=on)) == [Claim.ERRORS]


def test_a_fault_that_is_long_over_excuses_nothing() -> None:
    on = (Act("kill_front", 1.0, 1.0),)
    assert claims(verdicts(failed(POST, 502), acts=on)) == [Claim.ERRORS]


def test_what_is_left_over_is_told() -> None:
    found = verdicts(left=("process luafarm-front lives on",))
    assert claims(found) == [Claim.LEFT]
    assert found[0].order is None


def test_a_fault_while_it_ran_is_suspected_before_one_that_was_over() -> None:
    over, on = Act("kill_host", 8.0, 8.0), Act("kill_front", 10.5, 10.5)
    deploy = Act("flip", 10.2, 10.8)
    assert suspects((over, on, deploy), 10.0, 11.0) == (on,)
    assert suspects((over, deploy), 10.0, 11.0) == (over,)
    assert suspects((deploy,), 10.0, 11.0) == (deploy,)
