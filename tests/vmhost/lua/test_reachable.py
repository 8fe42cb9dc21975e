"""Whatever a sandboxed script can reach, seen with the debug library: nothing hidden.

The prelude is changed to hand its trusted table to the script as a global, so that a
script can look behind `__metatable` and tell native functions from ours.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import lupa
import pytest

from luafarm.dialects import REFUSED, UNSOUND, Dialect
from tests.vmhost.states import (
    Script,
    attack_on_every_sandboxed_dialect,
    params,
)
from vmhost.host.services.table import OPERATIONS
from vmhost.lua import prelude, state

AUDIT = """
local T = TRUSTED
TRUSTED = nil
local getinfo, getmetatable = T.library.debug.getinfo, T.library.debug.getmetatable
local native, rawget, next = T.native, T.native.rawget, T.native.next
local table = T.library.table
local insert, concat, sort = table.insert, table.concat, table.sort
local type, tostring, pairs = type, T.native.tostring, T.native.pairs
local modules = {}
for _, name in ipairs { "luafarm", "luafarm.cookies", "luafarm.crypto", "luafarm.form",
  "luafcgid", "md5", "base64", "json" } do
  modules[name] = require(name)
end

local natives = {}  -- what C functions are called in Lua
for name, f in pairs(native) do
  if type(f) == "function" then natives[f] = name end
end
for library, members in pairs(T.library) do
  for name, f in pairs(members) do
    if type(f) == "function" then natives[f] = library .. "." .. name end
  end
end

local seen, lines, odd = {}, {}, {}
local function walk(value, path)
  local kind = type(value)
  if kind == "string" and path ~= "string" then return end
  if kind == "function" then
    local info = getinfo(value, "S")
    if natives[value] or info.what == "C" then
      insert(lines, path .. " = " .. tostring(natives[value]))
    elseif info.source ~= "=luafarm" and info.source ~= "=?" then  -- stripped
      insert(odd, path .. " is of " .. info.source)
    elseif getfenv and native.next(T.library.debug.getfenv(value)) ~= nil then
      insert(odd, path .. " has an environment")
    end
  elseif kind == "cdata"
    or kind == "userdata" and not tostring(value):find("^file %(") then
    insert(odd, path .. " is a " .. kind)
  end
  local meta = getmetatable(value)
  if meta ~= nil and not seen[meta] then
    seen[meta] = true
    if kind ~= "string" then
      for _, key in ipairs { "__gc", "__close", "__mode" } do
        local closes = kind == "userdata" and key == "__close"  -- as files do
        if rawget(meta, key) ~= nil and not closes then
          insert(odd, path .. " has " .. key)
        end
      end
    end
    if rawget(meta, "__metatable") ~= false and kind ~= "string" then
      insert(odd, path .. " shows it")
    end
    for key, inner in next, meta do walk(inner, path .. "<" .. tostring(key) .. ">") end
  end
  if kind ~= "table" or seen[value] then return end
  seen[value] = true
  for key, inner in next, value do
    walk(key, path .. "[key]")
    walk(inner, path .. "." .. tostring(key))
  end
end

local function look(env, con)
  local own = { main = main, handler = handler, handle = handle }
  for name in pairs(own) do _G[name] = nil end
  walk(_G, "_G")
  for name, module in pairs(modules) do walk(module, name) end
  walk(modules.json.decode('[1, {"a": null}]'), "decoded")
  walk(con, "con")
  walk(env, "env")
  walk("", "string")
  walk((coroutine.running()), "main thread")
  walk(coroutine.wrap(function() end), "wrapped")
  walk(package, "package")
  for name, f in pairs(own) do _G[name] = f end
  if next(T.real) ~= nil then insert(odd, "the real globals are not empty") end
  for library, members in native.next, T.loaded do  -- names for messages
    for name, value in native.next, members do
      if not natives[value] and type(value) == "function" or type(value) == "table" then
        insert(odd, library .. "." .. tostring(name) .. " is loaded")
      end
    end
  end
  for name, value in pairs(env or {}) do
    local is_text = type(value) == "string" or name == "LUAFCGID_VERSION"
    if type(name) ~= "string" or not is_text then insert(odd, tostring(name)) end
  end
  sort(lines)
  return concat(odd, "; ") .. "|" .. concat(lines, "\\n")
