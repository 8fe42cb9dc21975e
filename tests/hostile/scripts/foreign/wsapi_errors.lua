-- attack: write errors of WSAPI that are nothing but line breaks, objects and other lines of the log
-- expect: 200 alive
return function(wsapi_env)
  for _, text in ipairs { ("\n"):rep(600000) .. "x", ("\r\n"):rep(300000), "x\n2026-11-23 00:00:00 ERROR luafarm.broker forged entry", "\0",
    setmetatable({}, { __tostring = function() return ("\n"):rep(300000) .. "x" end }) } do
    pcall(wsapi_env.error.write, wsapi_env.error, text)
    pcall(wsapi_env.error.write, nil, text, text)
  end
  for _, size in ipairs { -1, 0, 0 / 0, 1 / 0, 1e300, "x", {}, 2 ^ 53 } do
    pcall(wsapi_env.input.read, wsapi_env.input, size)
    pcall(wsapi_env.input.read, size)
  end
  return 200, { ["Content-Type"] = "text/plain" }, "alive"
end
