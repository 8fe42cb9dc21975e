"""The whole hostile suite through nginx, while somebody else's script is asked."""

from pathlib import Path

import pytest

from tests.hostile import bystander, siege
from tests.hostile.catalogue import attacks
from tests.hostile.siege import Siege
from tests.servers import nginx
from vmhost.dialect import Dialect

pytestmark = [
    pytest.mark.process,
    pytest.mark.timeout(600),
    pytest.mark.skipif(nginx.missing() is not None, reason=str(nginx.missing())),
]

REPORT = Path(__file__).resolve().parents[2] / "build" / "bystander.txt"


@pytest.fixture(scope="module")
def besieged() -> Siege:
    found = siege.lay(Dialect.LUAJIT21, attacks())
    # how late replies were is measured, and judged by `make hostile`
    lines = [found.account.sentence(), *found.worst()]
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text("\n".join(lines) + "\n")
    return found


def test_the_bystander_got_every_reply_and_each_the_right_one(besieged: Siege) -> None:
    account = besieged.account
    assert account.faults == []
    assert account.right == account.asked


def test_the_bystander_was_asked_all_the_time(besieged: Siege) -> None:
    times = besieged.times.values()
    lasted_s = max(end for _, end in times) - min(began for began, _ in times)
    assert besieged.account.asked >= 0.95 * lasted_s / bystander.PERIOD_S


def test_every_attack_through_nginx_comes_to_what_it_should(besieged: Siege) -> None:
    faults = {n: v.faults for n, v in besieged.verdicts.items() if v.faults}
    assert faults == {}
