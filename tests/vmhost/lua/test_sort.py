"""`table.sort` without a function: any length, and no square of the time."""

import pytest

from luafarm.dialects import Dialect
from tests.vmhost.states import Script, evaluate, every_sandboxed_dialect
from vmhost.lua.limits import StateLimits

COUNT = 15_000

KILLER = f"""
  local value, at, solid, candidate = {{}}, {{}}, 0, nil
  local gas = {COUNT} + 1
  for i = 1, {COUNT} do value[i], at[i] = gas, i end
  table.sort(at, function(x, y)
    if value[x] == gas and value[y] == gas then
      solid = solid + 1
      if x == candidate then value[x] = solid else value[y] = solid end
    end
    if value[x] == gas then candidate = x elseif value[y] == gas then candidate = y end
    return value[x] < value[y]
  end)
  function main(env, con) con:puts(table.concat(value, ",")) end
"""
"""An order that has quicksort compare each with each: M. D. McIlroy, "A Killer
Adversary for Quicksort", Software: Practice and Experience 29 (1999)."""


@pytest.mark.parametrize("dialect", [Dialect.LUAJIT21, Dialect.LUA52])
def test_no_order_of_numbers_takes_the_square_of_the_time(dialect: Dialect) -> None:
    patient = StateLimits(cpu_s=100.0, load_cpu_s=100.0)
    killer = Script(KILLER, dialect, limits=patient, trusted=True).run().text
    script = Script(
        f"local t = {{ {killer} }}\n"
        "function main(env, con) table.sort(t) con:puts(t[1] .. ' ' .. t[#t - 1]) end",
        dialect,
        limits=StateLimits(cpu_s=0.1, load_cpu_s=100.0),  # natively it takes twice that
    )
    first, last = script.run().text.split()
    assert (first, int(last)) == ("1", COUNT - 1)


@every_sandboxed_dialect
@pytest.mark.parametrize(
    "value",
    [
        "math.random()",
        "i % 7",
        "-i",
        "i",
        "0",
        "tostring(i)",
        "setmetatable({ -i }, order)",
    ],
)
def test_long_tables_are_sorted(dialect: Dialect, value: str) -> None:
    code = f"""
      local order = {{ __lt = function(a, b) return a[1] < b[1] end }}
      local wrong = 0
      for _, size in ipairs {{ 2047, 2048, 2049, 5000 }} do
        local t = {{}}
        for i = 1, size do t[i] = {value} end
        table.sort(t)
        if #t ~= size then wrong = wrong + 1 end
        for i = 2, size do if t[i] < t[i - 1] then wrong = wrong + 1 end end
      end
      return wrong
    """
    assert evaluate(code, dialect).removesuffix(".0") == "0"


@every_sandboxed_dialect
def test_an_order_that_is_none_is_told(dialect: Dialect) -> None:
    code = """
      local order, t = { __lt = function() return true end }, {}
      for i = 1, 5000 do t[i] = setmetatable({}, order) end
      return select(2, pcall(table.sort, t))
    """
    assert evaluate(code, dialect) == "invalid order function for sorting"


@every_sandboxed_dialect
@pytest.mark.parametrize("odd", ["{}", "'x'", "print"])
def test_what_cannot_be_compared_is_told(dialect: Dialect, odd: str) -> None:
    code = f"""
      local t = {{}}
      for i = 1, 5000 do t[i] = i end
      t[2500] = {odd}
      local ok, why = pcall(table.sort, t)
      return tostring(ok) .. why
    """
    assert evaluate(code, dialect).startswith("falseattempt to compare ")
