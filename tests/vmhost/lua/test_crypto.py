"""luafarm.crypto: random bytes, digests, HMAC and passwords."""

import hashlib
import hmac
from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luafarm.dialects import Dialect
from tests.vmhost.states import Script, evaluate, every_dialect
from vmhost.host.services.crypto import DIGESTS
from vmhost.lua.limits import StateLimits

USE = "local crypto = require 'luafarm.crypto' "
TAKE = USE + "function main(env, con) con:puts(%s) end"


@every_dialect
def test_random_bytes_differ_each_time(dialect: Dialect) -> None:
    code = (
        USE
        + """
      local luafarm, seen = require "luafarm", {}
      for _, random in ipairs { crypto.random, luafarm.random } do
        assert(random(0) == "" and #random(65536) == 65536)
        for i = 1, 50 do
          local bytes = random(16)
          assert(#bytes == 16 and not seen[bytes])
          seen[bytes] = true
        end
      end
      return "fine"
    """
    )
    assert evaluate(code, dialect) == "fine"


@every_dialect
def test_digests_are_those_of_the_standards(dialect: Dialect) -> None:
    script = Script(
        USE + "function main(env, con) local text = con:gets() or ''\n"
        "for name in ('sha1 sha256 sha512 sha3_256 sha3_512'):gmatch('%S+') do\n"
        "  con:puts(crypto[name](text) .. crypto.digest(name, text, true))\n"
        "  con:puts(crypto.hmac(name, 'key', text))\n"
        "  con:puts(crypto.hmac(name, 'key', text, true))\n"
        "end end",
        dialect,
    )
    for text in (b"", b"abc", bytes(range(256)) * 3):
        expected = b""
        for name in ("sha1", "sha256", "sha512", "sha3_256", "sha3_512"):
            plain = hashlib.new(name, text).digest()
            keyed = hmac.digest(b"key", text, name)
            expected += plain.hex().encode() + plain + keyed.hex().encode() + keyed
        assert script.run(b"", text).body == expected


def test_every_digest_has_its_number() -> None:
    script = Script(
        USE + "function main(env, con)\n"
        "con:puts(crypto.digest(con:gets(), 'x') .. crypto.hmac(env.N, '', '')) end"
    )
    for name in DIGESTS:
        from_name = name.replace("_", "-")
        text = script.run(
            b"\x01" + bytes([len(from_name)]) + b"N" + from_name.encode(), name.encode()
        ).text
        assert (
            text
            == hashlib.new(name, b"x").hexdigest() + hmac.digest(b"", b"", name).hex()
        )


@given(st.binary(max_size=300), st.binary(max_size=300))
@settings(max_examples=50)
def test_hmac_is_that_of_any_key(key: bytes, text: bytes) -> None:
    code = USE + (
        "function main(env, con)\n"
        "local both, n = con:gets() or '', tonumber(env.N)\n"
        "con:puts(crypto.hmac('sha256', both:sub(1, n), both:sub(n + 1))) end"
    )
    size = str(len(key)).encode()
    blob = b"\x01" + bytes([len(size)]) + b"N" + size
    assert (
        Script(code).run(blob, key + text).text
        == hmac.digest(key, text, "sha256").hex()
    )


@every_dialect
def test_equal_compares_all_bytes(dialect: Dialect) -> None:
    code = (
        USE
        + """
      local long = ("x"):rep(300000)
      return tostring(crypto.equal("a\\0b", "a\\0b"))
        .. tostring(crypto.equal("a", "b"))
        .. tostring(crypto.equal("", "a")) .. tostring(crypto.equal(long, long .. "y"))
        .. tostring(crypto.equal(long, long))
    """
    )
    assert evaluate(code, dialect) == "truefalsefalsefalsetrue"


def test_a_long_text_has_its_digest_too() -> None:
    code = USE + "return crypto.sha256(('x'):rep(4194304))"
    assert evaluate(code, Dialect.LUA54) == hashlib.sha256(b"x" * 4194304).hexdigest()


@every_dialect
def test_a_password_is_verified_by_its_hash_only(dialect: Dialect) -> None:
    code = (
        USE
        + """
      local hash, other = crypto.hash_password("p\\0ss"), crypto.hash_password("p\\0ss")
      assert(hash ~= other and hash:find("^%$scrypt%$ln=14,r=8,p=5%$"))
      return tostring(crypto.verify_password("p\\0ss", hash))
        .. tostring(crypto.verify_password("p\\0sS", hash))
        .. tostring(crypto.verify_password("p", hash))
    """
    )
    assert evaluate(code, dialect) == "truefalsefalse"


