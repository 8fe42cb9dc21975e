"""Files that scripts ask for and that are not there: as many as they like."""

from tests.farm.client import ask
from tests.farm.farms import up

SCRIPTS = 10
ASKS = """
local luafarm, asked = require "luafarm", 0
function main(env, con)
  for _ = 1, 500 do
    asked = asked + 1
    luafarm.read(("absent/%s-%05d.txt"):format("{name}", asked))
  end
  con:puts(tostring(luafarm.read("late.txt")))
end
"""
MORE = """
local luafarm = require "luafarm"
for i = 1, 1900 do luafarm.read(("absent/and/of/a/long/name/%05d.txt"):format(i)) end
local said = luafarm.read("late.txt")
function main(env, con) con:puts(tostring(said)) end
"""


def test_scripts_that_ask_for_many_absent_files_do_not_fill_the_broker() -> None:
    names = [f"below/s{number}" for number in range(SCRIPTS)]
    files = {f"{name}.lua": ASKS.replace("{name}", name[6:]) for name in names}
    files["below/warm.lua"] = ASKS.replace("{name}", "warm")
    with up(hosts=1, files=files, pool="load_wall = 60\nwall = 120") as farm:
        assert ask(farm.socket, farm.root / "below/warm.lua").status == 200
        before = farm.resident_kib()["luafarm-broker"]
        for _ in range(4):
            for name in names:
                reply = ask(farm.socket, farm.root / f"{name}.lua")
                assert (reply.status, reply.body) == (200, b"nil")
        after = farm.resident_kib()["luafarm-broker"]
        assert after - before < 40 * 1024, (before, after)


def test_a_script_with_too_many_files_says_so_and_a_reload_has_it_read_them() -> None:
    settings = "[broker]\nfile_memory = '8MiB'\n"
    pool = "load_wall = 60\nload_cpu = 60"
    with up(settings, hosts=1, files={"more.lua": MORE}, pool=pool) as farm:
        script = farm.root / "more.lua"
        assert ask(farm.socket, script).body == b"nil"
        [row] = farm.status()["scripts"]
        assert row["unfollowed"] > 1000
        assert farm.log().count("asks for too many files") == 1
        told = farm.command("status").stdout.replace("\n  ", " ")
        assert f"{row['unfollowed']} of its files are not followed" in told
        farm.write("late.txt", "here")
        assert farm.command("reload", "--wait", str(farm.root)).returncode == 0
        assert ask(farm.socket, script).body == b"here"
