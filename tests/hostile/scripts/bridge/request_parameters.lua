-- attack: look for anything but text in the request's parameters
-- query: %00%ff=1&a=b
-- expect: 200 refused
function main(env, con)
  for key, value in pairs(env) do
    if type(key) ~= "string" or (type(value) ~= "string" and key ~= "LUAFCGID_VERSION") then
      con:puts("ESCAPED " .. tostring(key))
    end
  end
  if getmetatable(env) then con:puts("ESCAPED by a metatable") end
  con:puts("refused")
end
