-- attack: fill the state, request by request, by tables that nobody has any more
-- expect: 200 alive
-- asks: 40
function handle(r)
  for name in pairs(r.headers_in) do r.notes[name] = name end
  for index = 1, 100 do
    r.headers_out["X-" .. index] = ("x"):rep(2000) .. index .. os.clock()
    r.headers_out["X-" .. index] = nil
  end
  r.notes.long = ("x"):rep(400000) .. os.clock()
  r:puts("alive")
end
