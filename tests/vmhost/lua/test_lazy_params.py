"""An `env` that is decoded as it is read does what a plain table does.

A state whose script mentions `next` gets plain tables: the same script with and without
that word in a comment must say the same.
"""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from luafarm.dialects import Dialect
from tests.vmhost.states import (
    SANDBOXED,
    Script,
    attack_on_every_sandboxed_dialect,
    every_sandboxed_dialect,
    pair,
    params,
)
from vmhost.lua.limits import StateLimits

PLAIN = "\n-- next"
HELPERS = """
-- everything in a table, sorted
function all(t)
  local lines = {}
  for name, value in pairs(t) do
    lines[#lines + 1] = tostring(name) .. "=" .. tostring(value)
  end
  table.sort(lines)
  return table.concat(lines, ",")
end
local lines
function say(...)
  local parts = {}
  for index = 1, select("#", ...) do parts[index] = tostring((select(index, ...))) end
  lines[#lines + 1] = table.concat(parts, " ")
end
function main(env, con)
  lines = {}
  local ok, message = pcall(work, env, con)
  if not ok then say(message) end
  con:puts(table.concat(lines, "\\n"))
end
"""
USUAL = params(
    QUERY_STRING="a=1",
    REQUEST_METHOD="GET",
    HTTP_ACCEPT="*/*",
    HTTP_ACCEPT_LANGUAGE="en",
    HTTP_COOKIE="x" * 300,
    REMOTE_ADDR="::1",
    HTTP_X_LONG="y" * 9000,  # a short blob is decoded at the second look
)


def _nowhere(text: str) -> str:
    """Return a text without addresses: each state has its own."""
    return re.sub("0x[0-9a-f]+", "0x", text)


def both(
    code: str, dialect: Dialect, blob: bytes = USUAL, requests: int = 1
) -> list[str]:
    """Return what a script says, which is the same with plain tables."""
    source = f"{HELPERS}\nfunction work(env, con)\n{code}\nend"
    lazy, plain = (Script(source + end, dialect) for end in ("", PLAIN))
    said = [_nowhere(lazy.run(blob).text) for _ in range(requests)]
    assert said == [_nowhere(plain.run(blob).text) for _ in range(requests)]
    return said[-1].split("\n")


