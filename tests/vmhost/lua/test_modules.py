"""The built-in modules: luafarm, luafcgid, md5, base64, json."""

import base64
import hashlib
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luafarm.dialects import Dialect
from tests.vmhost.states import Op, Script, evaluate, every_dialect
from vmhost.lua.state import MESSAGE_BYTES

# ---- luafarm -------------------------------------------------------------------------


@every_dialect
def test_luafarm_tells_time_and_state(dialect: Dialect) -> None:
    script = Script(
        """
        local luafarm = require "luafarm"
        function main(env, con)
          local s = luafarm.state
          con:puts(string.format("%.2f %s %d %d ", luafarm.now(), s.id, s.generation,
            s.requests) .. tostring(s.age >= 0) .. tostring(s.other))
        end
        """,
        dialect,
    )
    assert script.run().text == "1000000000.25 s1 7 1 truenil"
    assert script.run().text == "1000000000.25 s1 7 2 truenil"


@every_dialect
def test_now_inside_a_callback_is_whole_seconds(dialect: Dialect) -> None:
    code = """
      local now
      local _ = ("x"):gsub("x", function() now = require("luafarm").now() end)
      return now > 1e9 and now == math.floor(now)
    """
    if dialect is Dialect.LUAJIT21:
        code = "local luafarm = require 'luafarm' " + code
    else:
        code = "require 'luafarm' " + code
    assert evaluate(code, dialect) == "true"


@every_dialect
def test_sleep_asks_the_host(dialect: Dialect) -> None:
    script = Script(
        "local sleep = require('luafarm').sleep\n"
        "function main() sleep(0.5) sleep(2) end",
        dialect,
    )
    steps = script.run().steps
    assert steps[:2] == [(Op.SLEEP, 0.5), (Op.SLEEP, 2.0)]
    assert type(steps[1][1]) is float


@pytest.mark.parametrize("seconds", ["-1", "1e9", "0/0", "nil", "'x'", "{}", "1/0"])
def test_sleep_refuses_odd_times(seconds: str) -> None:
    failure = Script(f"require('luafarm').sleep({seconds})").loaded.failure
    assert "bad argument #1 to 'sleep' (0 to 3600 seconds expected)" in failure.message


@every_dialect
def test_read_gives_content_or_nil_and_why(dialect: Dialect) -> None:
    code = """
      local luafarm = require "luafarm"
      local a, why = luafarm.read("none")
      local b, why2 = luafarm.read("a\\0b")
      return luafarm.read("f") .. tostring(a) .. why .. tostring(b) .. why2
    """
    result = evaluate(code, dialect, files={"f": "content"})
    assert result == (
        "contentnilfile 'none' not found:\n\tno such file"
        "nilfile 'a\0b' not found:\n\tnot a path"
    )


@every_dialect
def test_log_has_levels(dialect: Dialect) -> None:
    script = Script(
        """
        local luafarm = require "luafarm"
        function main()
          luafarm.log("debug", "a", 1) luafarm.log("info") luafarm.log("warn", nil)
          luafarm.log("error", {})
        end
        """,
        dialect,
    )
    log = script.run().log
    assert [level for level, _ in log] == ["debug", "info", "warning", "error"]
    assert [text for _, text in log[:3]] == ["a\t1", "", "nil"]
    assert log[3][1].startswith("table")


@pytest.mark.parametrize("level", ["nil", "'loud'", "{}", "5"])
def test_log_refuses_other_levels(level: str) -> None:
    failure = Script(f"require('luafarm').log({level}, 'x')").loaded.failure
    assert "bad argument #1 to 'log'" in failure.message


@every_dialect
def test_urlencoding_goes_both_ways(dialect: Dialect) -> None:
    code = """
      local luafarm, luafcgid = require "luafarm", require "luafcgid"
      local all = {}
      for i = 0, 255 do all[#all + 1] = string.char(i) end
      all = table.concat(all)
      return tostring(luafarm.urldecode(luafarm.urlencode(all)) == all)
        .. luafarm.urlencode("a b/ü&~._-") .. luafarm.urldecode("%zz%4")
        .. tostring(luafcgid.urlencode("a b") == luafarm.urlencode("a b"))
        .. luafcgid.urlencode(nil) .. luafcgid.urldecode(nil)
    """
    assert evaluate(code, dialect) == "truea+b%2F%C3%BC%26~._-%zz%4true"


