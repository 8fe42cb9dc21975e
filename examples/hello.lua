-- The smallest script.
--
-- luafarm calls the global function main for each request. env is a table with what the
-- web server says about it (REQUEST_METHOD, QUERY_STRING, HTTP_USER_AGENT ...); con takes
-- the reply. Change the text, save, load the page again: that is all there is to it.
function main(env, con)
  con:header("Content-Type", "text/plain; charset=utf-8")
  con:puts("Hello, World!\n")
end
