-- attack: get addresses through the log and the error page
-- expect: 500 (error object is a table value)
function main(env, con)
  print({}, print, coroutine.create(main))
  error({})
end
