"""`state = "fresh"`: no request sees what another one left behind."""

from collections.abc import Iterator

import pytest

from tests.farm.client import ask, asking
from tests.farm.farms import Farm, until, up

pytestmark = pytest.mark.process

COUNTER = """
local n = 0
leak = leak or 0
function main(env, con)
  n, leak = n + 1, leak + 1
  string.format_of_last = (string.format_of_last or 0) + 1
  con:puts(n .. " " .. leak .. " " .. string.format_of_last)
end
"""
SETTINGS = '[[script]]\npattern = "fresh/*.lua"\nstate = "fresh"\n'


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with up(SETTINGS) as running:
        yield running


def test_each_request_sees_a_fresh_state_under_load_as_well(farm: Farm) -> None:
    path = farm.write("fresh/count.lua", COUNTER)
    other = farm.write("count.lua", COUNTER)
    with asking(farm.socket, [path, other]) as seen:
        until(lambda: len(seen) >= 400, "many requests were answered")
    bodies = [one.reply.body for one in seen]
    assert {one.reply.status for one in seen} == {200}
    assert bodies.count(b"1 1 1") >= len(seen) // 2 - 4
    # the pattern is not everybody's
    assert max(int(body.split()[0]) for body in bodies) > 20


def test_a_fresh_script_is_renewed_by_a_change_and_keeps_its_last_good(
    farm: Farm,
) -> None:
    path = farm.write("fresh/change.lua", "function main(e, c) c:puts('one') end")
    assert ask(farm.socket, path).body == b"one"
    farm.write("fresh/change.lua", "function main(e, c) c:puts('two') end")
    until(lambda: ask(farm.socket, path).body == b"two", "the change counts")
    farm.write("fresh/change.lua", "function main(")
    until(
        lambda: farm.script("fresh/change.lua")["verdict"] == "last good",
        "the error is noticed",
    )
    assert [ask(farm.socket, path).body for _ in range(10)] == [b"two"] * 10
