-- attack: captures and back references that multiply
-- expect: kill
function main() (("ab"):rep(3000)):match("(.-)(.-)(.-)%1%2%3x") end
