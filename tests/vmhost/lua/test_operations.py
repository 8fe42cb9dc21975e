"""Operations: asked for from anywhere, answered by the host, forged by nobody."""

import re

import pytest

from luafarm.dialects import Dialect
from tests.vmhost.states import (
    Op,
    Script,
    attack_on_every_dialect,
    attack_on_every_sandboxed_dialect,
    evaluate,
    every_dialect,
    every_sandboxed_dialect,
    params,
)
from vmhost.host.services.table import OPERATIONS
from vmhost.lua.limits import StateLimits
from vmhost.lua.state import LuaState

PLACES = {
    "plain": "use()",
    "in pcall": "assert(pcall(use))",
    "in xpcall": "assert(xpcall(use, print))",
    "in nested pcall": "assert(pcall(pcall, pcall, use))",
    "in a coroutine": "coroutine.wrap(use)()",
    "in a coroutine in a coroutine": (
        "coroutine.wrap(function() coroutine.wrap(use)() end)()"
    ),
    "in pcall in a coroutine": "coroutine.wrap(function() assert(pcall(use)) end)()",
    "in a coroutine in pcall": "assert(pcall(coroutine.wrap(use)))",
    "between yields": (
        "local co = coroutine.wrap(function() coroutine.yield(1) use()"
        " coroutine.yield(2) end) assert(co() == 1) assert(co() == 2)"
    ),
    "in an iterator": (
        "local function each() local done return function()"
        " if not done then done = true use() return 1 end end end"
        " for _ in each() do end"
    ),
}


@every_dialect
@pytest.mark.parametrize("place", PLACES)
def test_an_operation_works(dialect: Dialect, place: str) -> None:
    if dialect is Dialect.LUA51 and place == "in an iterator":
        pytest.skip("Lua 5.1 calls iterators from C")
    script = Script(
        """
        local luafarm = require "luafarm"
        function main(env, con)
          local function use()
            con:puts(luafarm.read("data.txt")) luafarm.sleep(0.25) con:flush()
            con:puts(luafarm.read("data.txt"))
          end
          PLACE
        end
        """.replace("PLACE", PLACES[place]),
        dialect,
        files={"data.txt": "content "},
    )
    reply = script.run()
    assert reply.text == "content content "
    assert reply.operations == [Op.FILE, Op.SLEEP, Op.FLUSH, Op.FILE, Op.DONE]


IN_51 = {
    "an iterator": "for piece in luafarm.data do con:puts(piece) end",
    "an iterator by tail call": (
        "for piece in function() return luafarm.data() end do con:puts(piece) end"
    ),
    "a metamethod": (
        "local t = setmetatable({}, { __index = function() return luafarm.data() end })"
        " con:puts(t.x .. '')"
    ),
    "a callback": (
        "('x'):gsub('x', function() return con:puts(luafarm.data() .. '') end)"
    ),
}


@pytest.mark.parametrize("place", IN_51)
@pytest.mark.parametrize("guard", ["PLACE", "assert(pcall(function() PLACE end))"])
def test_lua_51_tells_where_waiting_is_not_possible(place: str, guard: str) -> None:
    source = f"""
      local luafarm = require "luafarm"
      function main(env, con) {guard.replace("PLACE", IN_51[place])} return 1 end
    """
    script = Script(source, Dialect.LUA51)
    message = script.run(data=b"filtered").failure.message
    assert "is not possible in Lua 5.1 inside a metamethod, the iterator" in message
    assert "C-call boundary" not in message
    assert script.state.must_close == ""


@every_dialect
def test_data_is_read_in_the_body_of_a_loop_everywhere(dialect: Dialect) -> None:
    code = """
      local luafarm = require "luafarm"
      function main(env, con)
        for piece in (function() end) do con:puts(piece) end
        while true do
          local piece = luafarm.data(3)
          if not piece then break end
          con:puts(piece .. ".")
        end
      end
    """
    assert Script(code, dialect).run(data=b"filtered").text == "fil.ter.ed."


@every_sandboxed_dialect
def test_data_is_an_iterator_where_iterators_can_wait(dialect: Dialect) -> None:
    code = """
      local luafarm = require "luafarm"
      function main(env, con)
        for piece in luafarm.data do con:puts(piece) end
      end
    """
    assert Script(code, dialect).run(data=b"filtered").text == "filtered"


@every_sandboxed_dialect
def test_an_operation_works_in_a_metamethod(dialect: Dialect) -> None:
    code = """
      local luafarm = require "luafarm"
      local read = function(_, key) return luafarm.read(key) end
      local t = setmetatable({}, { __index = read })
      return t.a
    """
    assert evaluate(code, dialect, files={"a": "content"}) == "content"