@every_sandboxed_dialect
@pytest.mark.parametrize(
    "code",
    [
        "say(env.QUERY_STRING, env.QUERY_STRING, env.NONE, env.LUAFCGID_VERSION)",
        "say(env.HTTP_ACCEPT, env.HTTP, env.ACCEPT, env.LANGUAGE, env.en, env.GET)",
        "say(env[1], env[true], env[env], env[1.5], env[''], env[('x'):rep(300)])",
        "local copy = {} for name, value in pairs(env) do copy[name] = value end"
        " say(all(copy))",
        "say(env.REMOTE_ADDR) say(all(env)) say(all(env))",
        # ---- assignments
        "env.NEW = 1 say(env.NEW, all(env))",
        "env.QUERY_STRING = 'b' say(env.QUERY_STRING, all(env))",
        "env.QUERY_STRING = nil say(env.QUERY_STRING, all(env))",
        "say(env.REMOTE_ADDR) env.REMOTE_ADDR = nil say(env.REMOTE_ADDR, all(env))",
        "say(env.REMOTE_ADDR) env.REMOTE_ADDR = 2 say(env.REMOTE_ADDR, all(env))",
        "say(env.LUAFCGID_VERSION) env.LUAFCGID_VERSION = nil say(all(env))",
        "env.LUAFCGID_VERSION = nil say(env.LUAFCGID_VERSION, all(env))",
        "env.NONE = nil say(all(env))",
        "env[1], env[2] = 'a', 'b' say(#env, all(env), table.concat(env))",
        "env[nil] = 1",
        "env[0/0] = 1",
        "for name in pairs(env) do env[name] = nil end say(all(env))",
        "say(rawset(env, 'QUERY_STRING', 2) == env, env.QUERY_STRING, all(env))",
        # ---- metatables
        "say(setmetatable(env, nil) == env, all(env))",
        "setmetatable(env, { __index = function(_, name) return name .. '?' end })"
        " say(env.QUERY_STRING, env.NONE, all(env))",
        "setmetatable(env, { __newindex = function(t, k, v) rawset(t, k .. 1, v) end })"
        " env.A = 1 env.QUERY_STRING = 2 say(all(env))",
        "say(setmetatable(env, { __metatable = 'mine' }) == env)"
        " setmetatable(env, nil)",
        "local t = setmetatable({}, { __index = env })"
        " say(t.QUERY_STRING, t.NONE, all(t), all(env))",
        "local t = setmetatable({}, { __newindex = env })"
        " t.A, t.QUERY_STRING = 1, 2 say(all(t), all(env))",
        "env.__index = env local t = setmetatable({}, env) say(t.HTTP_ACCEPT)",
        "local function class() return setmetatable({}, { __index = env }) end"
        " say(setmetatable(class(), { __index = class() }).REMOTE_ADDR)",
        # ---- functions of Lua
        "say(#env, tostring(env), type(env), env == env, rawequal(env, {}))",
        "for index in ipairs(env) do say(index) end",
        "table.insert(env, 'x') say(env[1], #env, all(env))",
        "table.insert(env, 1, 'x') say(table.remove(env), #env, all(env))",
        "table.sort(env) say(table.concat(env, ','), (table.unpack or unpack)(env))",
        "if table.move then table.move({ 1, 2 }, 1, 2, 1, env)"
        " table.move(env, 1, 2, 3) end say(all(env))",
        "local copy = {} if table.foreach then"
        " table.foreach(env, function(k, v) copy[k] = v end) say(all(copy))"
        " say(table.maxn(env), table.getn(env)) end",
        "say((('$HTTP_ACCEPT $NONE $REMOTE_ADDR'):gsub('%$([%w_]+)', env)))",
        "local chunk if setfenv then chunk = setfenv(loadstring("
        "'NEW = QUERY_STRING return HTTP_ACCEPT'), env) else chunk ="
        " load('NEW = QUERY_STRING return HTTP_ACCEPT', 'x', 't', env) end"
        " say(chunk()) say(all(env))",
        "say(select('#', env), pcall(error, env)) say(string.format('%s', env))",
        "say(pcall(function() return env + 1 end))",
        "say(pcall(function() return env < env end))",
        "say(pcall(function() return env() end))",
        "say(pcall(function() return env .. 'x' end))",
        "say(pcall(function() return env.NONE.x end))",
        "coroutine.wrap(function(t) say(t.QUERY_STRING) coroutine.yield(1)"
        " say(all(t)) end)(env) say(all(env))",
        "if module then loaded_env = env say(pcall(module, 'loaded_env.HTTP_ACCEPT'))"
        " end say(all(env))",
        "if module then package.loaded.mine = env module('mine', package.seeall) end"
        " env.print = nil env._M = nil env._ENV = nil",
        "if package.seeall then package.seeall(env) say(env.print == print) end",
        # ---- functions of ours
        "say(require('json').encode(env))",
        "say(require('json').encode({ env, env }))",
        "say(require('luafcgid').serialize(env))",
        "con:header(env)",
        "env.HTTP_COOKIE = nil con:header(env)",
        "say(pcall(con.puts, con, env)) say(pcall(env.QUERY_STRING.rep, env, 1))",
        "print(env) require('luafarm').log('info', env)",
    ],
)  # fmt: skip
def test_a_script_cannot_tell(dialect: Dialect, code: str) -> None:
    both(code, dialect, requests=3)


@every_sandboxed_dialect
@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("next", "local t = {} for name, value in next, env do t[name] = value end"
         " say(all(t)) say(next(env) ~= nil)"),
        ("rawget", "say(rawget(env, 'QUERY_STRING'))"),
        ("getmetatable", "say(getmetatable(env))"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["script", "module", "text"])
def test_who_names_a_raw_function_gets_plain_tables(
    dialect: Dialect, word: str, code: str, place: str
) -> None:
    module = f"local say, env = ...\n{code}"
    given = {
        "script": code,
        "module": "require('m').run(say, env)",
        "text": f"(loadstring or load)([==[{module}]==])(say, env)",
    }
    source = f"{HELPERS}\nfunction work(env) say(env.HTTP_ACCEPT) {given[place]} end"
    source += " kept = {} local work_ = work"
    source += " function work(env) kept[#kept + 1] = env"
    source += " if #kept > 2 then work_(kept[1]) end end"
    modules = {"m": f"return {{ run = function(...) {module} end }}"}
    if place == "module":
        assert word not in source
    lazy, plain = (
        Script(source + end, dialect, modules=modules) for end in ("", PLAIN)
    )
    said = [lazy.run(USUAL).text for _ in range(5)]
    assert said == [plain.run(USUAL).text for _ in range(5)]
    assert said[-1].startswith("*/*\n")


