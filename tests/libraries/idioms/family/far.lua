-- A part that is loaded late.
return { name = ..., word = "far" }
