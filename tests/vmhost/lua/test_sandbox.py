"""What a sandboxed script can reach: what docs/sandbox.md lists, and nothing else."""

import re
from pathlib import Path

import pytest

from luafarm.dialects import REFUSED, UNSOUND, Dialect
from tests.vmhost.states import (
    SANDBOXED,
    Op,
    Script,
    attack_on_every_sandboxed_dialect,
    evaluate,
    every_sandboxed_dialect,
    params,
)
from vmhost.host.services.table import OPERATIONS
from vmhost.lua.dialect import DialectError, choose
from vmhost.lua.limits import StateLimits
from vmhost.lua.state import LuaState

PAGE = Path(__file__).parents[3] / "docs" / "sandbox.md"

WALK = """
local modules = {}
for _, name in ipairs{ "luafarm", "luafarm.cookies", "luafarm.crypto", "luafarm.form",
  "luafcgid", "md5", "base64", "json" } do
  modules[name] = require(name)
end
function main(env, con)
  local seen, lines = {}, {}
  local function walk(value, path)
    local kind = type(value)
    if path ~= "" then lines[#lines + 1] = path .. " " .. kind end
    if kind ~= "table" or seen[value] then return end
    seen[value] = true
    local names = {}
    for key, inner in pairs(value) do names[#names + 1] = key end
    table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
    for _, key in ipairs(names) do
      walk(value[key], (path == "" and "" or path .. ".") .. tostring(key))
    end
    local meta = getmetatable(value)
    if meta then walk(meta, path .. "<meta>") end
  end
  for _, name in ipairs{ "luafarm", "luafarm.cookies", "luafarm.crypto", "luafarm.form",
  "luafcgid", "md5", "base64", "json" } do
    walk(modules[name], name)
  end
  walk(con, "con")
  seen[package.loaded] = true  -- see test_package_loaded_holds_nothing_more
  seen[package.searchers or package.loaders] = true
  walk(_G, "")
  con:puts(table.concat(lines, "\\n"))
end
"""

OWN = {"main function", "_G table"}  # of the walking script, and the table itself


def reachable(dialect: Dialect) -> set[str]:
    """Return `name type` of all that a script of this dialect can name."""
    return set(Script(WALK, dialect).run().text.split("\n")) - OWN


def listed(dialect: Dialect) -> set[str]:
    """Return the same from the table in docs/sandbox.md."""
    page = PAGE.read_text("utf-8")
    table, _, _ = page[page.index("| name |") :].partition("\n\n")
    head, *lines = table.splitlines()
    columns = [cell.strip() for cell in head.strip("|").split("|")]
    found = set()
    for line in lines:
        if not line.startswith("| `"):
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[columns.index(dialect)] == "yes":
            found.add(f"{cells[0].strip('`')} {cells[columns.index('type')]}")
    return found


@attack_on_every_sandboxed_dialect
def test_the_page_lists_exactly_what_a_script_can_reach(dialect: Dialect) -> None:
    assert reachable(dialect) == listed(dialect)


@attack_on_every_sandboxed_dialect
def test_package_loaded_holds_nothing_more(dialect: Dialect) -> None:
    code = """
      local names = {}
      for name, module in pairs(package.loaded) do
        if name ~= "_G" then assert(module == _G[name], name) end
        names[#names + 1] = name
      end
      table.sort(names)
      return table.concat(names, " ")
    """
    expected = {
        "_G",
        "coroutine",
        "debug",
        "io",
        "math",
        "os",
        "package",
        "string",
        "table",
    }
    expected |= {
        Dialect.LUAJIT21: {"bit", "jit"},
        Dialect.LUA52: {"bit32"},
        Dialect.LUA53: {"bit32", "utf8"},
    }.get(dialect, {"utf8"})
    assert set(evaluate(code, dialect).split()) == expected


