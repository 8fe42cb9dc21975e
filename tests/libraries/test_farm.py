"""What the harness finds in a state, a farm finds in its confined hosts."""

import json
import shutil

import pytest

from luafarm.dialects import Dialect
from tests.farm import farms
from tests.farm.client import connected
from tests.libraries import outcome, sandboxed
from tests.libraries.conftest import Lay

pytestmark = pytest.mark.process

POOL = """\
dialect = "{dialect}"
library = {paths}
cpu = "60 s"
memory = "256 MiB"
"""


@pytest.mark.dialects(*(d for d in Dialect if d is not Dialect.LUA51))
def test_a_farm_does_what_a_state_of_the_harness_does(
    site_of: Lay, dialect: Dialect
) -> None:
    site = site_of("scripts in their style")
    jobs = site.jobs()
    paths = json.dumps([str(path) for path in site.paths])
    with farms.up(pool=POOL.format(dialect=dialect, paths=paths)) as farm:
        shutil.copytree(site.root, farm.root, dirs_exist_ok=True)
        for number, job in enumerate(jobs):
            farm.write(f"job{number}.lua", job.text(sandboxed.END))
        with sandboxed.working(dialect) as worker:
            for number, job in enumerate(jobs):
                with connected(farm.socket) as client:
                    client.send(farm.root / f"job{number}.lua")
                    reply = client.receive()
                there = outcome.read(reply.body)
                here = worker.run(site, job)
                assert here.tests, job.name
                assert there.passed == here.passed, job.name
                assert there.is_whole, job.name
