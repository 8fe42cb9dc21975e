"""Pools on one farm: nobody reaches another's states, files or rights."""

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.farm.client import Reply, ask
from tests.farm.farms import Farm, up

pytestmark = pytest.mark.process

MORE_POOLS = """
[pool.other]
root = ["{place}/other"]
hosts = 1
[pool.old]
root = ["{place}/old"]
trust = "trusted"
cpath = "{place}/?.so"
hosts = 1
"""

COUNTER = """
local n = 0
function main(env, con)
  n = n + 1
  con:header("Content-Type", "text/plain")
  con:puts((env.PATH_INFO or "") .. " " .. n)
end
"""

REACH = """
function main(env, con)
  con:header("Content-Type", "text/plain")
  local got = {}
  local function try(f, ...)
    local ok, value = pcall(f, ...)
    if ok and value then got[#got + 1] = tostring(value) end
  end
  local luafarm = require "luafarm"
  for name in env.QUERY_STRING:gmatch("[^&]+") do
    try(luafarm.read, name)
    try(require, name)
    try(require, (name:gsub("%.lua$", ""):gsub("/", ".")))
    try(dofile, name)
    try(function() return loadfile(name)() end)
  end
  con:puts(table.concat(got, " ") .. "nothing else")
end
"""

MODULE = """
typedef struct lua_State lua_State;
typedef int (*lua_CFunction)(lua_State *);
extern void lua_pushcclosure(lua_State *, lua_CFunction, int);
extern void lua_pushstring(lua_State *, const char *);
static int answer(lua_State *L) { lua_pushstring(L, "from C"); return 1; }
int luaopen_native(lua_State *L) { lua_pushcclosure(L, answer, 0); return 1; }
"""
"""Of the part of Lua's ABI that is the same in all versions; needs no headers."""

USES_RIGHTS = """
function main(env, con)
  con:header("Content-Type", "text/plain")
  local function try(f)
    local ok, value = pcall(f)
    con:puts((ok and tostring(value) or "no") .. ";")
  end
  try(function() return require("native")() end)
  try(function() local p = io.popen("echo popen") return p:read("*l") end)
  try(function() return (io.open("/etc/hostname") and "opened") end)
  try(function() return os.execute("exit 0") and "program" or error() end)
  try(function() return #string.dump(function() end) > 12 and "code" end)
end
"""


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with up(MORE_POOLS, hosts=1, folders=("other", "old")) as running:
        _furnish(running)
        yield running


def _furnish(farm: Farm) -> None:
    place, root, other = farm.place, farm.root, farm.place / "other"
    (place / "secret.lua").write_text("return 'SECRET'")
    (other / "secret.lua").write_text("return 'SECRET'")
    (other / "counter.lua").write_text(COUNTER)
    farm.write("counter.lua", COUNTER)
    farm.write("reach.lua", REACH)
    (root / "linked_secret.lua").symlink_to(other / "secret.lua")
    (root / "linked_counter.lua").symlink_to(other / "counter.lua")
    (root / "linked_pool").symlink_to(other)
    (root / "linked_place").symlink_to(place)
    for directory in (root, place / "old"):
        (directory / "rights.lua").write_text(USES_RIGHTS)


def body(reply: Reply) -> bytes:
    assert reply.status == 200, (reply.status, reply.body)
    return reply.body


def test_the_same_name_in_two_pools_is_two_scripts_with_states_of_their_own(
    farm: Farm,
) -> None:
    mine, others = farm.root / "counter.lua", farm.place / "other" / "counter.lua"
    assert [body(ask(farm.socket, mine)) for _ in range(3)] == [b" 1", b" 2", b" 3"]
    assert body(ask(farm.socket, others)) == b" 1"
    assert body(ask(farm.socket, mine)) == b" 4"
    pools = {s["script"]: s["pool"] for s in farm.status()["scripts"]}
    assert (pools[str(mine)], pools[str(others)]) == ("web", "other")


@pytest.mark.parametrize(
    "name",
    [
        "linked_secret.lua",
        "linked_counter.lua",
        "linked_pool/counter.lua",
        "linked_place/secret.lua",
        "linked_place/other/counter.lua",
        "linked_pool/../counter.lua",
        "../other/counter.lua",
        "counter.lua/../../other/counter.lua",
        "./counter.lua/../counter.lua/..",
        "linked_pool",
        "",
    ],
)
def test_no_path_of_one_pool_leads_to_a_script_of_another(
    farm: Farm, name: str
) -> None:
    before = _count(farm)
    reply = ask(farm.socket, f"{farm.root}/{name}")
    assert reply.status in {400, 403, 404}
    assert b"SECRET" not in reply.body
    assert _count(farm) == before + 1


def _count(farm: Farm) -> int:
    """Ask the other pool's counter how often it was asked."""
    said = body(ask(farm.socket, farm.place / "other" / "counter.lua"))
    return int(said.split()[-1])


@pytest.mark.parametrize(
    "tail", ["/x", "/../../other/counter.lua/", "//", "/%2e%2e/other", "/x/./y"]
)
def test_path_info_stays_with_the_script_that_it_stands_behind(
    farm: Farm, tail: str
) -> None:
    before = _count(farm)
    reply = ask(farm.socket, f"{farm.root}/counter.lua{tail}")
    assert reply.status in {200, 400, 404}
    assert _count(farm) == before + 1


def test_no_script_reads_or_requires_a_file_of_another_pool(farm: Farm) -> None:
    place, other = farm.place, farm.place / "other"
    names = [
        f"{other}/secret.lua",
        f"{place}/secret.lua",
        "../other/secret.lua",
        "linked_secret.lua",
        "linked_secret",
        "linked_pool/secret.lua",
        "linked_pool.secret",
        "linked_place/secret.lua",
        "linked_place.other.secret",
        "..other.secret",
        "/etc/hostname",
    ]
    script = farm.root / "reach.lua"
    assert body(ask(farm.socket, script, query="&".join(names))) == b"nothing else"


def test_what_a_script_may_reach_it_reaches(farm: Farm) -> None:
    farm.write("near.lua", "return 'near'")
    said = body(ask(farm.socket, farm.root / "reach.lua", query="near.lua"))
    assert said.count(b"near") >= 3


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_a_trusted_pool_has_c_modules_and_programs_and_its_neighbour_none(
    farm: Farm,
) -> None:
    source = farm.place / "native.c"
    source.write_text(MODULE)
    module = farm.place / "native.so"
    command = ["cc", "-shared", "-fPIC", "-o", str(module), str(source)]
    subprocess.run(command, check=True)
    trusted = body(ask(farm.socket, farm.place / "old" / "rights.lua"))
    assert trusted == b"from C;popen;opened;program;code;"
    sandboxed = body(ask(farm.socket, farm.root / "rights.lua"))
    assert sandboxed == b"no;no;nil;no;false;"
