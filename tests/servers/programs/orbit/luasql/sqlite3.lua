-- A stand-in for a driver of databases: the blog opens a connection, which nobody uses.
return { sqlite3 = function() return { connect = function() return {} end } end }
