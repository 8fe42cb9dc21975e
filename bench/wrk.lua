-- One request repeated by wrk, and one line of JSON when it is done.
-- Arguments after "--": METHOD BODY_FILE ("-" without a body) NAME=VALUE headers.

function init(args)
   wrk.method = args[1]
   if args[2] ~= "-" then
      local file = assert(io.open(args[2], "rb"))
      wrk.body = file:read("*a")
      file:close()
   end
   for i = 3, #args do
      local name, value = string.match(args[i], "^(.-)=(.*)$")
      wrk.headers[name] = value
   end
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '\n{"requests":%d,"duration_us":%d,"received_bytes":%d,' ..
      '"p50_us":%.1f,"p99_us":%.1f,"max_us":%.1f,' ..
      '"status_errors":%d,"socket_errors":%d}\n',
      summary.requests, summary.duration, summary.bytes,
      latency:percentile(50), latency:percentile(99), latency.max,
      errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
