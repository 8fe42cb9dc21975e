ngx.print(string.rep("0123456789abcdef", 6400))
