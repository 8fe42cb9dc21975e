"""What a visitor sends costs by a limit, whatever the script does with it."""

import random
import re
from typing import Final

import pytest

from luafarm.dialects import Dialect
from tests.vmhost.states import (
    Script,
    attack_on_every_dialect,
    every_dialect,
    params,
)
from vmhost.lua.limits import StateLimits

MIB: Final = 1 << 20

SCRIPT: Final = """
local luafarm, luafcgid, json = require "luafarm", require "luafcgid", require "json"

function main(env, con)
  local text = con:gets() or ""
  local function show(ok, value, message)
    con:puts(type(value) == "table" and "table" or tostring(value))
    con:puts(message and " " .. message or "")
  end
  show(pcall(%s))
end
"""


def ask(call: str, body: bytes, dialect: Dialect) -> str:
    """Return what a call makes of a request's body; it may fail, and not more."""
    limits = StateLimits(memory_bytes=64 * MIB, cpu_s=5.0)
    text = Script(SCRIPT % call, dialect, limits=limits).run(body=body).text
    return re.sub(r"^\[string [^]]*\]:\d+: ", "", text)


@every_dialect
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("luafarm.parse", "luafarm.parse, text"),
        ("luafcgid.parse", "luafcgid.parse, text"),
        ("con:parse", "con.parse, con, text"),
    ],
)
def test_a_form_of_too_many_bytes_or_pairs_is_not_parsed(
    dialect: Dialect, name: str, call: str
) -> None:
    first = "nil " if name == "luafarm.parse" else ""
    assert ask(call, b"a&" * (4 * MIB), dialect) == (
        f"{first}{name}: text of 8388608 bytes; limits.bytes is 1048576"
    )
    assert ask(call, b"a&" * 1001, dialect) == (
        f"{first}{name}: more pairs than limits.pairs, 1000"
    )
    assert ask(call, b"a&" * 1000 + b"&" * 9000, dialect) == "table"
    assert ask(call, b"a=" + b"%41" * 300_000, dialect) == "table"
    limited = f"{call}, {{ pairs = 2, bytes = 9 }}"
    assert ask(limited, b"a=1&b=2", dialect) == "table"
    assert ask(limited, b"a=1&b=2&c", dialect).endswith("limits.pairs, 2")
    assert ask(limited, b"a=1&b=2222", dialect).endswith("limits.bytes is 9")
    more = f"{call}, {{ pairs = 1e7, bytes = 1e7 }}"
    assert ask(more, b"a&" * 20_000 + b"b" * MIB, dialect) == "table"


@every_dialect
@pytest.mark.parametrize("limits", ["5", "'x'", "{ bytes = {} }", "{ pairs = 'x' }"])
def test_odd_limits_are_clear_errors(dialect: Dialect, limits: str) -> None:
    said = ask(f"luafarm.parse, text, {limits}", b"a=1", dialect)
    assert re.fullmatch(
        r"limits(\.bytes|\.pairs)? must be a (table|number), not a \w+ value", said
    )


@attack_on_every_dialect
def test_json_of_too_many_bytes_or_values_is_not_decoded(dialect: Dialect) -> None:
    call = "json.decode, text"
    assert ask(call, b"[" + b"[]," * 2 * MIB + b"1]", dialect) == (
        "json: text of 6291459 bytes; limits.bytes is 4194304"
    )
    assert ask(call, b"[" + b"1," * 300_000 + b"1]", dialect) == (
        "json: more values than limits.values, 250000"
    )
    assert ask(call, b"[" + b"1," * 200_000 + b"1]", dialect) == "table"
    limited = "json.decode, text, { values = 3, bytes = 9 }"
    assert ask(limited, b'{"a":[1]}', dialect) == "table"
    assert ask(limited, b"[1,2,3]", dialect).endswith("limits.values, 3")
    assert ask(limited, b"[1,2]     ", dialect).endswith("limits.bytes is 9")


@every_dialect
def test_long_texts_are_coded_as_short_ones_are(dialect: Dialect) -> None:
    chance = random.Random(1)
    coded = "".join(chance.choice("%%%4142+x") for _ in range(300_000)) + "%41" * 50_000
    plain = "".join(chance.choice("&<>\"' a/") for _ in range(200_000))
    state = StateLimits(memory_bytes=64 * MIB)
    source = """
    local luafarm = require "luafarm"
    function main(env, con) con:puts(luafarm[env.HOW](con:gets())) end
    """
    script = Script(source, dialect, limits=state)

    def made(how: str, text: str) -> str:
        return script.run(params(HOW=how), body=text.encode()).text

    assert made("urldecode", coded) == re.sub(
        r"%([0-9A-Fa-f]{2})",
        lambda found: chr(int(found[1], 16)),
        coded.replace("+", " "),
    )
    assert made("urldecode", made("urlencode", plain)) == plain
    escaped = made("escape_html", plain)
    assert len(escaped) > len(plain)
    for entity, letter in [("quot", '"'), ("#39", "'"), ("lt", "<"), ("gt", ">")]:
        escaped = escaped.replace(f"&{entity};", letter)
    assert escaped.replace("&amp;", "&") == plain


@every_dialect
@pytest.mark.parametrize(
    "call",
    [
        'con.header, con, "X-A: " .. text',
        "con.header, con, 'X-A', text",
        "con.header, con, text",
        'con.status, con, "200 " .. text',
        "con.header, con, { Location = text }",
    ],
)
def test_a_long_text_in_a_header_is_refused_at_once(
    dialect: Dialect, call: str
) -> None:
    body = b"x: y" + b" " * 100_000 + b"z" + b"\t" * 20_000
    assert ask(call, body, dialect) == "headers of more than 7168 bytes"


@every_dialect
def test_blanks_around_header_values_do_not_count(dialect: Dialect) -> None:
    source = """
    function main(env, con)
      con:status(" 404 \\t Gone  fishing ") con:header("X-A: \\t a  b\\t ")
      con:header("X-B:") con:header("X-C:   ")
    end
    """
    assert Script(source, dialect).run().headers == [
        "Status: 404 Gone  fishing",
        "Content-Type: text/html",
        "X-Powered-By: Lua",
        "X-A: a  b",
        "X-B: ",
        "X-C: ",
    ]