@every_dialect
def test_both_parse_functions(dialect: Dialect) -> None:
    code = """
      local luafarm, luafcgid = require "luafarm", require "luafcgid"
      local text = "a=1&a=2&a=3&empty=&only&x%20y=%C3%BC+&&=z"
      local t, u = luafarm.parse(text), luafcgid.parse(text)
      return table.concat({ t.a, t.empty, t.only, t["x y"], t[""], "|",
        table.concat(u.a, ","), u.empty, u.only, u["x y"],
        next(luafcgid.parse(nil)) or "none",
        next(luafarm.parse(nil)) or "none" }, ";")
    """
    expected = "3;;;ü ;z;|;1,2,3;;;ü ;none;none".encode().decode("latin-1")
    assert evaluate(code, dialect) == expected


@every_dialect
def test_escape_html(dialect: Dialect) -> None:
    code = """return require("luafarm").escape_html([[<a href="x">'&'</a>]])"""
    assert evaluate(code, dialect) == (
        "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;"
    )


@every_dialect
def test_serialize_gives_lua_that_evaluates_to_an_equal_value(dialect: Dialect) -> None:
    code = """
      local luafcgid = require "luafcgid"
      local value = { 1, 2.5, "a\\n\\0\\"b", { x = true, [false] = "no", ["a b"] = {} },
        n = -1 }
      local text = luafcgid.serialize(value)
      local back = (loadstring or load)("return " .. text)()
      return text == luafcgid.serialize(back) and back[3] == value[3] and back[4].x
        and back[4][false] .. luafcgid.serialize(nil) .. luafcgid.serialize("x")
    """
    assert evaluate(code, dialect) == 'nonil"x"'


@pytest.mark.parametrize(
    "value", ["print", "{ print }", "{ [print] = 1 }", "{ [{}] = 1 }"]
)
def test_serialize_refuses_what_has_no_text(value: str) -> None:
    failure = Script(f"require('luafcgid').serialize({value})").loaded.failure
    assert "cannot serialize a" in failure.message


def test_serialize_refuses_cycles() -> None:
    code = "local t = {} t.t = t require('luafcgid').serialize(t)"
    assert "nested deeper than 100" in Script(code).loaded.failure.message


@every_dialect
def test_builtin_modules_are_globals_after_require_in_5_1(dialect: Dialect) -> None:
    code = """
      local before = md5
      local module = require "md5"
      return tostring(before) .. tostring(md5 == module)
        .. tostring(require "md5" == module)
    """
    is51 = dialect in (Dialect.LUA51, Dialect.LUAJIT21)
    assert evaluate(code, dialect) == ("niltruetrue" if is51 else "nilfalsetrue")


def test_a_global_of_the_script_is_not_overwritten() -> None:
    assert evaluate("md5 = 'mine' require 'md5' return md5", Dialect.LUAJIT21) == "mine"


# ---- md5 and base64 ------------------------------------------------------------------

DIGESTS = """
local md5, base64 = require "md5", require "base64"
local function show(text)
  return md5.digest(text) .. " " .. base64.encode(md5.digest(text, true)) .. " "
    .. tostring(md5.sum(text) == md5.digest(text, true))
    .. tostring(md5.sumhexa(text) == md5.digest(text)) .. " " .. base64.encode(text)
    .. " " .. tostring(base64.decode(base64.encode(text)) == text)
end
function main(env, con)
  local text = con:gets() or ""
  if env.CALLBACK then
    -- where Lua cannot yield
    con:puts((("x"):gsub("x", function() return (show(text)) end)))
  else
    con:puts(show(text))
  end
end
"""


def digests(text: bytes) -> str:
    sum_ = hashlib.md5(text)
    return " ".join(
        (
            sum_.hexdigest(),
            base64.b64encode(sum_.digest()).decode(),
            "truetrue",
            base64.b64encode(text).decode(),
            "true",
        )
    )


@every_dialect
@pytest.mark.parametrize("blob", [b"", b"\x08\x01CALLBACK1"])
def test_md5_and_base64_agree_with_python(dialect: Dialect, blob: bytes) -> None:
    script = Script(DIGESTS, dialect)
    source = random.Random(5)
    for size in [*range(140), 4095, 4096, 4097]:
        text = source.randbytes(size)
        assert script.run(blob, body=text).text == digests(text)


def test_long_texts_are_digested_in_lua() -> None:
    text = random.Random(6).randbytes(MESSAGE_BYTES)
    assert Script(DIGESTS).run(body=text).text == digests(text)


@every_dialect
def test_base64_decode_skips_white_space_and_refuses_the_rest(dialect: Dialect) -> None:
    code = """
      local base64 = require "base64"
      local out = { base64.decode(" SGVs\\r\\n bG8= "), base64.decode("SGVsbG8"),
        base64.decode(""), base64.decode("=") }
      for _, bad in ipairs{ "A", "AB*D", "AA=A", "A===", "\\0AAA", "AAAAA", "====" } do
        out[#out + 1] = tostring((base64.decode(bad)))
      end
      return table.concat(out, ",")
    """
    assert evaluate(code, dialect) == "Hello,Hello,,,nil,nil,nil,nil,nil,nil,nil"


