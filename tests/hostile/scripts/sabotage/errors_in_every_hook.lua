-- attack: errors in startup
-- expect: 500 in startup
function main(env, con) con:puts("ESCAPED") end
function startup() error("in startup") end
function shutdown() error("in shutdown") end