@attack_on_every_sandboxed_dialect
@pytest.mark.parametrize(
    "name",
    ["python", "ffi", "coroutine.close_", "table.setn"],
)
def test_what_is_dangerous_is_not_there(dialect: Dialect, name: str) -> None:
    assert evaluate(f"return {name}", dialect) == "nil"


@attack_on_every_sandboxed_dialect
@pytest.mark.parametrize(
    "name",
    ["ffi", "jit.util", "string.buffer", "python", "table.new"],
)
def test_require_finds_no_native_module(dialect: Dialect, name: str) -> None:
    assert evaluate(f"return (pcall(require, '{name}'))", dialect) == "false"


# ---- metatables and environments -----------------------------------------------------


@attack_on_every_sandboxed_dialect
def test_a_changed_string_metatable_reaches_no_code_but_the_script_s(
    dialect: Dialect,
) -> None:
    source = """
      local meta, calls = getmetatable(""), 0
      local function trap() calls = calls + 1 error("trapped", 0) end
      for _, name in ipairs {
        "index", "newindex", "call", "concat", "len", "eq", "lt", "le", "add", "sub",
        "mul", "div", "mod", "pow", "unm", "idiv", "band", "tostring", "name", "gc",
        "close", "mode", "pairs" } do meta["__" .. name] = trap end
      local luafarm, json = require "luafarm", require "json"
      function main(env, con)
        con:header("X-A", "b") con:status("201 Created") con:puts("x", 1) con:flush()
        print("said", env.QUERY_STRING) con:log("more")
        con:puts(json.encode(json.decode("[1, {}]"))) con:puts(luafarm.urlencode("a b"))
        con:puts(calls)
        if env.QUERY_STRING == "fail" then error("text") end
      end
    """
    script = Script(source, dialect)
    reply = script.run(params(QUERY_STRING="a=1"))
    assert reply.text.endswith("[1,{}]a+b0")
    failure = script.run(params(QUERY_STRING="fail")).failure
    assert failure.message.endswith(": text")
    assert script.state.must_close == ""


@attack_on_every_sandboxed_dialect
def test_what_a_script_does_to_libraries_stays_in_its_state(dialect: Dialect) -> None:
    source = """
      for _, library in pairs(_G) do
        if type(library) == "table" and library ~= _G then
          for name in pairs(library) do pcall(rawset, library, name, nil) end
        end
      end
      string.trim = function(s) return "trimmed " .. s end
      function main(env, con)
        for _, name in ipairs{ "pcall", "error", "type", "tostring", "select", "next",
          "pairs", "ipairs", "rawget", "getmetatable", "setmetatable", "load" } do
          _G[name] = nil
        end
        con:header("X-A", "b") con:puts(("x"):trim()) con:flush() con:puts(1)
      end
    """
    script = Script(source, dialect)
    reply = script.run()
    assert reply.text == "trimmed x1"
    assert "X-A: b" in reply.headers
    other = Script("function main(env, con) con:puts(('x'):rep(3)) end", dialect)
    assert other.run().text == "xxx"


@attack_on_every_sandboxed_dialect
@pytest.mark.parametrize("way", ["setmetatable", "debug.setmetatable"])
def test_a_finalizer_is_kept_and_never_run(dialect: Dialect, way: str) -> None:
    code = f"""
      local ran, meta = false, {{ __gc = function() ran = true end }}
      for i = 1, 10 do {way}({{}}, meta) end
      collectgarbage() collectgarbage()
      return tostring(ran) .. type(meta.__gc)
    """
    assert evaluate(code, dialect) == "falsefunction"


@attack_on_every_sandboxed_dialect
def test_a_finalizer_set_later_never_runs(dialect: Dialect) -> None:
    code = """
      local ran = false
      for i = 1, 10 do
        local meta = {}
        setmetatable({}, meta)
        meta.__gc = function() ran = true end
      end
      collectgarbage() collectgarbage()
      return ran
    """
    assert evaluate(code, dialect) == "false"


