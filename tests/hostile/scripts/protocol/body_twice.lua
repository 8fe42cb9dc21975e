-- attack: read the body again and beyond its end
-- body: 100000
-- expect: 200 100000 nil nil
function main(env, con)
  local size = #con:gets()
  con:puts(size .. " " .. tostring(con:gets()) .. " " .. tostring(con:read(10)))
end
