"""`preload`: scripts that are warm before anybody asks."""

import pytest

from tests.farm.client import ask
from tests.farm.farms import until, up

pytestmark = pytest.mark.process

SLOW_TO_LOAD = """
local t = 0
for i = 1, 3e5 do t = t + i end
function main(env, con) con:puts("warm") end
"""


def test_preloaded_scripts_are_warm_without_a_request() -> None:
    names = ["app/one.lua", "app/two.lua", "app/broken.lua", "cold.lua"]
    files = dict.fromkeys(names, SLOW_TO_LOAD)
    files["app/broken.lua"] = "function main("
    with up(pool='preload = ["app/*.lua", "nothing/*.lua"]', files=files) as farm:

        def is_warm() -> bool:
            scripts = [farm.script(name) for name in names[:2]]
            return all(script.get("states") for script in scripts)

        until(is_warm, "what matches is loaded")
        until(lambda: "app/broken.lua does not load" in farm.log(), "errors are told")
        assert farm.script("cold.lua") == {}
        misses = farm.status()["counts"].get("misses", 0)
        assert ask(farm.socket, farm.root / "app/one.lua").body == b"warm"
        assert ask(farm.socket, farm.root / "app/two.lua").body == b"warm"
        assert farm.status()["counts"].get("misses", 0) == misses
