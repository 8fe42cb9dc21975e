-- attack: set every local variable and upvalue within reach, loops' among them, wherever the farm calls back
-- expect: 200 alive
local places = require "places"

function main(env, con)
  for _, value in ipairs { 1, "x", {}, print, 0 / 0, false } do
    for _, place in pairs(places) do
      local function spoil()
        for level = 2, 40 do
          local info = debug.getinfo(level, "f")
          if not info then break end
          if info.func ~= main then
            for index = -5, 40 do pcall(debug.setlocal, level, index, value) end
          end
        end
      end
      pcall(place, con, spoil)
    end
    local function loops()
      local t = setmetatable({}, { __close = print })
      for i = 1, 20 do
        for k, v in pairs { 1, 2, 3 } do
          for index = -2, 40 do pcall(debug.setlocal, 1, index, value) end
        end
      end
    end
    pcall(loops)
    pcall(coroutine.wrap(loops))
  end
  require("luafarm").sleep(0)
  con:puts("alive")
end
