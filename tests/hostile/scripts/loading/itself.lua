-- attack: a script that runs its own file within itself without end
-- expect: 500 or budget cpu or budget memory
function main(env, con)
  dofile(env.SCRIPT_FILENAME)
  return main(env, con)
end
