-- attack: loop in __tostring, called by print, format and log
-- expect: budget cpu
function main(env, con)
  local object = setmetatable({}, { __tostring = function() while true do end end })
  while true do
    pcall(print, object)
    pcall(string.format, "%s", object)
  end
end