@every_dialect
@pytest.mark.parametrize(
    ("call", "name"),
    [
        ("luafarm.sleep(0)", "sleep"),
        ("luafarm.read('a')", "read"),
        ("dofile('a')", "dofile"),
        ("loadfile('a')", "loadfile"),
        ("require('a')", "require"),
        ("con:gets()", "gets"),
        ("con:read()", "read"),
    ],
)
def test_an_operation_where_lua_cannot_yield_is_a_clear_error(
    dialect: Dialect, call: str, name: str
) -> None:
    script = Script(
        f"""
        local luafarm = require "luafarm"
        function main(env, con)
          table.sort({{ 2, 1 }}, function(a, b) {call} return a < b end)
        end
        """,
        dialect,
    )
    failure = script.run(body=b"x", pulled=True).failure
    where = " in Lua 5.1" if dialect is Dialect.LUA51 else ""
    assert failure.message.startswith("/srv/www/page.lua:4: ")
    assert f"'{name}' is not possible{where} inside a " in failure.message


@every_dialect
def test_an_operation_refused_in_a_coroutine_leaves_it_usable(dialect: Dialect) -> None:
    code = """
      local luafarm = require "luafarm"
      local co = coroutine.create(function()
        local ok, message = pcall(luafarm.read, "a")
        coroutine.yield(tostring(ok))
        return luafarm.read("a")
      end)
      local seen = {}
      table.sort({ 2, 1 }, function(a, b)
        if #seen == 0 then seen[1] = select(2, coroutine.resume(co)) end
        return a < b
      end)
      return seen[1] .. select(2, coroutine.resume(co))
    """
    assert evaluate(code, dialect, files={"a": "content"}) == "falsecontent"


@attack_on_every_dialect
def test_values_that_a_script_yields_never_reach_the_host(dialect: Dialect) -> None:
    for code in ("coroutine.yield(0, 'head', 'body', '')", "coroutine.yield()"):
        script = Script(f"function main() {code} end", dialect)
        message = script.run().failure.message
        assert "attempt to yield from outside a coroutine" in message


@attack_on_every_dialect
def test_a_coroutine_that_waits_for_the_host_cannot_be_answered_by_the_script(
    dialect: Dialect,
) -> None:
    trusted = dialect is Dialect.LUA51
    state = LuaState(dialect, StateLimits(), OPERATIONS, trusted=trusted)
    source = b"""
      local luafarm = require "luafarm"
      function main(env, con)
        if not co then
          co = coroutine.create(function()
            con:puts("got " .. tostring(luafarm.read("secret")))
          end)
          coroutine.resume(co)
        else
          local ok, message = coroutine.resume(co, true, "forged")
          con:puts(tostring(ok) .. " " .. tostring(message))
        end
      end
    """
    assert state.load(source, b"/p.lua")[0] == Op.DONE
    assert state.run(b"", b"")[0] == Op.FILE
    assert state.cancel()[0] == Op.DONE
    step = state.run(b"", b"")
    assert step[2] == b"false the operation was given up"


@attack_on_every_dialect
def test_a_cancelled_request_leaves_nothing_to_the_next(dialect: Dialect) -> None:
    trusted = dialect is Dialect.LUA51
    state = LuaState(dialect, StateLimits(), OPERATIONS, trusted=trusted)
    source = b"""
      local luafarm = require "luafarm"
      count = 0
      function main(env, con)
        count = count + 1
        con:puts(count)
        if env.WAIT then con:status(404) con:puts("a") luafarm.sleep(1) end
      end
    """
    assert state.load(source, b"/p.lua")[0] == Op.DONE
    assert state.run(params(WAIT="1"), b"")[0] == Op.SLEEP
    state.cancel()
    step = state.run(b"", b"")
    assert step[1].startswith(b"Status: 200 OK")
    assert step[2] == b"2"


@attack_on_every_dialect
def test_what_the_host_works_for_a_script_counts_as_its_cpu_time(
    dialect: Dialect,
) -> None:
    limits = StateLimits(cpu_s=0.05)
    state = LuaState(dialect, limits, OPERATIONS, trusted=dialect is Dialect.LUA51)
    source = b"""
      local luafarm = require "luafarm"
      function main(env, con)
        local n = 0
        for i = 1, 3000 do n = n + i end
        luafarm.sleep(1)
        while true do n = n + 1 end
      end
    """
    state.load(source, b"/p.lua")
    assert state.run(b"", b"")[0] == Op.SLEEP
    n = 0
    for i in range(2_000_000):  # the host's own work, more CPU than the budget
        n += i
    step = state.resume(True)
    assert step[0] == Op.ERROR
    assert state.must_close == "cpu"


# ---- coroutines, seen from the script ------------------------------------------------


@every_dialect
def test_coroutines_are_what_they_are_in_lua(dialect: Dialect) -> None:
    code = """
      local log = {}
      local co
      co = coroutine.create(function(a, b)
        log[#log + 1] = coroutine.status(co)
        log[#log + 1] = tostring(coroutine.running() == co)
        local c = coroutine.yield(a + b)
        local d, e = coroutine.yield(c * 2)
        return d .. e
      end)
      log[#log + 1] = coroutine.status(co)
      for _, arguments in ipairs{ { 1, 2 }, { 5 }, { "x", "y" }, {} } do
        local ok, value = coroutine.resume(co, (table.unpack or unpack)(arguments))
        log[#log + 1] = tostring(ok) .. tostring(value)
      end
      log[#log + 1] = coroutine.status(co)
      return table.concat(log, " ")
    """
    assert evaluate(code, dialect) == (
        "suspended running true true3 true10 truexy false"
        "cannot resume dead coroutine dead"
    )


