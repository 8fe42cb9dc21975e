"""C modules in the VM hosts of a live farm, confined ones too."""

import pytest

from luafarm.dialects import Dialect
from luafarm.process import cplaces
from tests.farm.client import ask
from tests.farm.farms import directory, hosts_of, kill, until, up
from tests.native import ANSWER, build

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


ANSWERS = """
function main(env, con) con:puts(tostring(require("v1-answer"))) end
"""


def test_a_module_that_is_exchanged_for_junk_costs_a_line_and_not_the_farm() -> None:
    with directory() as place:
        file = build(place / "v1-answer.so", ANSWER.format(name="answer"))
        pool = f'c_modules = ["v1-answer"]\ncpath = "{place}/?.so"'
        with up(hosts=1, pool=pool, files={"x.lua": ANSWERS}) as farm:
            assert ask(farm.socket, farm.root / "x.lua").body == b"42"
            good = file.rename(place / "good")
            file.write_text("junk")
            kill(*hosts_of(farm))
            line = (
                "reason=failed: a C module of its pool cannot be opened\n"
                f"\t[pool.web] c_modules: C module v1-answer for luajit21: {file} "
                "cannot be loaded: file too short\n"
            )
            until(lambda: line in farm.log(), "a VM host says why it ends")
            assert "Traceback" not in farm.log()
            good.rename(file)
            until(lambda: bool(hosts_of(farm)), "a VM host starts")
            assert ask(farm.socket, farm.root / "x.lua").body == b"42"