@every_dialect
@pytest.mark.parametrize(
    "call",
    [
        "md5.digest()",
        "md5.sum({})",
        "md5.sumhexa(true)",
        "base64.encode(nil)",
        "base64.decode(print)",
    ],
)
def test_digest_arguments_must_be_strings(dialect: Dialect, call: str) -> None:
    name = call.split("(")[0].split(".")
    source = f"local {name[0]} = require '{name[0]}' {call}"
    failure = Script(source, dialect).loaded.failure
    assert f"bad argument #1 to '{name[1]}' (string expected" in failure.message


# ---- json ----------------------------------------------------------------------------

ECHO = """
local json = require "json"
function main(env, con)
  local ok, value = pcall(json.decode, con:gets() or "")
  if not ok then con:puts("error: " .. tostring(value)) return end
  con:puts(json.encode(value))
end
"""


@every_dialect
@pytest.mark.parametrize(
    "text",
    [
        "null", "true", "false", "0", "-0.5", "1e3", "12345678", '""', '"a"', "[]",
        "{}", "[1,2,[3,[]],{}]",
        '{"a":{"b":[null,{"c":""}]}}', '"\\u00e9\\ud83d\\ude00\\n\\t\\"\\\\\\/"',
        ' [ 1 , 2 ] ', '{"a" : 1 , "b" : [ ] }', '"\\u0000"', "1.25", "123456789012",
    ],
)  # fmt: skip
def test_json_goes_both_ways(dialect: Dialect, text: str) -> None:
    reply = Script(ECHO, dialect).run(body=text.encode())
    assert json.loads(reply.body) == json.loads(text)


@every_dialect
@pytest.mark.parametrize(
    "text",
    [
        "", " ", "nul", "tru", "nan", "Infinity", "01", "-", "1.", ".5", "+1", "1e",
        "'a'",
        '"', '"a', '"\\x"', '"\\u12"', '"\\ud800"', '"\\udc00"', '"\\ud800\\u0041"',
        '"\n"', "[", "[1", "[1,", "[1,]", "[,1]", "{", '{"a"', '{"a":', '{"a":1',
        '{"a":1,}', "{1:2}",
        "{a:1}", "[1]x", "1 2", "]", "}", ":", ",", "\0", "/**/1", "\ufeff1", "0x10",
        "[" * 500 + "]" * 500,
    ],
)  # fmt: skip
def test_what_is_no_json_is_refused_with_its_place(dialect: Dialect, text: str) -> None:
    result = Script(ECHO, dialect).run(body=text.encode()).text
    assert result.startswith("error: json: "), result
    assert " at byte " in result


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("print", "cannot encode a function"),
        ("{ [1] = 1, a = 2 }", "cannot encode a number as the key of an object"),
        ("{ [3] = 1 }", "cannot encode a number as the key of an object"),
        ("{ [true] = 1 }", "cannot encode a boolean as the key of an object"),
        ("0/0", "cannot encode"),
        ("1/0", "cannot encode"),
    ],
)
def test_values_without_json_are_refused(value: str, message: str) -> None:
    failure = Script(f"require('json').encode({value})").loaded.failure
    assert message in failure.message


def test_json_refuses_cycles() -> None:
    code = "local t = {} t[1] = t require('json').encode(t)"
    assert "nested deeper than 200" in Script(code).loaded.failure.message


@every_dialect
def test_json_details(dialect: Dialect) -> None:
    code = """
      local json = require "json"
      local value = json.decode('{"n":null,"e":[]}')
      return tostring(value.n == json.null) .. json.encode(value) .. json.encode({})
        .. json.encode(json.array()) .. json.encode(1e15) .. json.encode(0.1)
        .. json.encode(-3)
        .. json.encode("\\1\\127/")
    """
    assert evaluate(code, dialect) in (
        'true{"e":[],"n":null}{}[]1e+150.1-3"\\u0001\\u007f/"',
        'true{"e":[],"n":null}{}[]10000000000000000.1-3"\\u0001\\u007f/"',
    )


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**31), 2**31)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4
        )
    ),
    max_leaves=20,
)
SHARED = {dialect: Script(ECHO, dialect) for dialect in Dialect}


@given(value=values, dialect=st.sampled_from(list(Dialect)))
def test_any_value_survives_json(value: object, dialect: Dialect) -> None:
    reply = SHARED[dialect].run(body=json.dumps(value).encode())
    assert json.loads(reply.text.encode("latin-1")) == value
