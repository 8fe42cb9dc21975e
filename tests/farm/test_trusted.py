"""A trusted pool on a live farm, and what strangers wrote into its root."""

import os

import pytest

from tests.farm.client import ask
from tests.farm.farms import until, up

pytestmark = pytest.mark.process

READS = "function main(env, con) con:puts(type(io)) end"


def test_a_script_that_a_stranger_could_have_written_runs_once_it_is_ours() -> None:
    files = {"ours.lua": READS, "open.lua": READS, "uses.lua": "require 'open'" + READS}
    with up(hosts=1, pool='trust = "trusted"', files=files) as farm:
        assert ask(farm.socket, farm.root / "ours.lua").body == b"table"
        script = farm.root / "open.lua"
        script.chmod(0o646)
        for name in ("open.lua", "uses.lua"):
            refused = ask(farm.socket, farm.root / name)
            assert refused.status == 500
            assert b"may be written by others (" in refused.body
        script.chmod(0o644)
        until(
            lambda: ask(farm.socket, script).body == b"table",
            "the change of its mode is seen",
        )
        if os.geteuid() == 0:
            strange = farm.write("strange.lua", READS)
            os.chown(strange, 4711, -1)
            refused = ask(farm.socket, strange)
            assert refused.status == 500
            assert b"belongs to uid 4711 (mode 0644)" in refused.body