@attack_on_every_sandboxed_dialect
def test_a_finalizer_set_later_does_not_run_when_the_state_closes(
    dialect: Dialect,
) -> None:
    source = """
      keep = {}
      for i = 1, 10 do
        local meta = {}
        keep[i] = setmetatable({}, meta)
        meta.__gc = function() while true do end end
      end
      function main() end
    """
    Script(source, dialect).state.close()


@attack_on_every_sandboxed_dialect
def test_a_guarded_global_table_breaks_nobody_but_the_script(dialect: Dialect) -> None:
    source = """
      setmetatable(_G, { __index = function(_, k) error("no global " .. k) end,
        __newindex = function(_, k) error("no new global " .. k) end })
      function handler() return "x" end
    """
    failure = Script(source.replace("handler", "rawmain"), dialect).loaded.failure
    assert "no new global rawmain" in failure.message
    source = source.replace("function handler()", "rawset(_G, 'handler', function()")
    source = source.replace("end\n    ", "end)\n    ")
    assert (
        Script(source, dialect).run().text == "x"
    )  # what is ours is looked up past it


# ---- addresses -----------------------------------------------------------------------

ADDRESSES = [
    "tostring({})", "tostring(print)", "tostring(function() end)",
    "tostring(coroutine.create(print))", "tostring(string.format)", "tostring(con)",
    "tostring(require('luafarm'))", "tostring(require('json').null)", "tostring(_G)",
    "tostring(setmetatable({}, {}))", "tostring(setmetatable({}, { __name = 'N' }))",
    "string.format('%s %s %s', {}, print, coroutine.create(print))",
    "('%10s'):format({})", "('%5.5s'):format(print)", "('%q'):format('x')",
    "select(2, pcall(error, {}))", "select(2, pcall(string.format, '%d', {}))",
    "select(2, pcall(function() return {} .. 'x' end))",
    "select(2, pcall(function() return {} + 1 end))",
    "select(2, pcall(function() return {} < {} end))",
    "select(2, pcall(next, {}, {}))", "select(2, pcall(next, {}, print))",
    "select(2, pcall(setmetatable, 1, {}))", "select(2, pcall(table.concat, { {} }))",
    "select(2, pcall(load, {}))", "select(2, pcall(require, {}))",
]  # fmt: skip


@attack_on_every_sandboxed_dialect
@pytest.mark.parametrize("expression", ADDRESSES)
def test_no_text_tells_an_address(dialect: Dialect, expression: str) -> None:
    script = Script(
        f"function main(env, con) con:puts(tostring({expression})) print({expression})"
        f" error({expression}) end",
        dialect,
    )
    reply = script.run()
    text = reply.failure.message + reply.failure.traceback + str(reply.log)
    found = re.findall(r"0x[0-9a-f]{4,}|: ?[0-9a-f]{8,}", text)
    # the one that this state would have told, whatever lies where
    start = 0x5500 << 32
    assert all(0 < int(each, 16) - start < 1 << 48 for each in found), text


@attack_on_every_sandboxed_dialect
@pytest.mark.parametrize("template", ["%p", "%-20p", "%5.5p", "a%%%p", "%%p%p", "%5%p"])
def test_format_p_tells_the_address_that_tostring_tells_or_fails(
    dialect: Dialect, template: str
) -> None:
    code = f"""
      local t = {{}}
      local ok, text = pcall(string.format, "{template}", t, t)
      if not ok then return "error" end
      return tostring(text:match("0x%x+") == tostring(t):match("0x%x+"))
    """
    assert evaluate(code, dialect) in ("true", "error")


@attack_on_every_sandboxed_dialect
def test_addresses_count_what_was_asked_for(dialect: Dialect) -> None:
    code = """
      local a, b = {}, {}
      local first, second = tostring(a):match("0x(%x+)"), tostring(b):match("0x(%x+)")
      return tonumber(second, 16) - tonumber(first, 16)
    """
    assert float(evaluate(code, dialect)) == 64


@every_sandboxed_dialect
def test_percent_percent_p_is_text(dialect: Dialect) -> None:
    assert evaluate("return string.format('%%p')", dialect) == "%p"


