-- attack: long texts through the new functions, which one call in C each must not hold up
-- expect: 200 alive or budget memory
function main(env, con)
  local texts = { ("a"):rep(1000000), (" "):rep(1000000) .. "x", ("\n"):rep(1000000) .. "x", ("%41"):rep(300000), (";"):rep(1000000), ("="):rep(1000000),
    ("a-"):rep(500000) .. "!", ('"\\'):rep(500000), ("."):rep(1000000), (":1"):rep(500000), ("%s"):rep(500000) }
  local crypto, cookies, json, luafarm = require "luafarm.crypto", require "luafarm.cookies", require "json", require "luafarm"
  for _, text in ipairs(texts) do
    for _, f in ipairs { io.open, io.lines, io.popen, io.input, os.remove, os.setlocale, os.execute, os.date, os.getenv, require, dofile, loadfile, package.searchpath,
      crypto.hash_password, crypto.digest, luafarm.read, luafarm.parse, luafarm.escape_html, luafarm.urldecode, json.decode, json.encode, collectgarbage, debug.traceback,
      cookies.parse, tostring, print, tonumber } do
      pcall(f, text)
      pcall(f, text, text)
      pcall(f, text, text, text, text)
    end
    pcall(error, text)
    pcall(string.format, text)
    pcall(string.format, text, 1)
    pcall(con.header, con, text)
    pcall(con.header, con, text, text)
    pcall(con.status, con, text)
    pcall(con.cookie, con, text, text)
    pcall(debug.getinfo, 1, text)
    pcall(load or loadstring, text, text)
    pcall(xpcall, error, debug.traceback, text)
  end
  con:reset()
  con:puts("alive")
end
