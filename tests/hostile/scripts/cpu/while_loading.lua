-- attack: loop in the main chunk
-- expect: budget cpu
while true do end
