"""The comparison under faults: bodies and the ledger are judged byte by byte."""

import pytest

from bench.live.faults import kinds, order, table, trial, verdict
from bench.live.faults.order import Body, Order
from bench.live.faults.trial import Outcome
from bench.live.faults.verdict import Answer, Deployed, Span, Verdict

ASKED = Order("00-00001", "GET", lines=3)
SENT = Order("00-00002", "POST", lines=2, upload=1)
SPAN = Span(0.0, 6.0, 10.0)
DEPLOYS = (Deployed(1, 0.0), Deployed(2, 2.0), Deployed(3, 4.0))


def body(
    wanted: Order, generation: int = 1, part: int | None = None, run: str = "7.1"
) -> bytes:
    return b"".join(
        b"%s %d %d %s %s %05d\n"
        % (
            wanted.id.encode(),
            generation,
            generation if part is None else part,
            run.encode(),
            wanted.digest.encode(),
            number,
        )
        for number in range(1, wanted.lines + 1)
    )


def answer(
    content: bytes, *, sent: float = 1.0, status: int = 200, why: str = ""
) -> Answer:
    return Answer(ASKED, sent, sent + 0.1, status, content, why)


def judged(*answers: Answer, ledger: str = "") -> Verdict:
    return verdict.judge(answers, ledger, DEPLOYS, SPAN)


# ---- bodies --------------------------------------------------------------------------


def test_a_body_that_is_as_asked_is_right() -> None:
    assert order.read(ASKED, body(ASKED, 4)) == order.Reply(Body.RIGHT, 4)
    assert order.read(SENT, body(SENT)).body is Body.RIGHT


@pytest.mark.parametrize("kept", range(len(body(ASKED))))
def test_every_body_that_ends_too_early_is_short(kept: int) -> None:
    assert order.read(ASKED, body(ASKED)[:kept]).body is Body.SHORT


@pytest.mark.parametrize(
    "content",
    [
        body(ASKED) * 2,
        body(ASKED)[:-1] + b"x",
        body(ASKED) + b"more",
        body(Order("00-00009", "GET", lines=3)),
        body(ASKED)[:20] + body(ASKED, run="8.1")[20:],
        b"".join([body(ASKED).splitlines(keepends=True)[n] for n in (0, 2, 1)]),
        body(ASKED).replace(b" - ", b" 9:abc "),
        b"<html>502 Bad Gateway</html>",
        b"<html>\n502 Bad Gateway\n</html>\n",
    ],
)
def test_a_body_with_other_bytes_is_wrong(content: bytes) -> None:
    assert order.read(ASKED, content).body is Body.WRONG


def test_a_body_of_two_runs_is_wrong() -> None:
    first, second = (body(ASKED, run=run).splitlines(True) for run in ("7.1", "8.1"))
    assert order.read(ASKED, b"".join(first[:1] + second[1:])).body is Body.WRONG


def test_a_script_and_a_module_of_two_deploys_are_mixed() -> None:
    assert order.read(ASKED, body(ASKED, 4, part=5)).body is Body.MIXED


def test_an_upload_that_did_not_arrive_whole_is_seen() -> None:
    less = Order(SENT.id, "POST", lines=2, upload=0)
    assert order.read(SENT, body(less)).body is Body.WRONG


def test_the_same_seed_asks_for_the_same() -> None:
    first, second, other = (
        [one for _, one in zip(range(50), order.orders(seed, 3), strict=False)]
        for seed in ("1", "1", "2")
    )
    assert first == second != other


# ---- answers and the ledger ----------------------------------------------------------


def test_how_a_request_was_lost_is_counted() -> None:
    seen = judged(
        answer(body(ASKED)),
        answer(b"", status=502),
        answer(body(ASKED)[:30], why="cut"),
        answer(b"", status=0, why="no answer"),
        ledger="begin 00-00001 GET\n",
    )
    assert seen.asked == 4
    assert seen.lost == {"502": 1, "cut": 1, "no answer": 1}
    assert seen.begun == 3
    assert seen.bodies == {Body.RIGHT: 1}


def test_a_whole_answer_that_is_short_is_not_lost_but_silently_cut() -> None:
    seen = judged(answer(body(ASKED)[:30]))
    assert not seen.lost
    assert seen.bodies == {Body.SHORT: 1}


