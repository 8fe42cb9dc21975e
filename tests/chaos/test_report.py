"""The table at the end."""

from tests.chaos import report
from tests.chaos.judge import Claim, Verdict
from tests.chaos.record import Act, Framing, Order, Seen, Trial

ORDER = Order("01-000001", "open", "quick.lua")
ACT = Act("kill_host", 3.0, 3.0)
TRIAL = Trial(
    (
        Seen(ORDER, 2.0, 3.5, Framing.WHOLE, 502),
        Seen(ORDER, 2.0, 3.5, Framing.CUT, 200),
        Seen(ORDER, 2.0, 3.5, Framing.NONE),
        Seen(ORDER, 2.0, 3.5, Framing.LEFT, 200),
    ),
    (),
    (ACT, Act("flip", 4.0, 5.0, victims=0)),
    (),
    frozenset(),
)


def test_every_outcome_has_its_column_and_every_kind_its_row() -> None:
    text = report.table(TRIAL, [], 0.0)
    head = text.splitlines()[0].split("  ")
    assert {"200 cut", "502", "left", "no answer"} <= {word.strip() for word in head}
    assert any(line.split()[:2] == ["kill_host", "1"] for line in text.splitlines())
    assert any(line.split()[:3] == ["flip", "1", "1"] for line in text.splitlines())
    assert "2 in all, 4 requests" in text


def test_what_is_wrong_is_told_with_request_time_and_cause() -> None:
    wrong = Verdict(Claim.ONCE, "2 runs; 1 may be", ORDER, 13.5, (ACT,))
    text = report.table(TRIAL, [wrong] * 5, 10.0)
    assert f"     5 times not: {Claim.ONCE.value}" in text
    assert f"{Claim.ONCE.value}: not so 5 times with kill_host" in text
    assert text.count("3.5 s 01-000001 GET open/quick.lua") == 3
    assert f"     0 times not: {Claim.BODY.value}" in text
