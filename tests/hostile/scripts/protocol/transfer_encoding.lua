-- attack: claim a transfer encoding, to smuggle a second response
-- expect: 200 0
function main(env, con)
  con:header("Transfer-Encoding", "chunked")
  con:header("Connection", "close")
  con:puts("0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")
end