def test_runs_are_counted_by_their_beginnings_whatever_their_ends() -> None:
    ledger = (
        "begin a POST\nbegin a POST\nend a POST\nbegin b GET\nend b GET\n"
        "begin b GET\nbegin c POST\nend c POST\n"
    )
    seen = judged(ledger=ledger)
    assert (seen.twice, seen.again) == (1, 1)


def test_old_after_new_is_what_is_older_than_what_had_come_before_it_was_asked() -> (
    None
):
    new = answer(body(ASKED, 2), sent=2.5)
    beside = answer(body(ASKED, 1), sent=2.55)
    later = answer(body(ASKED, 1), sent=3.0)
    assert judged(beside, new).old_after_new == 0
    assert judged(later, new).old_after_new == 1


def test_how_old_an_answer_is_counts_from_the_first_newer_deploy() -> None:
    assert judged(answer(body(ASKED, 1), sent=3.5)).lag_s == pytest.approx(1.5)
    assert judged(answer(body(ASKED, 1), sent=5.0)).lag_s == pytest.approx(3.0)
    assert judged(answer(body(ASKED, 3), sent=5.0)).lag_s == 0.0


def test_a_server_is_back_when_it_answers_what_is_asked_after_the_fault() -> None:
    assert not judged(answer(body(ASKED, 3), sent=5.9)).is_back
    assert judged(answer(body(ASKED, 3), sent=6.1)).is_back
    assert judged(answer(body(ASKED, 3), sent=6.1)).newest
    assert not judged(answer(body(ASKED, 2), sent=6.1)).newest


def test_the_longest_silence_counts_from_and_to_the_ends_of_the_load() -> None:
    assert judged().gap_s == 10.0
    seen = judged(*[answer(body(ASKED, 3), sent=at) for at in (1.0, 2.0, 9.0)])
    assert seen.gap_s == pytest.approx(7.0)
    assert judged(answer(body(ASKED, 3), sent=3.0)).gap_s == pytest.approx(6.9)


# ---- the table -----------------------------------------------------------------------


def outcome(seen: Verdict, *, able: int = 4, left: int = 0) -> Outcome:
    return Outcome(seen, workers=4, able=able, left=left, notes=())


def test_a_cell_says_what_must_not_be_and_only_that() -> None:
    assert table.cell(outcome(judged(answer(body(ASKED, 3), sent=7.0)))).startswith(
        "none of 1 lost"
    )
    seen = judged(answer(b"", status=502), answer(body(ASKED)[:30]))
    said = table.cell(outcome(seen, able=3, left=2))
    assert "1 of 2 lost (502: 1)" in said
    assert "**1 cut and looked whole**" in said
    assert "**not back**" in said
    assert "2 processes left over" in said


def test_what_was_lost_although_it_ran_is_told_apart() -> None:
    seen = judged(answer(b"", status=502), ledger="begin 00-00001 GET\n")
    assert "1 of 1 lost (502: 1), 1 of them begun" in table.cell(outcome(seen))


def test_several_trials_are_summed_up_and_the_worst_of_each_counts() -> None:
    good = outcome(judged(answer(body(ASKED, 3), sent=7.0)))
    bad = outcome(judged(answer(b"", status=502)), able=3, left=2)
    both = trial.merged([good, bad])
    assert (both.verdict.asked, both.verdict.lost) == (2, {"502": 1})
    assert (both.able, both.left, both.verdict.is_back) == (3, 2, False)


def test_what_is_promised_under_every_fault_is_known_when_it_is_broken() -> None:
    assert not table.is_broken(outcome(judged(answer(b"", status=502))))
    assert table.is_broken(outcome(judged(answer(body(ASKED)[:30]))))
    twice = judged(ledger="begin a POST\nbegin a POST\n")
    assert table.is_broken(outcome(twice))


def test_the_table_has_a_row_for_each_fault_and_a_column_for_each_server() -> None:
    lines = table.rows(
        {"a": "a fault", "b": "another"},
        {("a", "one"): "see b", ("b", "two"): outcome(judged())},
        ("one", "two"),
    ).splitlines()
    assert [line.count("|") for line in lines] == [4] * 4
    assert lines[2] == "| a fault | see b |  |"


# ---- the faults ----------------------------------------------------------------------


def test_faults_are_chosen_by_name() -> None:
    assert [kind.name for kind in kinds.chosen("loop, reload")] == ["reload", "loop"]
    assert kinds.chosen("") == kinds.ALL
    with pytest.raises(ValueError, match="no fault is called 'loops'"):
        kinds.chosen("loops")
