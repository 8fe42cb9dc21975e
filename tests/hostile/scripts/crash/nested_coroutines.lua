-- attack: coroutines within coroutines until the C stack ends
-- expect: 200 alive
function main(env, con)
  local function wrapped(depth) return coroutine.wrap(wrapped)(depth + 1) end
  pcall(wrapped, 1)
  local function resumed(depth)
    local ok, message = coroutine.resume(coroutine.create(resumed), depth + 1)
    return message
  end
  resumed(1)
  local function mixed(depth)
    return pcall(coroutine.wrap(function() return ("x"):gsub("x", function() return mixed(depth + 1) end) end))
  end
  mixed(1)
  con:puts("alive")
end
