-- Modules that OpenResty brings with it, for scripts of ngx: cjson, cjson.safe, resty.upload.
--
-- Whatever else `require` finds under their names goes before them, C modules too; `ngx.null` is
-- what the cjson that is found takes for null. Returns what adds them. members: of `ngx`; parse:
-- parses the form of the request as luafarm.form does.
local T = ...
local ipairs, pcall, rawget, type = T.native.ipairs, T.pcall, T.native.rawget, T.native.type

-- Settings of cjson that have no counterpart here.
local SETTINGS = { "encode_empty_table_as_object", "decode_array_with_array_mt",
  "encode_sparse_array", "encode_max_depth", "decode_max_depth", "encode_number_precision",
  "encode_keep_buffer", "encode_invalid_numbers", "decode_invalid_numbers" }

local function cjson(json, encode, decode)
  local module = { encode = encode, decode = decode, null = json.null,
    empty_array = json.array(), _NAME = "cjson", _VERSION = "2.1.0" }
  for _, name in ipairs(SETTINGS) do module[name] = function() end end
  return module
end

local function safe(f)
  return function(value)
    local ok, result = pcall(f, value)
    if ok then return result end
    return nil, result
  end
end

-- The parts of a form as a stream of events.
local function upload(parse)
  local fields, why, list = parse()
  if not fields then return nil, why end
  local events, at = {}, 0
  local function add(...) events[#events + 1] = { ... } end
  local function header(name, value) add("header", { name, value, name .. ": " .. value }) end
  for _, part in ipairs(list) do
    local text = part.value or part.data
    header("Content-Disposition", 'form-data; name="' .. part.name .. '"'
      .. (part.filename and '; filename="' .. part.filename .. '"' or ""))
    if part.headers and part.headers["content-type"] then header("Content-Type", part.type) end
    if text ~= "" then add("body", text) end
    add("part_end")
  end
  add("eof")
  return {
    set_timeout = function() end,
    read = function()
      at = at < #events and at + 1 or at
      return events[at][1], events[at][2]
    end,
  }
end

return function(members, json, parse)
  local makers = {
    cjson = function() return cjson(json, json.encode, json.decode) end,
    ["cjson.safe"] = function() return cjson(json, safe(json.encode), safe(json.decode)) end,
    ["resty.upload"] = function() return { new = function() return upload(parse) end } end,
  }
  local package = T.environment.package
  local searchers = package.searchers or package.loaders
  searchers[#searchers + 1] = function(name)
    local make = makers[name]
    if make then return make end
  end
  local ok, found = pcall(T.environment.require, "cjson")
  if ok and type(found) == "table" and rawget(found, "null") ~= nil then
    members.null = rawget(found, "null")
  end
end
