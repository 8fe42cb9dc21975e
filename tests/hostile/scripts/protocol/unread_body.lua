-- attack: leave a long body unread
-- body: 3000000
-- expect: 200 not read
function main(env, con) con:puts("not read") end
