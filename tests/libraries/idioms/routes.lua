-- Routers, state machines, events, iterators: patterns made from text, varargs with nil in them,
-- coroutines as generators.
local M = {}
local unpack = table.unpack or unpack

function M.router()
  local routes = {}
  local self = {}
  function self.match(method, pattern, handler)
    local names = {}
    local lua = pattern:gsub("[%-%.%+%[%]%(%)%$%^%%%?]", "%%%0"):gsub(":([%w_]+)", function(name)
      names[#names + 1] = name
      return "([^/]+)"
    end):gsub("%*$", function() names[#names + 1] = "splat" return "(.*)" end)
    routes[#routes + 1] = { method = method, pattern = "^" .. lua .. "$", names = names, handler = handler }
    return self
  end
  for _, method in ipairs { "get", "post", "put", "delete" } do
    self[method] = function(...) return self.match(method:upper(), ...) end
  end
  function self.execute(method, path, ...)
    for _, route in ipairs(routes) do
      local found = { path:match(route.pattern) }
      if route.method == method and found[1] then
        local params = {}
        for index, name in ipairs(route.names) do params[name] = found[index] end
        return true, route.handler(params, ...)
      end
    end
    return nil, ("Could not resolve %s %s"):format(method, path)
  end
  return self
end

function M.machine(options)
  local fsm = { current = options.initial or "none" }
  for _, event in ipairs(options.events) do
    fsm[event.name] = function(self, ...)
      if event.from ~= "*" and self.current ~= event.from then return false end
      local before = self["onbefore" .. event.name]
      if before and before(self, event.name, self.current, event.to, ...) == false then return false end
      self.current = event.to
      local on = self["on" .. event.to]
      if on then on(self, event.name, ...) end
      return true
    end
  end
  for name, f in pairs(options.callbacks or {}) do fsm[name] = f end
  return fsm
end

function M.pack(...) return { n = select("#", ...), ... } end
function M.unpack(packed) return unpack(packed, 1, packed.n) end
function M.bind(f, ...)
  local first = M.pack(...)
  return function(...)
    local all = { n = first.n + select("#", ...), unpack(first, 1, first.n) }
    for index = 1, select("#", ...) do all[first.n + index] = (select(index, ...)) end
    return f(unpack(all, 1, all.n))
  end
end

function M.range(first, last, step)
  return coroutine.wrap(function() for n = first, last, step or 1 do coroutine.yield(n) end end)
end
function M.permutations(list)
  local function permute(n)
    if n == 0 then coroutine.yield({ unpack(list) }) return end
    for index = 1, n do
      list[n], list[index] = list[index], list[n]
      permute(n - 1)
      list[n], list[index] = list[index], list[n]
    end
  end
  return coroutine.wrap(function() permute(#list) end)
end
return M
