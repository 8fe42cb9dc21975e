"""The configuration of a VM host survives its way through the zygote."""

from luafarm.config.settings import Compat
from luafarm.keys.badges import Badge
from luafarm.names import HostId, Machine, Pool
from luafarm.wire.messages import Role
from vmhost.host.config import HostConfig, unpack


def test_every_field_survives_packing() -> None:
    config = HostConfig(
        HostId("m-p-1-00ff00ff"),
        Pool("p"),
        Machine("m"),
        "tcp://127.0.0.1:9",
        "lua54",
        True,
        True,
        "/usr/lib/?.so",
        7,
        1 << 30,
        2.5,
        ("lpeg", "cjson"),
        "lpeg\t/usr/lib/lpeg.so\n",
        b"secret",
        (
            Badge(b"front", Role.FRONT, Machine("web2"), "fcgi-web2.public"),
            Badge(b"broker", Role.BROKER, Machine(""), "broker.public"),
        ),
        Compat(handler="serve", buffering=False),
    )
    assert unpack(config.pack()) == config
