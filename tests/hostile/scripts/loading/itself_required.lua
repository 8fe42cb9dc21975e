-- attack: a script that requires itself while it is loaded
-- expect: 500 previous error
package.loaded["loading.itself_required"] = nil
local again = require "loading.itself_required"

function main(env, con) con:puts("ESCAPED " .. tostring(again)) end