@every_dialect
def test_the_main_code_looks_like_lua_s_main_thread(dialect: Dialect) -> None:
    code = """
      local co, main = coroutine.running()
      return tostring(co) .. tostring(main)
    """
    is51 = dialect in (Dialect.LUA51, Dialect.LUAJIT21)
    text = evaluate(code, dialect, trusted=dialect is Dialect.LUA51)
    assert re.fullmatch("nilnil" if is51 else "thread: 0x[0-9a-f]+true", text)


@every_dialect
def test_errors_in_coroutines_come_out_of_resume_and_wrap(dialect: Dialect) -> None:
    code = """
      local marker = {}
      local ok, value = coroutine.resume(coroutine.create(function() error(marker) end))
      local ok2, value2 = pcall(coroutine.wrap(function() error(marker) end))
      local ok3, value3 = pcall(coroutine.wrap(function() error("text", 0) end))
      return tostring(ok) .. tostring(value == marker) .. tostring(ok2)
        .. tostring(value2 == marker) .. value3
    """
    assert evaluate(code, dialect) == "falsetruefalsetruetext"


@every_dialect
def test_pcall_and_xpcall_return_all_values(dialect: Dialect) -> None:
    code = """
      local function pack(...) return select("#", ...) .. ":" .. tostring((...)) end
      return table.concat({
        pack(pcall(function() return 1, nil, nil end)),
        pack(pcall(error)),
        pack(pcall(error, "x")),
        pack(pcall(nil)),
        pack(xpcall(function() return 1, nil end, print)),
        pack(xpcall(function() error("y", 0) end, function(m) return m .. "!", 2 end)),
      }, " ")
    """
    assert evaluate(code, dialect) == "4:true 2:false 2:false 2:false 3:true 2:false"


@attack_on_every_sandboxed_dialect
def test_coroutines_nest_to_a_bounded_depth(dialect: Dialect) -> None:
    code = """
      local depth = 0
      local function dive()
        depth = depth + 1
        return coroutine.wrap(dive)()
      end
      local ok, message = pcall(dive)
      return tostring(ok) .. (depth < 200 and " bounded " or " deep ") .. message
    """
    assert evaluate(code, dialect).startswith("false bounded ")


TOSTRING = (
    "tostring(setmetatable({}, { __tostring = dive }))",
    "string.format('%s', setmetatable({}, { __tostring = dive }))",
)


@attack_on_every_sandboxed_dialect
@pytest.mark.parametrize("nest", TOSTRING)
def test_tostring_within_tostring_ends_in_an_error(dialect: Dialect, nest: str) -> None:
    code = f"""
      local function dive()
        local _ = {nest}
        return "x"
      end
      local ok, message = pcall(dive)
      local is_known = message:find("stack overflow")
        or message:find("not enough memory")
      return not ok and is_known ~= nil
    """
    assert evaluate(code, dialect) == "true"


@attack_on_every_sandboxed_dialect
def test_callbacks_from_c_nest_to_a_bounded_depth(dialect: Dialect) -> None:
    for nest in (
        "('x'):gsub('x', dive)",
        "table.sort({ 2, 1, 3 }, dive)",
        # called from Lua elsewhere
        *(TOSTRING if dialect is Dialect.LUAJIT21 else ()),
    ):
        code = f"""
          local depth = 0
          local function dive()
            depth = depth + 1
            if depth > 100000 then error("deep") end
            local _ = {nest}
            return "x"
          end
          local ok, message = pcall(dive)
          return tostring(ok) .. (depth < 300 and " bounded" or " deep " .. depth)
        """
        assert evaluate(code, dialect) == "false bounded", nest


@pytest.mark.dialects(Dialect.LUA54, Dialect.LUA55)
def test_coroutines_can_be_closed(dialect: Dialect) -> None:
    code = """
      local log = {}
      local co = coroutine.create(function()
        local a <close> = setmetatable({}, { __close = function()
          log[#log + 1] = "closed " .. tostring((pcall(coroutine.yield)))
        end })
        coroutine.yield()
      end)
      coroutine.resume(co)
      local closed = coroutine.close(co)
      log[#log + 1] = tostring(closed)
      log[#log + 1] = coroutine.status(co)
      local ok, message = pcall(coroutine.close, coroutine.running())
      log[#log + 1] = message
      return table.concat(log, " ")
    """
    assert evaluate(code, dialect) == (
        "closed false true dead cannot close a running coroutine"
    )


@pytest.mark.dialects(Dialect.LUA54, Dialect.LUA55)
def test_variables_are_closed_when_a_request_fails(dialect: Dialect) -> None:
    script = Script(
        """
        function main(env, con)
          if env.SHOW then con:puts(closed) return end
          local close = function() closed = "yes" end
          local a <close> = setmetatable({}, { __close = close })
          error("x")
        end
        """,
        dialect,
    )
    assert script.run().error
    assert script.run(params(SHOW="1")).text == "yes"
