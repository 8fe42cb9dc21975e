-- attack: a body behind a status that has none, which breaks the connection of a web server
-- expect: 204
function main(env, con)
  con:status(204)
  con:puts("ESCAPED: a body that nobody may see")
end
