"""The whole hostile suite through nginx, while somebody else's script is asked."""

from pathlib import Path

import pytest

from luafarm.dialects import Dialect
from tests.hostile import bystander, siege
from tests.hostile.catalogue import Ground, attacks
from tests.hostile.siege import Siege
from tests.servers import nginx

pytestmark = [
    pytest.mark.process,
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(nginx.missing() is not None, reason=str(nginx.missing())),
]

REPORT = Path(__file__).resolve().parents[2] / "build" / "bystander.txt"


@pytest.fixture(scope="module", params=list(Ground))
def besieged(request: pytest.FixtureRequest) -> Siege:
    ground: Ground = request.param
    found = siege.lay(ground, Dialect.LUAJIT21, attacks())
    # how late replies were is measured, and judged by `make hostile`
    lines = [f"{ground}: {found.account.sentence()}", *found.worst()]
    REPORT.parent.mkdir(exist_ok=True)
    with REPORT.open("w" if ground is next(iter(Ground)) else "a") as file:
        file.write("\n".join(lines) + "\n")
    return found


def test_the_bystander_got_every_reply_and_each_the_right_one(besieged: Siege) -> None:
    account = besieged.account
    assert account.faults == []
    assert account.right == account.asked


def test_the_bystander_was_asked_all_the_time(besieged: Siege) -> None:
    # what is due is asked, however late: the number tells the time without a clock
    times = besieged.times.values()
    lasted_s = max(end for _, end in times) - min(began for began, _ in times)
    assert besieged.account.asked >= lasted_s / bystander.PERIOD_S - 1


def test_every_attack_through_nginx_comes_to_what_it_should(besieged: Siege) -> None:
    assert besieged.verdicts
    faults = {n: v.faults for n, v in besieged.verdicts.items() if v.faults}
    assert faults == {}