@every_sandboxed_dialect
def test_tostring_honours_tostring(dialect: Dialect) -> None:
    code = """
      local t = setmetatable({}, { __tostring = function() return "mine" end })
      return tostring(t) .. string.format("%s", t) .. tostring(nil) .. tostring(1.5)
        .. string.format("%s %s", nil, true)
    """
    assert evaluate(code, dialect) == "minemine" + "nil1.5nil true"


# ---- capped functions ----------------------------------------------------------------


@attack_on_every_sandboxed_dialect
@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("('x'):rep(1e10)", "resulting string too large"),
        ("('x'):rep(2^53)", "resulting string too large"),
        ("('x'):rep(1e9, 'sep')", "resulting string too large"),
        ("('x'):rep(1/0)", "resulting string too large"),
        ("os.date(('%c'):rep(1000))", "format too long"),
        ("('x'):rep(1e6):find(('x'):rep(5e5) .. 'y', 1, true)", "too long to search"),
    ],
)
def test_one_call_does_not_take_too_much(
    dialect: Dialect, call: str, message: str
) -> None:
    assert message in Script(call, dialect).loaded.failure.message


@every_sandboxed_dialect
@pytest.mark.parametrize(
    ("call", "result"),
    [
        ("#(''):rep(1e15)", "0"),
        ("#(''):rep(2^53)", "0"),
        ("#('x'):rep(-1)", "0"),
        ("#('x'):rep(0/0)", "0"),
        ("('ab'):rep(3)", "ababab"),
        ("(5):rep(2)", "55"),
        ("('x'):rep('2')", "xx"),
        ("('x'):rep(2.0)", "xx"),
        ("#('x'):rep(1e6)", "1000000"),
        ("('abc'):find('b', 1, true)", "2"),
        ("('abc'):find('b', -1, true)", "nil"),
        ("('a.c'):find('.', 1, true)", "2"),
        ("('hello'):gsub('l', 'L')", "heLLo"),
        ("('hello'):gsub('l', 'L', 1)", "heLlo"),
        ("('hello'):gsub('l', { l = '1' })", "he11o"),
        ("('hello'):gsub('l', function() return '2' end)", "he22o"),
        ("('abc'):gsub('%w', setmetatable({}, { __index = function(_, k)"
         " return k .. k end }))", "aabbcc"),
    ],
)  # fmt: skip
def test_capped_functions_do_what_lua_s_do(
    dialect: Dialect, call: str, result: str
) -> None:
    if call.startswith("(5)"):
        call = call.replace("(5):rep(2)", "string.rep(5, 2)")
    assert evaluate(f"return ({call})", dialect) == result


@attack_on_every_sandboxed_dialect
@pytest.mark.parametrize(
    "call",
    [
        "u({}, 1, 1e8)", "u({}, -2^31, -1)", "u({}, -2^30, 2^30)", "u({}, 1, 2^53)",
        "u({}, -2^53, 2^53)", "u({}, 0, 1/0)", "string.char(u({}, 1, 1e7))",
    ],
)  # fmt: skip
def test_unpack_is_bounded(dialect: Dialect, call: str) -> None:
    script = Script(
        f"local u = table.unpack or unpack\n count = select('#', {call})\n"
        "function main(env, con) con:puts(count) end",
        dialect,
    )
    if script.loaded.error:
        assert script.loaded.error.line == 2
    else:
        assert int(script.run().text) < 10


@pytest.mark.parametrize("dialect", [d for d in SANDBOXED if d is not Dialect.LUAJIT21])
@pytest.mark.parametrize(
    "call",
    [
        "table.insert(long, 1, 'x')", "table.remove(long, 1)", "table.sort(long)",
        "table.concat(long)", "table.insert(long, 2, 'x')", "table.remove(long, 2)",
    ],
)  # fmt: skip
def test_lengths_from_metamethods_drive_no_c_loop(dialect: Dialect, call: str) -> None:
    source = f"""
      long = setmetatable({{}}, {{ __len = function() return 2^53 end }})
      proxy = setmetatable({{}}, {{ __index = function() return 1 end }})
      {call}
    """
    limits = StateLimits(load_cpu_s=0.2)
    failure = Script(source, dialect, limits=limits).loaded.failure
    stopped = failure.kind == "Budget Exceeded"
    words = ("too many elements", "not", "nil")
    assert stopped or any(word in failure.message for word in words), failure


