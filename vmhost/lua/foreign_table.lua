-- Tables of Apache's kind for mod_lua: keys without regard to case, strings as values, nil
-- removes a key. A key may have several values (Set-Cookie): reading gives the first.
--
-- Returns make(name, values, as_is): the table that scripts see, and its inside, with
-- add(key, value), each(f) in the order of setting, and copy().
local T = ...
local find, gsub, lower = T.library.string.find, T.library.string.gsub, T.library.string.lower
local error, next, tostring, type = T.native.error, T.native.next, T.native.tostring, T.native.type
local setmetatable, sealed, log = T.native.setmetatable, T.sealed, T.log

-- name: for messages. values: what it has at first, by name. as_is: line breaks may stand.
return function(name, values, as_is)
  local order, last = {}, 0   -- lowered keys, false where one was removed
  local at, names, lists = {}, {}, {}  -- by lowered key: place, spelling, values
  local shown = {}            -- spelling to first value

  local function text_of(value, level)
    if type(value) == "number" then value = tostring(value) end
    if type(value) ~= "string" then
      error("the value of a key in '" .. name .. "' must be a string, not a " .. type(value) .. " value",
        level + 1)
    end
    if not as_is and find(value, "[\r\n]") then
      log("w", "line break in a value of '" .. name .. "' replaced by a space")
      value = gsub(value, "[\r\n]+", " ")
    end
    return value
  end

  local function key_of(key, level)
    if type(key) == "number" then key = tostring(key) end
    if type(key) ~= "string" then
      error("a key of '" .. name .. "' must be a string, not a " .. type(key) .. " value", level + 1)
    end
    return key, lower(key)
  end

  local function remove(low)
    local place = at[low]
    if not place then return end
    shown[names[low]] = nil
    order[place], at[low], names[low], lists[low] = false, nil, nil, nil
  end

  local function add(key, value, level)
    local low
    key, low = key_of(key, level)
    value = text_of(value, level)
    if at[low] then
      lists[low][#lists[low] + 1] = value
      return
    end
    last = last + 1
    order[last], at[low], names[low], lists[low], shown[key] = low, last, key, { value }, value
  end

  local inside = {}
  function inside.add(key, value) add(key, value, 3) end

  -- Call f(key, value) for everything, in the order in which it was set.
  function inside.each(f)
    for place = 1, last do
      local low = order[place]
      if low then
        for index = 1, #lists[low] do f(names[low], lists[low][index]) end
      end
    end
  end

  function inside.copy()
    local copy = {}
    for key, value in next, shown do copy[key] = value end
    return copy
  end

  function inside.get(key)
    local list = lists[lower(key)]
    return list and list[1]
  end

  for key, value in next, values or {} do add(key, value, 1) end

  local front = {}
  sealed[front] = { list = shown, name = name }  -- for `pairs`, and against `rawset`
  return setmetatable(front, {
    __index = function(_, key)
      if type(key) == "number" then key = tostring(key) end
      if type(key) ~= "string" then return nil end
      local list = lists[lower(key)]
      return list and list[1]
    end,
    __newindex = function(_, key, value)
      local low
      key, low = key_of(key, 3)
      if value ~= nil then value = text_of(value, 3) end
      remove(low)
      if value ~= nil then add(key, value, 3) end
    end,
    __pairs = function() return next, inside.copy(), nil end,
    __tostring = function() return name end,
    __metatable = false,
  }), inside
end
