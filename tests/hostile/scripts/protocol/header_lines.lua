-- attack: header lines of its own, with an end of the header among them
-- expect: 200 body
function main(env, con)
  con:header("X-One: 1\r\n\r\nX-Two: 2\r\n\r\n")
  con:puts("body")
end
