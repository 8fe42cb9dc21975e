-- attack: read, set and join upvalues of the farm's functions and of the libraries'
-- expect: refused
local try, all_functions = require "try", require "functions"

function main(env, con)
  local attempts, mine = {}, 0
  local function own() mine = mine + 1 return mine end
  for name, f in pairs(all_functions(con)) do
    attempts[name] = function()
      for index = 1, 60 do
        local named, value = debug.getupvalue(f, index)
        if named ~= nil or value ~= nil then return true end
        if debug.setupvalue(f, index, own) then return true end
        local ok, id = pcall(debug.upvalueid, f, index)
        if ok and id then return true end
        if pcall(debug.upvaluejoin, f, index, own, 1) then return true end
        if pcall(debug.upvaluejoin, own, 1, f, index) then return true end
      end
    end
  end
  try(con, attempts)
end
