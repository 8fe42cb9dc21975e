"""`string.find` and `string.format` of sandboxed scripts against the native ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luafarm.dialects import Dialect
from tests.vmhost.states import SANDBOXED, Script, every_sandboxed_dialect

# trusted states have the native functions
SOURCE = """
local find, format = string.find, string.format
local function hex(text)
  return (text:gsub("%x%x", function(d) return string.char(tonumber(d, 16)) end))
end
local function told(ok, ...)
  local out = { tostring(ok) }
  for index = 1, select("#", ...) do out[#out + 1] = tostring((select(index, ...))) end
  return table.concat(out, "|")
end
function main(env, con)
  local input = hex(con:gets())
  local what, from, plain, pattern, subject = input:match("^(.)(.)(.)([^\1]*)\1(.*)$")
  if what == "f" then
    from, plain = from ~= "-" and tonumber(from) or nil, plain == "p" or nil
    for _ = 1, 2 do con:puts(told(pcall(find, subject, pattern, from, plain))) end
  else
    local value = subject
    if from == "d" then value = tonumber(subject) or subject end
    for _ = 1, 2 do con:puts(told(pcall(format, pattern, value, value, 3))) end
  end
end
"""

PATTERN = st.text("ab.%[]()^$*+-?1fws\\", max_size=8)
TEMPLATE = st.text("ab%sdxfgec5.0-+ #qi", max_size=8)


def told(
    dialect: Dialect, what: str, pattern: str, subject: str, *, trusted: bool
) -> str:
    script = Script(SOURCE, dialect, trusted=trusted)
    body = (what + pattern + "\1" + subject).encode("latin-1").hex()
    return script.run(body=body.encode()).text


@pytest.mark.parametrize("dialect", SANDBOXED)
@given(data=st.data())
def test_find_answers_and_fails_as_the_native_one(
    dialect: Dialect, data: st.DataObject
) -> None:
    pattern, subject = data.draw(PATTERN), data.draw(st.text("ab1\0.", max_size=6))
    options = data.draw(st.sampled_from(["f--", "f1-", "f3-", "f-p", "f2p"]))
    ours = told(dialect, options, pattern, subject, trusted=False)
    assert ours == told(dialect, options, pattern, subject, trusted=True)


@pytest.mark.parametrize("dialect", SANDBOXED)
@given(data=st.data())
def test_format_answers_and_fails_as_the_native_one(
    dialect: Dialect, data: st.DataObject
) -> None:
    template = data.draw(TEMPLATE)
    value = data.draw(st.sampled_from(["1", "1.5", "-3", "x", "a\0b", "1e300", "2^63"]))
    kind = data.draw(st.sampled_from(["-", "d"]))
    options = "m" + kind + "-"
    ours = told(dialect, options, template, value, trusted=False)
    assert ours == told(dialect, options, template, value, trusted=True)


@every_sandboxed_dialect
def test_a_search_for_text_is_none_for_a_pattern_that_was_seen(
    dialect: Dialect,
) -> None:
    source = """
      function main(env, con)
        for _ = 1, 2 do
          con:puts((("ab.c"):find(".")))
          con:puts((("ab.c"):find(".", nil, true)))
        end
      end
    """
    assert Script(source, dialect).run().text == "1313"


@every_sandboxed_dialect
def test_many_patterns_and_templates_are_forgotten_and_still_right(
    dialect: Dialect,
) -> None:
    source = """
      function main(env, con)
        local wrong = 0
        for _ = 1, 2 do
          for index = 1, 300 do
            local name = "a" .. index
            if not (name .. "z"):find("^%a%d+z$") then wrong = wrong + 1 end
            if not name:find("^" .. name .. "$") then wrong = wrong + 1 end
            local text = string.format(name .. "%s", index)
            if text ~= name .. index then wrong = wrong + 1 end
          end
        end
        con:puts(wrong)
      end
    """
    assert Script(source, dialect).run().text == "0"


@every_sandboxed_dialect
@pytest.mark.parametrize("letter", "cdiouxXeEfgGaAqsp")
@pytest.mark.parametrize("value", ["{}", "print", "coroutine.create(print)"])
def test_no_conversion_tells_another_number_of_a_value_than_tostring(
    dialect: Dialect, letter: str, value: str
) -> None:
    source = f"""
      function main(env, con)
        local value = {value}
        local number = tostring(value):match("0x%x+")
        for _, flags in ipairs {{ "", "-20", "20", ".30" }} do
          local ok, text = pcall(string.format, "%" .. flags .. "{letter}", value)
          local found = text:match("0x%x+")
          if found and found ~= number then con:puts(text) end
        end
      end
    """
    assert Script(source, dialect).run().text == ""
