"""Plans made from settings."""

from dataclasses import fields

from luafarm.config.settings import PoolSettings, ScriptSettings, Settings
from vmhost.supervisor import plan


def settings(**pool: PoolSettings) -> Settings:
    return Settings(pool=pool)


def hosts(config: Settings, cpus: int) -> list[int]:
    return [pool.hosts for pool in plan.pools(config, cpus)]


def test_one_pool_gets_two_hosts_a_processor_but_at_least_four() -> None:
    config = settings(main=PoolSettings())
    assert [hosts(config, cpus) for cpus in (1, 2, 8)] == [[4], [4], [16]]


def test_pools_share_what_is_not_set() -> None:
    config = settings(
        a=PoolSettings(), b=PoolSettings(), c=PoolSettings(hosts=7), d=PoolSettings()
    )
    assert hosts(config, 8) == [6, 6, 7, 6]


def test_no_pool_has_fewer_than_three_hosts_unless_it_says_so() -> None:
    config = settings(
        a=PoolSettings(), b=PoolSettings(), c=PoolSettings(), d=PoolSettings(hosts=1)
    )
    assert hosts(config, 1) == [3, 3, 3, 1]


def test_the_longest_task_is_the_longest_budget_of_any_script() -> None:
    config = Settings(
        pool={"main": PoolSettings(wall=30.0, load_wall=40.0)},
        script=(ScriptSettings(wall=5.0), ScriptSettings(wall=90.0), ScriptSettings()),
    )
    assert plan.pools(config, 1)[0].longest_s == 90.0


def test_no_settings_allow_a_longer_task_than_the_longest() -> None:
    for kind in (PoolSettings, ScriptSettings):
        most = {field.name: field.metadata["most"] for field in fields(kind)}
        assert most["wall"] + most["load_wall"] == plan.LONGEST_S


def test_policies_come_from_the_pool() -> None:
    pool = PoolSettings(
        trust="trusted", jit=True, cpath="/usr/lib/?.so", dialect="lua54"
    )
    found = plan.pools(settings(app=pool), 1)[0]
    assert (found.pool, found.trusted, found.jit) == ("app", True, True)
    assert (found.cpath, found.dialect) == ("/usr/lib/?.so", "lua54")


def test_a_sandboxed_pool_always_requires_what_makes_it_one() -> None:
    config = settings(
        a=PoolSettings(require_layers=("uid", "seccomp")),
        b=PoolSettings(trust="trusted", require_layers=("uid",)),
    )
    required = [pool.required for pool in plan.pools(config, 1)]
    assert required == [("no_new_privs", "seccomp", "uid"), ("uid",)]
