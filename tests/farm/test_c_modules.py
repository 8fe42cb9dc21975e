"""C modules in the VM hosts of a live farm, confined ones too."""

import pytest

from luafarm.dialects import Dialect
from luafarm.process import cplaces
from tests.farm.client import ask
from tests.farm.farms import up

pytestmark = pytest.mark.process

SCRIPT = """
local cjson, lpeg = require("cjson"), require("lpeg")
function main(env, con)
  con:puts(cjson.encode({ lpeg.match(lpeg.C(lpeg.P("a") ^ 1), "aab") }))
  con:puts(tostring((pcall(require, "lfs"))))
end
"""


@pytest.mark.parametrize("dialect", ["luajit21", "lua54"])
def test_confined_hosts_have_the_modules_that_the_operator_names(dialect: str) -> None:
    for name in ("cjson", "lpeg"):
        try:
            cplaces.find(name, Dialect(dialect))
        except cplaces.NoModuleError as missing:
            pytest.skip(str(missing))
    pool = f'dialect = "{dialect}"\nc_modules = ["cjson", "lpeg"]'
    with up(hosts=2, pool=pool, files={"x.lua": SCRIPT}) as farm:
        for _ in range(2):
            assert ask(farm.socket, farm.root / "x.lua").body == b'["aa"]false'
