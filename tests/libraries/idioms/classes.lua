-- Classes with metamethods that are inherited, mixins, and a proxy for what is read only: as the
-- small class libraries do it.
local M = {}

local function index_of(class, f)
  if f == nil then return class.__dict end
  return function(self, name)
    local value = class.__dict[name]
    if value ~= nil then return value end
    if type(f) == "function" then return f(self, name) end
    return f[name]
  end
end

local function propagate(class, name, f)
  f = name == "__index" and index_of(class, f) or f
  class.__dict[name] = f
  for subclass in pairs(class.subclasses) do
    if rawget(subclass.__declared, name) == nil then propagate(subclass, name, f) end
  end
end

local function declare(class, name, f)
  class.__declared[name] = f
  if f == nil and class.super then f = class.super.__dict[name] end
  propagate(class, name, f)
end

local function create(name, super)
  local dict = {}
  dict.__index = dict
  local class = { name = name, super = super, static = {}, __dict = dict, __declared = {},
    subclasses = setmetatable({}, { __mode = "k" }) }
  setmetatable(class.static, { __index = function(_, key)
    local value = rawget(dict, key)
    if value == nil and super then return super.static[key] end
    return value
  end })
  setmetatable(class, { __index = class.static, __newindex = declare,
    __tostring = function() return "class " .. name end,
    __call = function(self, ...) return self:new(...) end })
  return class
end

local base = {
  __tostring = function(self) return "instance of " .. tostring(self.class) end,
  initialize = function() end,
  isInstanceOf = function(self, class)
    local at = self.class
    while at do if at == class then return true end at = at.super end
    return false
  end,
}
local statics = {}
function statics.allocate(self) return setmetatable({ class = self }, self.__dict) end
function statics.new(self, ...)
  local instance = self:allocate()
  instance:initialize(...)
  return instance
end
function statics.subclass(self, name)
  local subclass = create(name, self)
  for key, value in pairs(self.__dict) do
    if not (key == "__index" and type(value) == "table") then propagate(subclass, key, value) end
  end
  subclass.initialize = function(instance, ...) return self.initialize(instance, ...) end
  self.subclasses[subclass] = true
  return subclass
end
function statics.include(self, ...)
  for _, mixin in ipairs { ... } do
    for key, value in pairs(mixin) do if key ~= "included" then self[key] = value end end
    if type(mixin.included) == "function" then mixin:included(self) end
  end
  return self
end

function M.class(name, super)
  assert(type(name) == "string", "A name (string) is needed for the new class")
  if super then return super:subclass(name) end
  local class = create(name)
  for key, value in pairs(base) do class[key] = value end
  for key, value in pairs(statics) do class.static[key] = value end
  return class
end

-- Shapes: checks that are added, multiplied and called.
local shape = {}
shape.__index = shape
local function checker(name, check) return setmetatable({ name = name, check = check }, shape) end
shape.__call = function(self, value)
  if self.check(value) then return true end
  return nil, "expected " .. self.name .. ", got " .. type(value)
end
shape.__add = function(one, other)
  return checker(one.name .. " or " .. other.name, function(v) return one.check(v) or other.check(v) end)
end
shape.__mul = function(one, other)
  return checker(one.name .. " and " .. other.name, function(v) return one.check(v) and other.check(v) end)
end
shape.__div = function(one, f)
  return setmetatable({}, { __call = function(_, v)
    local ok, why = one(v)
    if not ok then return nil, why end
    return type(f) == "function" and f(v) or f
  end })
end
shape.__unm = function(one) return checker("not " .. one.name, function(v) return not one.check(v) end) end
shape.__tostring = function(self) return self.name end
M.types = setmetatable({}, { __index = function(self, name)
  local made = checker(name, function(v) return type(v) == name end)
  rawset(self, name, made)
  return made
end })

-- A view of a table that cannot be changed, to be read as the table itself.
function M.readonly(tab)
  return setmetatable({}, { __index = tab, __metatable = false,
    __newindex = function(_, key) error("read only: " .. tostring(key), 2) end,
    __len = function() return #tab end,
    __pairs = function() return pairs(tab) end })
end
return M