@pytest.mark.parametrize("dialect", [d for d in SANDBOXED if d is not Dialect.LUA52])
@pytest.mark.parametrize(
    "call",
    [
        "table.move({}, 1, 2^53, 2)", "table.move({}, -2^53, 2^53 - 1, 2)",
        "table.move({}, 1, 1e12, 2, {})", "table.move({}, 1, 1/0, 2)",
    ],
)  # fmt: skip
def test_move_is_bounded(dialect: Dialect, call: str) -> None:
    assert "bad argument #" in Script(call, dialect).loaded.failure.message


@attack_on_every_sandboxed_dialect
@pytest.mark.parametrize(
    "position", ["-2^31", "-2^53", "0/0", "-1/0", "1/0", "2^31", "1e308"]
)
def test_insert_far_from_the_table_is_refused(dialect: Dialect, position: str) -> None:
    failure = Script(f"table.insert({{ 1 }}, {position}, 'x')", dialect).loaded.failure
    assert "bad argument #" in failure.message


@every_sandboxed_dialect
def test_table_functions_work_on_plain_tables(dialect: Dialect) -> None:
    code = """
      local t = setmetatable({ 3, 1, 2 }, { __tostring = function() return "t" end })
      table.sort(t) table.insert(t, 4) table.insert(t, 1, 0)
      local removed = table.remove(t, 2) .. table.remove(t)
      table.sort(t, function(a, b) return a > b end)
      return table.concat(t, ",") .. " " .. removed
    """
    assert evaluate(code, dialect) == "3,2,0 14"


@attack_on_every_sandboxed_dialect
def test_the_collector_cannot_be_turned_off(dialect: Dialect) -> None:
    source = """
      pcall(collectgarbage, "stop") pcall(collectgarbage, "setpause", 100000)
      pcall(collectgarbage, "generational")
      pcall(collectgarbage, "param", "pause", 100000)
      for i = 1, 3000 do local text = ("x"):rep(50000) .. i end
      function main(env, con) con:puts("alive") end
    """
    assert Script(source, dialect).run().text == "alive"


# ---- random numbers ------------------------------------------------------------------


@attack_on_every_sandboxed_dialect
def test_states_have_random_numbers_of_their_own(dialect: Dialect) -> None:
    source = """
      function main(env, con)
        if env.SEED then math.randomseed(tonumber(env.SEED)) end
        local t = {}
        for i = 1, 5 do t[i] = math.random(1000000) end
        con:puts(table.concat(t, " "))
      end
    """
    one, two = Script(source, dialect), Script(source, dialect)
    assert one.run().text != two.run().text  # seeded apart
    first = one.run(params(SEED="5")).text
    two.run()
    assert two.run(params(SEED="5")).text == first  # and by themselves


@every_sandboxed_dialect
def test_random_numbers_are_in_range(dialect: Dialect) -> None:
    code = """
      local seen = {}
      for i = 1, 2000 do
        local u, a, b = math.random(), math.random(6), math.random(-3, 3)
        assert(u >= 0 and u < 1 and a >= 1 and a <= 6 and b >= -3 and b <= 3)
        assert(a == math.floor(a) and b == math.floor(b))
        seen[a] = true
      end
      local failed = 0
      for _, arguments in ipairs{ { 0 }, { 3, 1 }, { "x" }, { {} } } do
        if not pcall(math.random, (table.unpack or unpack)(arguments)) then
          failed = failed + 1
        end
      end
      return #seen .. " " .. (failed >= 2 and "refused" or failed)
    """
    assert evaluate(code, dialect) == "6 refused"