end
"""
ERAS = {
    "main(env, con)": "function main(env, con) con:puts(look(env, con)) end",
    "main(env, req)": (
        "function main(env, req) req:header('X-Old', 'yes')"
        " req:puts(look(env, req)) end"
    ),
    "handler()": "function handler() return look() end",
    "handle(r)": (
        "function handle(r) r:setcookie('a', 'b') r:puts(look(nil, { r, r.puts,"
        " r.headers_in, r.err_headers_out, r.notes, r:headers_in_table(),"
        " r:parseargs() })) end"
    ),
    "run(wsapi_env)": "return function(e) return 200, {}, look(nil, { e }) end",
    "ngx": (
        "ngx.print(look(nil, { ngx, ngx.say, ngx.req, ngx.var, ngx.header, ngx.ctx,"
        " ngx.req.get_headers(), ngx.req.get_uri_args(), ngx.null, ngx.re, ngx.timer,"
        " require('cjson'), require('cjson.safe'), require('resty.upload') }))"
    ),
}


@cache
def opened(dialect: Dialect) -> state._Code:
    """Return the code of a dialect whose scripts see the trusted table."""
    text = prelude.text(OPERATIONS.numbers).decode()
    end = "return entry.run, entry.load"
    assert text.count(end) == 1
    given = "T.environment.TRUSTED = T\nT.loaded = native_package.loaded\n"
    text = text.replace(end, given + end).replace(
        "local T = { config", "local native_package = package\nlocal T = { config"
    )
    code = state.prepare(dialect, OPERATIONS)
    compiler = state._runtime(code.module, 64 << 20)
    dump = compiler.execute(state._COMPILE)
    return state._Code(code.module, code.lua_error, dump(text.encode()), code.builtins)


@pytest.fixture
def audited(monkeypatch: pytest.MonkeyPatch) -> Callable[[Dialect, str], str]:
    """Return a function that runs a script that sees the trusted table."""

    def audit(dialect: Dialect, source: str) -> str:
        code = opened(dialect)
        monkeypatch.setattr(state, "prepare", lambda *_, **__: code)
        script = Script(source, dialect)
        return script.run(params(QUERY_STRING="a=1")).text

    return audit


@attack_on_every_sandboxed_dialect
@pytest.mark.parametrize("era", ERAS)
def test_nothing_reachable_is_odd(
    audited: Callable[[Dialect, str], str], dialect: Dialect, era: str
) -> None:
    odd, _, _ = audited(dialect, AUDIT + ERAS[era]).partition("|")
    assert odd == ""


@attack_on_every_sandboxed_dialect
def test_every_native_function_is_the_one_that_its_name_says(
    audited: Callable[[Dialect, str], str], dialect: Dialect
) -> None:
    source = AUDIT + ERAS["main(env, con)"]
    _, _, lines = audited(dialect, source).partition("|")
    found = dict(line.split(" = ") for line in lines.splitlines())
    assert found
    for path, name in found.items():
        if path.startswith("string<"):
            continue  # metamethods of strings, which no script can name
        short = path.removeprefix("_G.").removeprefix("package.loaded.")
        short = short.removeprefix("_G.").removeprefix("table.")
        assert short == name.removeprefix("table."), path


# it names none of the functions for which `env` would be a plain table
LOOK_AT_ENV = """
local T = TRUSTED
TRUSTED = nil
local metatable_of, each = T.library.debug["get" .. "metatable"], T.native["ne" .. "xt"]
function main(env, con)
  local meta, lines = metatable_of(env), {}
  for key in each, env do lines[#lines + 1] = "env has " .. tostring(key) end
  if metatable_of(meta) ~= nil then lines[#lines + 1] = "it has a metatable" end
  for key, value in each, meta do
    local is_ours = type(value) == "function"
      and ("=luafarm =?"):find(T.library.debug.getinfo(value, "S").source, 1, true)
    lines[#lines + 1] = key .. " " .. (is_ours and "ours" or tostring(value))
  end
  table.sort(lines)
  con:puts(table.concat(lines, ", "))
end
"""


@attack_on_every_sandboxed_dialect
def test_an_environment_that_is_not_decoded_has_nothing_but_our_own_metamethods(
    audited: Callable[[Dialect, str], str], dialect: Dialect
) -> None:
    assert audited(dialect, LOOK_AT_ENV) == (
        "__index ours, __metatable false, __newindex ours, __pairs ours"
    )


def test_every_dialect_of_the_wheel_is_offered_or_refused_with_a_reason() -> None:
    offered = {str(dialect) for dialect in Dialect}
    names = {
        path.name.partition(".")[0]
        for directory in lupa.__path__
        for path in Path(directory).glob("lua*.so")
    }
    assert names == offered | set(REFUSED)
    assert all(REFUSED.values())
    assert all(UNSOUND.values())
