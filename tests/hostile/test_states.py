"""What was found in the Lua layer by attacking it, each as small as it can be."""

import time

import pytest

from luafarm.dialects import Dialect
from tests.vmhost.states import (
    Script,
    attack_on_every_sandboxed_dialect,
    evaluate,
    every_sandboxed_dialect,
    params,
)
from vmhost.lua.limits import StateLimits


def burn(seconds: float) -> None:
    """Use CPU time of this process, as states of other scripts do."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


@pytest.mark.parametrize("dialect", [Dialect.LUAJIT21, Dialect.LUA54])
def test_no_request_is_stopped_for_what_others_used_before_it(
    dialect: Dialect,
) -> None:
    # the count hook may fire at any instruction, so also at the first ones of a request
    source = "function main(env, con) for i = 1, tonumber(env.N) do end end"
    script = Script(source, dialect, limits=StateLimits(cpu_s=0.005))
    for number in range(200):
        burn(0.006)
        reply = script.run(params(N=str(number * 37 % 1000)))
        assert reply.error is None, number


@attack_on_every_sandboxed_dialect
@pytest.mark.parametrize("digits", ["9" * 10, "9" * 22, "9" * 400])
def test_a_message_cannot_claim_a_line_that_is_no_integer(
    dialect: Dialect, digits: str
) -> None:
    source = f"""function main() error('/srv/www/page.lua:{digits}: x', 0) end"""
    script = Script(source, dialect)
    failure = script.run().failure
    assert (failure.kind, failure.line) == ("Runtime Error", 1)
    assert not script.state.must_close


@attack_on_every_sandboxed_dialect
def test_the_name_of_a_chunk_is_cut(dialect: Dialect) -> None:
    source = """
      function main()
        (loadstring or load)("error('boom') --" .. ("x"):rep(3e6))()
      end
    """
    assert len(Script(source, dialect).run().failure.file) <= 4096


@attack_on_every_sandboxed_dialect
@pytest.mark.parametrize(
    "value",
    [
        "setmetatable({}, { __metatable = { __tostring = print } })",
        "setmetatable({}, { __tostring = function() return {} end })",
        "setmetatable({}, { __tostring = function() return print end })",
        "setmetatable({}, { __metatable = false })",
        "{}",
        "coroutine.create(print)",
    ],
)
def test_no_text_tells_an_address(dialect: Dialect, value: str) -> None:
    # what is told counts what was asked for, whatever lies between in memory
    code = f"""
      local numbers, kept = {{}}, {{}}
      for index = 1, 20 do
        local value = {value}
        for _ = 1, index * 7 do kept[#kept + 1] = {{ index }} end
        local ok, text = pcall(tostring, value)
        local _, formatted = pcall(string.format, "%s", value)
        if type(text) ~= "string" then text, ok = formatted, false end
        if ok and text ~= formatted then return "two texts of one value" end
        numbers[#numbers + 1] = tonumber((text:match("0x(%x+)$") or "0"), 16)
      end
      for index = 3, 20 do
        if numbers[index] - numbers[index - 1] ~= numbers[2] - numbers[1] then
          return "an address"
        end
      end
      return "none"
    """
    assert evaluate(code, dialect) == "none"


@attack_on_every_sandboxed_dialect
def test_a_percent_sign_before_a_p_is_no_pointer(dialect: Dialect) -> None:
    assert (
        evaluate("return ('%d%% per %s'):format(5, 'page')", dialect) == "5% per page"
    )


@attack_on_every_sandboxed_dialect
def test_shifting_elements_has_a_limit_wherever_the_length_comes_from(
    dialect: Dialect,
) -> None:
    code = """
      local keys = {}
      for power = 0, 40 do keys[#keys + 1] = ("[%.0f]=1"):format(2 ^ power) end
      for power = 2, 40 do keys[#keys + 1] = ("[%.0f]=1"):format(2 ^ power + 1) end
      local t = (loadstring or load)("return {" .. table.concat(keys, ",") .. "}")()
      pcall(table.insert, t, 1, "x")
      pcall(table.remove, t, 1)
      local meta = { __metatable = {}, __len = function() return 2 ^ 45 end }
      local far = setmetatable({}, meta)
      pcall(table.insert, far, 1, "x")
      pcall(table.move or print, {}, "1", "1000000000000", "2")
      pcall(table.sort, t, rawequal)
      return "ended"
    """
    assert evaluate(code, dialect, limits=StateLimits(cpu_s=60.0)) == "ended"


@every_sandboxed_dialect
def test_shifting_a_list_works(dialect: Dialect) -> None:
    code = """
      local t = { 1, 2, 3 }
      table.insert(t, 1, 0)
      table.insert(t, 4)
      table.insert(t, "2", "x")
      table.remove(t, 1)
      table.remove(t)
      table.sort(t, function(a, b) return tostring(a) > tostring(b) end)
      return table.concat(t, " ")
    """
    assert evaluate(code, dialect) == "x 3 2 1"


def test_module_does_not_write_into_sealed_tables() -> None:
    code = """
      local luafarm = require "luafarm"
      local ok, message = pcall(module, "luafarm.sleep.x")
      return type(luafarm.sleep) .. " " .. tostring(ok) .. " " .. message
    """
    said = evaluate(code, Dialect.LUAJIT21)
    assert said.startswith("function false name conflict")


@attack_on_every_sandboxed_dialect
def test_operations_without_end_are_stopped_by_their_cpu_time(dialect: Dialect) -> None:
    source = """
      local luafarm = require "luafarm"
      function main() while true do luafarm.sleep(0) end end
    """
    script = Script(source, dialect, limits=StateLimits(cpu_s=0.05))
    before = time.process_time()
    assert script.run().failure.budget == "cpu"
    assert time.process_time() - before < 1.0


@attack_on_every_sandboxed_dialect
def test_a_header_that_is_let_through_fits_the_front(dialect: Dialect) -> None:
    source = """
      function main(env, con)
        for index = 1, 2000 do pcall(con.header, con, "X-A", "1") end
      end
    """
    limits = StateLimits(head_bytes=7168)
    assert len(Script(source, dialect, limits=limits).run().head) <= 7168
