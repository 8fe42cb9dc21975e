-- attack: remove or replace every global
-- expect: 200 gone
function main(env, con)
  local globals = _G
  for key in pairs(globals) do globals[key] = nil end
  con:puts("gone")
end
