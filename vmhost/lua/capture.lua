-- The native functions, taken while they can still be reached. Trusted code uses only
-- these locals and fields: never a global, never s:method(), so that nothing a script
-- changes later can reach it. `T.library` has copies where scripts have the originals, which
-- they may change: in trusted pools.
--
-- Provides: real, info, native, library, jit, version, is51, puc51, NUL, new_table,
--   crypto.
local T = ...
local real = _G
local package = package

T.real = real
T.info = { id = "", generation = 0, requests = 0, script = "" }  -- of this state
T.native = {}
for name, value in pairs(real) do T.native[name] = value end
T.library = {}
for _, name in ipairs { "string", "table", "math", "coroutine", "os", "debug", "bit",
  "bit32", "utf8", "io" } do
  T.library[name] = real[name]
  if real[name] and T.config.trusted then
    T.library[name] = {}
    for key, value in pairs(real[name]) do T.library[name][key] = value end
  end
end
T.library.table.unpack = T.library.table.unpack or unpack
T.native.package = package
T.jit = real.jit ~= nil
T.version = T.jit and 5.1 or tonumber(string.match(_VERSION, "%d+%.%d+"))
T.is51 = T.version == 5.1            -- the language: LuaJIT counts as 5.1
T.puc51 = T.is51 and not T.jit       -- the implementation: no yield across pcall

-- A pattern of Lua 5.1 ends at NUL; %z stands for it.
T.NUL = T.is51 and "%z" or "\0"

if T.jit and not T.config.jit then real.jit.off() end
if T.jit then
  local ok, new = pcall(require, "table.new")
  T.new_table = ok and new or nil
end

-- LuaJIT can call the libcrypto that Python has loaded already (a confined host opens no
-- file): a tenth of what a turn through Python costs. nil where there is none. Scripts
-- never see ffi, nor anything that it makes but strings.
local open_ffi = T.jit and package.preload.ffi
local crypto
function T.crypto()
  if crypto ~= nil or not open_ffi then return crypto or nil end
  local native = T.native
  local ok, found = native.pcall(function()
    local ffi = open_ffi()
    package.loaded.ffi = nil  -- it has registered itself
    ffi.cdef [[
      unsigned char *MD5(const unsigned char *text, size_t size, unsigned char *sum);
      int EVP_EncodeBlock(unsigned char *code, const unsigned char *text, int size);
    ]]
    local library = ffi.load("libcrypto.so.3")
    local md5, encode, new, string = library.MD5, library.EVP_EncodeBlock, ffi.new, ffi.string
    local sum, small = new("unsigned char[16]"), new("unsigned char[8192]")
    return {
      md5 = function(text)
        md5(text, #text, sum)
        return string(sum, 16)
      end,
      base64 = function(text)
        local size = #text
        local code = small
        if size > 6000 then code = new("unsigned char[?]", size / 3 * 4 + 8) end
        return string(code, encode(code, text, size))
      end,
    }
  end)
  crypto = ok and found or false
  return crypto or nil
end
real.python = nil
package.loaded.python = nil
