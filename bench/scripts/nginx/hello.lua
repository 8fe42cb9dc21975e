local s = "Hello World"

ngx.print(s)
