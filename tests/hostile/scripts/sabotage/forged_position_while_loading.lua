-- attack: the same from the main chunk
-- expect: 500 boom
error('x:99999999999999999999: boom', 0)