@every_sandboxed_dialect
def test_an_environment_is_of_use_after_its_request(dialect: Dialect) -> None:
    source = """
      local kept, read = {}, {}
      function main(env, con)
        kept[#kept + 1] = env
        for _, old in ipairs(kept) do con:puts(old.N .. old.LUAFCGID_VERSION .. " ") end
        collectgarbage()
        for name, value in pairs(kept[1]) do read[name] = value end
        con:puts(read.N)
      end
    """
    script = Script(source, dialect)
    said = [script.run(params(A="a", N=str(n))).text for n in range(3)]
    assert said == ["01 0", "01 11 0", "01 11 21 0"]


@attack_on_every_sandboxed_dialect
def test_no_way_leads_to_the_metatable(dialect: Dialect) -> None:
    code = """
      local shown = _G["get" .. "metatable"](env)
      local ok = pcall(setmetatable, shown, {})
      local own = _G["raw" .. "get"](env, "QUERY_STRING")
      local count = 0
      for name in _G["ne" .. "xt"], env do count = count + 1 end
      say(shown, ok, own, count, env.QUERY_STRING)
    """
    source = f"{HELPERS}\nfunction work(env, con)\n{code}\nend"
    assert Script(source, dialect).run(USUAL).text == "false false nil 0 a=1"


@attack_on_every_sandboxed_dialect
def test_a_parameter_is_not_made_up_from_the_value_of_another(dialect: Dialect) -> None:
    inner = pair(b"REMOTE_USER", b"root")
    blob = b"".join(
        (
            pair(b"A", b"REMOTE_USER"),
            pair(b"HTTP_X", inner),
            pair(b"HTTP_Y", inner * 20),
            pair(b"HTTP_REMOTE_USER", b"no"),
            pair(b"REMOTE_USER_", b"no"),
            pair(b"", b"REMOTE_USER"),
            pair(inner, inner),
        )
    )
    code = "say(env.REMOTE_USER, env.HTTP_REMOTE_USER, env.A)"
    assert both(code, dialect, blob) == ["nil no REMOTE_USER"]
    blob += pair(b"REMOTE_USER", b"x") + pair(b"REMOTE_USER", b"me") + pair(b"Z", inner)
    assert both(code, dialect, blob) == ["me no REMOTE_USER"]


@attack_on_every_sandboxed_dialect
def test_lengths_beyond_all_bounds_end_the_parameters(dialect: Dialect) -> None:
    for lengths in (
        b"\xff" * 8,
        b"\x01\xff\xff\xff\xff",
        b"\xff\xff\xff\xff\x01",
        b"\x09\x03",
        b"\x04\x7f",
    ):
        blob = pair(b"A", b"1") + pair(b"LONG", b"x" * 9000) + lengths + b"B" * 4
        names = "'BBBB', 'A', 'B', 'BB', 'C'"
        code = f"for _, name in ipairs{{ {names} }} do say(env[name]) end say(all(env))"
        assert both(code, dialect, blob)[1] == "1"


@every_sandboxed_dialect
def test_who_reads_much_or_all_gets_plain_tables_for_a_while(dialect: Dialect) -> None:
    source = """
      local raw = _G["raw" .. "get"]
      function main(env, con)
        con:puts(tostring(raw(env, "HTTP_COOKIE") ~= nil))
        if env.QUERY_STRING == "pairs" then pairs(env) end
        if env.QUERY_STRING == "much" then
          for i = 1, 30 do local _ = env["NAME" .. i] end
        end
      end
    """
    script = Script(source, dialect)
    rest = params(HTTP_COOKIE="x" * 3000)
    for how in ("pairs", "much"):
        blob = params(QUERY_STRING=how) + rest
        assert script.run(blob).text == "false"
        assert {script.run(rest).text for _ in range(100)} == {"true"}
        assert script.run(rest).text == "false"


@attack_on_every_sandboxed_dialect
def test_a_look_for_a_long_name_is_no_long_search(dialect: Dialect) -> None:
    # a plain search would take 2^40 steps
    blob = pair(b"A", b"x" * 2**20) + pair(b"x" * 2**19 + b"y", b"found")
    source = """
      function main(env, con)
        con:puts(tostring(env[("x"):rep(2 ^ 19) .. "z"]))
        con:puts(env[("x"):rep(2 ^ 19) .. "y"])
      end
    """
    assert Script(source, dialect).run(blob).text == "nilfound"