def test_a_password_hash_is_scrypt_as_others_write_it() -> None:
    # the second test vector of RFC 7914, 12 with a key of 32 bytes
    key = hashlib.scrypt(
        b"password", salt=b"NaClNaClNaClNaCl", n=1024, r=8, p=16, dklen=32
    )
    salt = b64encode(b"NaClNaClNaClNaCl").decode().rstrip("=")
    text = b64encode(key).decode().rstrip("=")
    hash_ = f"$scrypt$ln=10,r=8,p=16${salt}${text}"
    code = USE + f"return tostring(crypto.verify_password('password', '{hash_}'))"
    assert evaluate(code, Dialect.LUAJIT21) == "true"


@pytest.mark.parametrize(
    ("hash_", "says"),
    [
        ("", "not a hash of hash_password"),
        ("$2b$10$abc", "not a hash of hash_password"),
        ("$scrypt$ln=14,r=8,p=5$c2FsdA$c2hvcnQ", "not a hash of hash_password"),
        (
            "$scrypt$ln=30,r=8,p=1$c2FsdA$" + "A" * 43,
            "the limits are 1048576 and 67108864",
        ),
        ("$scrypt$ln=14,r=0,p=1$c2FsdA$" + "A" * 43, "not a hash of hash_password"),
        ("$scrypt$ln=16,r=1,p=1$c2FsdA$" + "A" * 43, "not a hash of hash_password"),
        ("$scrypt$ln=01,r=99,p=99$c2FsdA$" + "A" * 43, "false"),
        ("$scrypt$ln=17,r=8,p=1$c2FsdA$" + "A" * 43, "and 134217728 bytes; the limits"),
    ],
)
def test_a_hash_that_is_none_or_costs_too_much_is_told(hash_: str, says: str) -> None:
    code = USE + (
        f"local ok, why = crypto.verify_password('x', '{hash_}') "
        "return tostring(ok) .. ' ' .. tostring(why)"
    )
    result = evaluate(code, Dialect.LUAJIT21)
    assert says in result
    assert result.startswith(("nil ", "false"))


def test_what_a_password_costs_counts_as_cpu_time() -> None:
    limits = StateLimits(cpu_s=0.02)
    script = Script(
        USE + "function main() while true do pcall(crypto.hash_password, 'x') end end",
        limits=limits,
    )
    assert script.run().failure.budget == "cpu"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("crypto.random(-1)", "'random' (0 to 65536 bytes expected, got -1)"),
        ("crypto.random(65537)", "0 to 65536 bytes expected, got 65537"),
        ("crypto.random(0/0)", "0 to 65536 bytes expected"),
        ("crypto.random(1.5)", "0 to 65536 bytes expected, got 1.5"),
        ("crypto.random()", "0 to 65536 bytes expected, got no value"),
        (
            "crypto.sha256()",
            "bad argument #1 to 'sha256' (string expected, got no value)",
        ),
        (
            "crypto.sha256({})",
            "bad argument #1 to 'sha256' (string expected, got table)",
        ),
        ("crypto.digest('crc32', '')", "name of a digest expected, got 'crc32'"),
        ("crypto.hmac('sha256', nil, '')", "bad argument #2 to 'hmac'"),
        ("crypto.hmac({}, '', '')", "name of a digest expected, got table"),
        ("crypto.equal('a')", "bad argument #2 to 'equal'"),
        (
            "crypto.hash_password(('x'):rep(4097))",
            "'hash_password' (text of 4097 bytes; the limit is 4096)",
        ),
        (
            "crypto.hmac('sha1', ('x'):rep(65537), '')",
            "bad argument #2 to 'hmac' (text of 65537 bytes; the limit is 65536)",
        ),
    ],
)
def test_wrong_arguments_are_named(call: str, says: str) -> None:
    failure = Script(TAKE % call).run().failure
    assert says in failure.message
    assert failure.line == 1


def test_inside_a_callback_it_says_that_it_cannot_ask() -> None:
    code = "(('x'):gsub('x', function() return crypto.sha256('a') end))"
    message = Script(TAKE % code).run().failure.message
    assert "'sha256' is not possible inside a callback" in message
