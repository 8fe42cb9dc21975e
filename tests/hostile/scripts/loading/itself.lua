-- attack: a script that runs its own file within itself without end
-- expect: budget cpu
function main(env, con)
  dofile(env.SCRIPT_FILENAME)
  return main(env, con)
end
