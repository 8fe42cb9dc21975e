-- attack: change a module that other scripts of the pool require as well
-- expect: 200 changed
function main(env, con)
  require("shared").value = "ESCAPED into another state"
  package.loaded.shared = { value = "ESCAPED" }
  package.preload.shared = function() return { value = "ESCAPED" } end
  for key in pairs(package.loaded) do package.loaded[key] = nil end
  con:puts("changed")
end
