"""Files of the prelude that come when a script needs them, wherever it is then."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from luafarm.dialects import Dialect
from tests.vmhost.states import Script, every_sandboxed_dialect
from vmhost.lua.limits import StateLimits

ROOT = Path(__file__).parents[3]

# one of each late file, and what it says as the first thing that a state does
USES = {
    "addresses": ("tostring({}):gsub('0x%x+', 'N')", "table: N"),
    "debug": ("debug.getinfo(print).what", "C"),
    "garbage": ("collectgarbage('count') > 0", "true"),
    "io": ("io.type(io.stdout)", "file"),
    "io's handles": ("io.stdout:write('') == nil", "false"),
    "os": ("os.setlocale()", "C"),
    "package": ("select(2, package.loadlib('a', 'b'))", "dynamic libraries not"),
    "require": ("require 'string' == string", "true"),
    "strings": ("('%5s'):format('x')", "    x"),
}

PLACES = {
    "a callback of gsub": "('x'):gsub('x', function() result = use() end)",
    "a callback of sort": "table.sort({ 2, 1 }, function() result = use() end)",
    "a metamethod": "local t = setmetatable({}, { __index = use }) result = t[1]",
    "a handler of xpcall": (
        "result = select(2, xpcall(error, function() return use() end))"
    ),
    "a coroutine": "result = coroutine.wrap(use)()",
}


def first(use: str, place: str, dialect: Dialect) -> str:
    source = f"""
      local result
      local function use() return {use} end
      function main(env, con)
        {place}
        con:puts(tostring(result))
      end
    """
    return Script(source, dialect).run().text


@every_sandboxed_dialect
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", USES)
def test_late_functions_work_where_the_host_cannot_be_asked(
    name: str, place: str, dialect: Dialect
) -> None:
    use, wanted = USES[name]
    assert first(use, PLACES[place], dialect).startswith(wanted)


@every_sandboxed_dialect
def test_a_traceback_under_a_computed_name_is_a_handler_at_once(
    dialect: Dialect,
) -> None:
    code = "result = select(2, xpcall(error, _G['de' .. 'bug'].traceback, 'oops'))"
    assert "stack traceback:" in first("1", code, dialect)


@every_sandboxed_dialect
def test_what_a_script_changed_before_does_not_matter(dialect: Dialect) -> None:
    source = """
      local text, pairs_of = tostring, pairs
      local members = {}
      for _, library in pairs { string, table, math, os, coroutine } do
        for name in pairs(library) do members[#members + 1] = { library, name } end
      end
      local keep = { debug = debug, io = io, collectgarbage = collectgarbage, os = os,
        package = package, require = require }
      local getinfo, open, rename, format, find = debug.getinfo, io.type, os.rename,
        string.format, string.find
      local concat, setmetatable, error = table.concat, setmetatable, error
      for _, member in ipairs(members) do
        member[1][member[2]] = function() error("changed") end
      end
      local G = _G
      for name in pairs_of(G) do G[name] = nil end
      function main(env, con)
        con:puts(concat({ getinfo(1, "l").currentline > 0 and "yes", open(1) or "none",
          keep.collectgarbage("count") > 0 and "yes", (rename("a", "b")) or "nil",
          format("%5s|%q", "x", "y"), find("a.b", "[.%%]"), text({}) ~= "" and "text",
          keep.require("string") and "module" }, " "))
      end
    """
    said = Script(source, dialect).run().text
    assert said == 'yes none yes nil     x|"y" 2 text module'


@every_sandboxed_dialect
def test_late_functions_stay_the_same_functions(dialect: Dialect) -> None:
    source = """
      local before = { debug.traceback, io.write, collectgarbage, os.remove, require }
      debug.traceback() io.write("") collectgarbage() os.remove("x") require("string")
      local after = { debug.traceback, io.write, collectgarbage, os.remove, require }
      function main(env, con)
        for index = 1, 5 do con:puts(tostring(before[index] == after[index])) end
      end
    """
    assert Script(source, dialect).run().text == "true" * 5


@every_sandboxed_dialect
def test_a_late_file_comes_when_there_is_memory_for_it_again(
    dialect: Dialect,
) -> None:
    source = """
      local hoard, count, failed = {}, 0, true
      for index = 1, 20000 do hoard[index] = false end
      local function add(size)
        hoard[count + 1] = ("x"):rep(size) .. count
        count = count + 1
      end
      local function fill(size)
        while size >= 64 do
          if not pcall(add, size) then size = size / 2 end
        end
      end
      local function without_memory()
        for _ = 1, 2 do
          collectgarbage()
          pcall(fill, 2 ^ 16)
        end
        failed = not pcall(debug.traceback, "x")
      end
      function main(env, con)
        pcall(without_memory)  -- any call may need some
        hoard = nil
        collectgarbage()
        con:puts((failed and "failed, " or "") .. debug.getinfo(1).what)
      end
    """
    said = set()
    for more in range(8):  # where the memory ends is a matter of chance
        limits = StateLimits(memory_bytes=(4 << 20) + (more << 16))
        said.add(Script(source, dialect, limits=limits).run().text)
    assert said <= {"Lua", "failed, Lua"}
    # on LuaJIT a collection may make room at once
    assert dialect is Dialect.LUAJIT21 or "failed, Lua" in said


def test_trusted_states_put_nothing_into_what_their_programs_inherit() -> None:
    code = (
        "from luafarm.dialects import Dialect\n"
        "from tests.vmhost.states import Script\n"
        "s = Script('function main(e, c) os.execute(\"env\") end',"
        " Dialect.LUA54, trusted=True)\n"
        "s.run()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=dict(os.environ),  # not what the states of this process have put there
        capture_output=True,
        text=True,
        check=True,
    )
    assert "PATH=" in done.stdout
    assert "LUAFARM_LATE" not in done.stdout


@every_sandboxed_dialect
def test_an_address_tells_nothing_of_what_random_will_give(dialect: Dialect) -> None:
    source = """
      function main(env, con)
        local address = tonumber(tostring({}):match("0x(%x+)"), 16)
        local seed = (address - 64 - 0x5500 * 2 ^ 32) / 1024
        local mine = {}
        for index = 1, 4 do mine[index] = math.random(1000000) end
        for _, guess in ipairs { seed, seed + 2 ^ 30 } do
          math.randomseed(guess)
          for index = 1, 4 do
            if math.random(1000000) ~= mine[index] then break end
            if index == 4 then con:puts("known") end
          end
        end
      end
    """
    assert Script(source, dialect).run().text == ""


@every_sandboxed_dialect
@pytest.mark.parametrize(
    "call",
    [
        "table.sort, { 3, 2, 1, 4, 5 }, function() return true end",
        "string.gsub, {}, 'x', print",
        "string.rep, 'x', -1, {}",
        "debug.setmetatable, setmetatable({}, { __metatable = 1 }), {}",
        "os.date, {}",
    ],
)
def test_an_error_that_is_caught_names_no_line_of_ours(
    dialect: Dialect, call: str
) -> None:
    source = f"""
      function main(env, con)
        local function handler(message) return message end
        con:puts(tostring(select(2, pcall({call}))))
        con:puts(tostring(select(2, xpcall(function() return ({call.split(",")[0]})(
          {call.split(",", 1)[1]}) end, handler))))
        local co = coroutine.create(function() return ({call.split(",")[0]})(
          {call.split(",", 1)[1]}) end)
        con:puts(tostring(select(2, coroutine.resume(co))))
      end
    """
    assert "luafarm:" not in Script(source, dialect).run().text
