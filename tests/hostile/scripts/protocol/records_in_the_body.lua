-- attack: FastCGI records and an end of request within the body
-- expect: 200 after
function main(env, con)
  con:puts("\1\6\0\1\0\0\0\0\1\3\0\1\0\8\0\0\0\0\0\0\0\0\0\0")
  con:flush()
  con:puts("\1\3\0\1\0\8\0\0\0\0\0\0\0\0\0\0 after")
end
