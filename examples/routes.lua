-- A small JSON interface. What stands behind the script's name in the URL (PATH_INFO)
-- chooses the route, the method chooses the function:
--
--   curl  http://127.0.0.1:8080/routes.lua/time
--   curl  http://127.0.0.1:8080/routes.lua/sum -d '{"numbers": [1, 2, 3.5]}'
local json = require("json")
local luafarm = require("luafarm")

local routes = {}

-- Each function returns a status and a value; a request's body is its argument.
routes["/"] = {
  GET = function()
    return 200, { routes = { "GET /time", "POST /sum" } }
  end,
}

routes["/time"] = {
  GET = function()
    local now = luafarm.now()
    return 200, { seconds = now, utc = os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(now)) }
  end,
}

routes["/sum"] = {
  POST = function(body)
    -- decode raises an error for what is no JSON: that is the client's fault, not ours.
    local ok, value = pcall(json.decode, body)
    if not ok then return 400, { error = value } end
    local numbers = type(value) == "table" and value.numbers
    if type(numbers) ~= "table" then
      return 400, { error = "expected an object with an array 'numbers'" }
    end
    local sum = 0
    for _, number in ipairs(numbers) do
      if type(number) ~= "number" then
        return 400, { error = "'numbers' has something else than numbers" }
      end
      sum = sum + number
    end
    return 200, { count = #numbers, sum = sum }
  end,
}

local function answer(env, con)
  local path = env.PATH_INFO or ""
  local route = routes[path ~= "" and path or "/"]
  if not route then return 404, { error = "no such route" } end
  local method = env.REQUEST_METHOD == "HEAD" and "GET" or env.REQUEST_METHOD
  if not route[method] then
    con:header("Allow", route.GET and "GET, HEAD" or "POST")
    return 405, { error = "this route does not take " .. env.REQUEST_METHOD }
  end
  return route[method](con:gets() or "")
end

function main(env, con)
  local status, value = answer(env, con)
  con:status(status)
  con:header("Content-Type", "application/json")
  con:puts(json.encode(value) .. "\n")
end