# ---- dialects ------------------------------------------------------------------------


def test_unsound_dialects_are_refused_with_the_reason() -> None:
    for dialect, reason in UNSOUND.items():
        with pytest.raises(DialectError) as error:
            LuaState(dialect, StateLimits(), OPERATIONS)
        assert str(error.value) == f"{dialect} in a sandboxed pool: {reason}"
    for name, reason in REFUSED.items():
        with pytest.raises(DialectError) as error:
            choose(name, trusted=True)
        assert str(error.value) == f"{name}: {reason}"


def test_unknown_dialects_are_refused_with_the_known_ones() -> None:
    with pytest.raises(DialectError, match="luajit21, lua51, lua52"):
        choose("lua99", trusted=True)


def test_the_compiler_of_luajit_is_for_trusted_pools() -> None:
    with pytest.raises(DialectError, match="jit in a sandboxed pool"):
        choose("luajit21", trusted=False, jit=True)


# ---- attempts on the trusted side ----------------------------------------------------


@attack_on_every_sandboxed_dialect
@pytest.mark.parametrize(
    "code",
    [
        "error(con)", "error(con.puts)", "error(coroutine.create(print))",
        "return con", "error(setmetatable({}, { __tostring = con.puts }))",
        "con:puts(setmetatable({}, { __concat = print, __tostring = print }))",
        "coroutine.wrap(coroutine.yield)(1, 2, 3)",
        "coroutine.wrap(function() coroutine.yield(con, env) end)()",
        "pcall(coroutine.resume, coroutine.running())",
        "pcall(coroutine.wrap(main), env, con)",
        "main = coroutine.wrap(main) pcall(main, env, con)",
        "for k in pairs(env) do env[k] = con end",
        "env[con] = env setmetatable(env, { __index = error })",
        "string.format = nil tostring = nil type = nil error('x')",
        "xpcall(error, error)", "xpcall(error, xpcall)", "pcall(pcall)",
        "pcall(xpcall)",
        "pcall(error, nil)", "table.sort({ 3, 2, 1 }, error)",
        "('x'):gsub('x', con.puts)", "('x'):gsub('.', coroutine.yield)",
        "load(coroutine.wrap(function() coroutine.yield('x = ') end))",
        "load(con.puts)", "require(con)", "con.puts(con.puts, con)",
        "con:header(con, con)", "con:header(env)", "con:header({ [con] = con })",
        "con:header(setmetatable({}, { __pairs = error, __index = error }))",
        "print(setmetatable({}, { __tostring = error }))",
        "print(setmetatable({}, { __tostring = function() return con end }))",
        "package.loaded = nil require 'json'", "package = nil require 'json'",
        "package.preload.json = error require 'json'",
        "setmetatable(package.loaded, { __index = error, __newindex = error })"
        " require 'json'",
        "setmetatable(package.preload, { __index = function() return con end })"
        " require 'x'",
        "_G._G = nil _ENV = nil con:puts('x')",
        "collectgarbage('count')", "os.time({})", "os.date('%')", "os.date('%Ez', -1)",
        "os.date('*t', 1e300)", "os.date('!*t', -1e300)", "os.time({ year = 1e300 })",
        "math.floor({})", "('x'):rep(con)", "string.char(-1)",
        "('%d'):rep(3):format(1)",
        "select(-1e10, 1)", "select(1e300, 1)", "tonumber('z', 99)",
        "rawset(env, nil, 1)", "rawget(con)", "rawequal(con)", "next(env, con)",
    ],
)  # fmt: skip
def test_odd_code_ends_in_a_reply_or_an_error(dialect: Dialect, code: str) -> None:
    script = Script(f"function main(env, con)\n{code}\nend", dialect)
    reply = script.run(params(A="1"), body=b"body")
    assert reply.steps[-1][0] in (Op.DONE, Op.ERROR)
    assert script.state.must_close == ""
    script.run(params(A="1"))
