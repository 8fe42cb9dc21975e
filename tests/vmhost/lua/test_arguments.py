"""No function hangs, crashes or harms its host for the arguments that it is given."""

import warnings

import pytest

from luafarm.dialects import Dialect
from tests.vmhost.lua import arguments
from tests.vmhost.states import (
    Script,
    attack_on_every_sandboxed_dialect,
)
from vmhost.lua.limits import StateLimits

EDGES = [
    "0/0", "1/0", "-1/0", "2^31", "-2^31", "2^31 - 1", "-2^31 - 1", "2^32", "2^53",
    "-2^53", "2^63", "-2^63", "2^64", "1e308", "-1e308", "0.5", "-0.0",
]  # fmt: skip
CALLS = [
    "string.rep('x', N)", "string.rep('x', 2, N)", "string.rep('', N)",
    "string.sub('abc', N, N)", "string.byte('abc', N, N)", "string.byte('abc', 1, N)",
    "string.find('abc', 'b', N)", "string.find('abc', 'b', N, true)",
    "string.format('%d', N)", "string.format('%c', N)", "string.format('%5.3g', N)",
    "string.gsub('abc', 'b', 'c', N)", "string.char(N)",
    "(unpack or table.unpack)({}, N)", "(unpack or table.unpack)({}, 1, N)",
    "(unpack or table.unpack)({}, N, N)", "select(N, 1, 2)", "tonumber('10', N)",
    "table.concat({ 1, 2 }, ',', N, N)", "table.concat({ 1, 2 }, ',', 1, N)",
    "table.concat({}, ',', -N, N)",
    "table.insert({ 1 }, N, 'x')", "table.remove({ 1 }, N)", "table.create(N)",
    "table.create(0, N)", "table.move({ 1 }, N, N, N)", "table.move({ 1 }, 1, N, 2)",
    "table.move({ 1 }, 1, 1, N)", "table.move({}, -N, N, 1)",
    "bit.lshift(1, N)", "bit.tohex(1, N)", "bit.tobit(N)", "bit.bnot(N)",
    "bit32.extract(1, N, 1)", "bit32.extract(1, 1, N)", "bit32.replace(1, 1, N, N)",
    "bit32.lshift(1, N)", "bit32.arshift(N, N)",
    "utf8.char(N)", "utf8.codepoint('abc', N, N)", "utf8.len('abc', N, N)",
    "utf8.offset('abc', N)", "utf8.offset('abc', 1, N)",
    "string.pack('i16', N)", "string.pack('s' .. tostring(N), 'x')",
    "string.pack('!' .. tostring(N) .. 'i4', 1)", "string.unpack('i4', 'abcdefgh', N)",
    "string.unpack('s4', string.rep('\\255', 8))", "string.packsize('c2147483647c9')",
    "os.date('%c', N)", "os.date('*t', N)", "os.date('!%Y', N)", "os.difftime(N, N)",
    "os.time({ year = N, month = N, day = N })", "os.time({ year = 2000, month = 1,"
    " day = 1, hour = N, min = N, sec = N })",
    "math.random(N)", "math.random(N, N)", "math.random(-N, N)", "math.randomseed(N)",
    "math.fmod(N, N)", "math.fmod(1, N)", "math.floor(N)", "math.ldexp(1, N)",
    "math.tointeger(N)", "math.ult(1, N)",
    "coroutine.wrap(function(...) return select('#', ...) end)(N)",
    "collectgarbage('step', N)", "collectgarbage(N)", "rawlen(N)", "rawget({}, N)",
    "rawset({}, N, 1)", "next({}, N)", "ipairs(N)", "setmetatable({}, N)",
    "error(N, N)", "getfenv(N)", "setfenv(N, {})", "load(function() return N end)",
    "load('x', 'y', N)",
    "con:read(N)", "con:status(N)", "con:header('X-A', N)", "con:cookie('a', 'b', N)",
    "con:puts(N)", "con:config(N)", "luafarm.data(N)", "luafarm.sleep(N)",
    "luafarm.read(N)", "luafarm.log('info', N)", "luafarm.log(N, 'x')",
    "json.encode(N)", "json.encode({ [N] = 1 })", "json.decode(tostring(N))",
    "luafcgid.serialize({ N })", "luafcgid.serialize({ [N] = 1 })", "md5.sum(N)",
    "base64.encode(N)",
]  # fmt: skip


@attack_on_every_sandboxed_dialect
@pytest.mark.process
def test_no_function_hangs_or_crashes_for_odd_arguments(dialect: Dialect) -> None:
    with warnings.catch_warnings():  # the child leaves our threads' state alone
        warnings.simplefilter("ignore", DeprecationWarning)
        assert arguments.survey(dialect) == 0


@attack_on_every_sandboxed_dialect
def test_numbers_at_the_edges_are_answered(dialect: Dialect) -> None:
    """Each call in each dialect ends; what would hang ends by the test's time limit."""
    lines = [
        f"try(function() return {call.replace('N', edge)} end)"
        for call in CALLS
        for edge in [f"({edge})" for edge in EDGES]
    ]
    source = """
      local luafarm, json, base64 = require "luafarm", require "json", require "base64"
      local luafcgid, md5 = require "luafcgid", require "md5"
      local con, count
      local function try(f) count = count + 1 pcall(f) end
      local parts = {
        PARTS
      }
      function main(env, request)
        con, count = request, 0
        for _, part in ipairs(parts) do part() end
        con:reset()
        con:status(200)
        con:puts("@" .. count)
      end
    """
    parts = [
        "function() " + "\n".join(lines[at : at + 100]) + " end,"
        for at in range(0, len(lines), 100)
    ]
    script = Script(
        source.replace("PARTS", "\n".join(parts)),
        dialect,
        limits=StateLimits(cpu_s=50.0, load_cpu_s=50.0),
    )
    assert script.run().text.rpartition("@")[2] == str(len(lines))
    assert script.state.must_close == ""
