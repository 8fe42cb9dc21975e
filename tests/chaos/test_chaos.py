"""What the farm withstands, on counts and order alone: two minutes of `make chaos`.

That does everything else as well, and for as long as one likes.
"""

import pytest

from tests.chaos import kinds, report, trial
from tests.servers import nginx

pytestmark = [pytest.mark.process, pytest.mark.timeout(900)]

SEED = 1890  # all kinds come, the kills first: a busy machine gets less far
SECONDS = 90.0


def test_whatever_dies_or_is_deployed_every_request_gets_what_is_its() -> None:
    absent = nginx.missing()
    if absent:
        pytest.skip(absent)
    chosen = kinds.chosen(kinds.WITHSTOOD)
    outcome = trial.run(SEED, SECONDS, chosen)
    table = report.table(outcome.trial, outcome.verdicts, outcome.start)
    assert outcome.verdicts == [], table
    # and something was done and seen: a farm that nobody asks keeps every promise
    assert len(outcome.trial.seen) > 100, table
    assert outcome.trial.executions, table
    done = {act.kind for act in outcome.trial.acts if act.victims}
    assert done >= {kind.name for kind in chosen if kind.name.startswith("kill")}, table
    deployed = [v for v in outcome.trial.versions if v.begun > outcome.start]
    assert any(version.acknowledged for version in deployed), table
