-- attack: a reader that never ends
-- expect: 200 chunk too large or budget memory or 200 not enough memory
function main(env, con)
  con:puts(select(2, load(function() return "x = 1 " end)))
end
