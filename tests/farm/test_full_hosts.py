"""VM hosts without memory for a further state: nobody's script is to blame."""

import pytest

from tests.farm.client import ask
from tests.farm.farms import until, up

pytestmark = pytest.mark.process

# Ten of them fill a host of 64 MiB; whatever the broker believes after a load, the
# hosts count what is in use.
LARGE = """
local kept
function main(env, con)
  kept = kept or string.rep("x", 6e6)
  con:puts(tostring(#kept))
end
"""


def test_a_request_whose_load_a_full_host_refuses_is_served_nevertheless() -> None:
    pool = 'host_memory = "64 MiB"\nmemory = "32 MiB"'
    with up(hosts=2, pool=pool) as farm:
        scripts = [farm.write(f"large{n}.lua", LARGE) for n in range(24)]
        for _ in range(2):
            replies = [ask(farm.socket, script) for script in scripts]
            assert {reply.body for reply in replies} == {b"6000000"}

        def is_refused() -> bool:
            bodies = {ask(farm.socket, script).body for script in scripts}
            assert bodies == {b"6000000"}
            return "refused_loads" in farm.status()["counts"]

        # a quick broker hears of it before a host must refuse
        until(is_refused, "a load is refused")
        status = farm.status()
        assert [
            script["error"] for script in status["scripts"] if script["error"]
        ] == []
        assert "large" not in "".join(
            line for line in farm.log().splitlines() if " error " in line
        )
