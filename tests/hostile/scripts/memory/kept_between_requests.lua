-- attack: keep a little of each request until the state is full
-- expect: 200 kept or budget memory or 500 not enough memory
-- asks: 8
kept = {}

function main(env, con)
  kept[#kept + 1] = ("x"):rep(1500000) .. #kept
  con:puts("kept")
end
