-- attack: define the handlers of all servers at once, to be called as one of them without its request
-- expect: 200 main
-- asks: 2
function handle(r) r:puts("ESCAPED") end
function handler() return "ESCAPED" end
function run(wsapi_env) return 200, {}, "ESCAPED" end
function main(env, con)
  con:puts("main")
  if apache2 or wsapi then con:puts("ESCAPED") end
end
package.loaded.apache2 = { OK = 5 }
ngx = ngx or { exit = print }
return { run = run }