@every_sandboxed_dialect
def test_a_state_without_memory_for_its_environment_keeps_it_whole(
    dialect: Dialect,
) -> None:
    source = """
      local hoard
      local function add(size) hoard[#hoard + 1] = ("x"):rep(size) .. #hoard end
      function main(env, con)
        hoard = {}
        local size = 2 ^ 16
        while size > 4096 do
          if not pcall(add, size) then
            collectgarbage()  -- of the texts that were no use
            if not pcall(add, size) then size = size / 2 end
          end
        end
        local ok = pcall(pairs, env)
        hoard = nil
        collectgarbage()
        if ok then return con:puts("there was memory") end
        local count = 0
        for name, value in pairs(env) do count = count + #name + #tostring(value) end
        con:puts(count)
      end
    """
    blob = b"".join(pair(b"N%d" % n, b"%d" % n * 200) for n in range(200))
    count = sum(len(b"N%d" % n) + len(b"%d" % n * 200) for n in range(200))
    whole = str(count + len("LUAFCGID_VERSION1"))
    texts = set()
    for more in range(0, 70_000, 7_000):  # what garbage is left to free is chance
        limits = StateLimits(memory_bytes=(2 << 20) + more)
        texts.add(Script(source, dialect, limits=limits).run(blob).text)
    assert {whole} <= texts <= {whole, "there was memory"}


@every_sandboxed_dialect
def test_environments_that_nobody_keeps_are_freed(dialect: Dialect) -> None:
    source = "function main(env, con) con:puts(env.N) end"
    script = Script(source, dialect, limits=StateLimits(memory_bytes=1 << 20))
    for number in range(2000):
        blob = params(N=str(number), LONG=f"{number} " * 300)
        assert script.run(blob).text == str(number)


# ---- any pairs, any order of operations ----------------------------------------------

NAMES = ("A", "B", "AB", "BA", "AA", "", "LUAFCGID_VERSION", "\x01\x01", "\x01\x01A")
OPERATIONS = (
    "say(env[{0}])",
    "say(env[{0}])",
    "say(env[{0}])",
    "say(env[{0}], env[{1}], env[{0}])",
    "env[{0}] = nil",
    "env[{0}] = {1}",
    "rawset(env, {0}, {1})",
    "say(all(env))",
    "setmetatable(env, {{ __index = {{ [{0}] = 'other' }} }})",
    "say(setmetatable({{}}, {{ __index = env }})[{0}])",
    "setmetatable({{}}, {{ __newindex = env }})[{0}] = {1}",
    "table.insert(env, {0})",
    "say(#env, env[1])",
)
texts = st.sampled_from([name.encode() for name in NAMES])
values = st.one_of(
    texts,
    st.tuples(texts, texts).map(lambda two: pair(*two)),
    st.binary(max_size=300),
    texts.map(lambda name: name * 70),
)
quoted = st.sampled_from(
    ['"' + "".join(f"\\{ord(c):03}" for c in name) + '"' for name in NAMES]
)
lines = st.tuples(st.sampled_from(OPERATIONS), quoted, quoted).map(
    lambda line: line[0].format(*line[1:])
)
blobs = st.tuples(
    st.lists(st.tuples(st.one_of(texts, values), values), max_size=12),
    st.integers(0, 20),
    st.binary(max_size=9),
    st.sampled_from((0, 9000)),
)


@given(blobs, st.lists(lines, max_size=12), st.sampled_from(SANDBOXED))
@example(  # the length of the value is the first character of the name, too
    ([(b"\1\1", b"A")], 0, b"", 0), ['say(env["\\001\\001"])'], SANDBOXED[0]
)
@example(([], 0, b"B", 0), ['say(env["B"])'], SANDBOXED[0])  # a length is all of it
@settings(max_examples=300)
def test_any_operations_on_any_parameters_do_what_a_plain_table_does(
    parts: tuple[list[tuple[bytes, bytes]], int, bytes, int],
    code: list[str],
    dialect: Dialect,
) -> None:
    pairs, cut, tail, size = parts
    blob = pair(b"LONG", b"x" * size)  # a short blob is decoded at the second look
    blob += b"".join(pair(*one) for one in pairs)
    blob = blob[: len(blob) - cut] + tail
    both("\n".join((*code, "say(all(env))")), dialect, blob)
