"""The scripts of the benchmark exist for every peer and agree."""

import importlib
from hashlib import md5
from typing import Any

import pytest

from bench import script

PEERS = {"luafarm": "lua", "php": "php", "nginx": "lua", "apache": "lua"}
DIALECTS = ("luajit21", "lua51", "lua52", "lua53", "lua54", "lua55")


@pytest.mark.parametrize("peer", [*PEERS, "uwsgi"])
def test_each_peer_has_each_script(peer: str) -> None:
    suffix = PEERS.get(peer, "lua")
    names = {one.stem for one in (script.SCRIPTS / peer).glob(f"*.{suffix}")}
    assert {one.name for one in script.ALL} <= names


def test_expected_replies_are_what_they_say() -> None:
    replies = {one.name: one.reply for one in script.ALL}
    assert replies["test4"] == b"Hello World = e87940b6df45d47268e367509f466873"
    assert len(replies["big"]) == 100 * 1024
    assert replies["bench1"].count(b"\n") == 100


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_shim_computes_md5_of_base64_in_every_dialect(dialect: str) -> None:
    module: Any = importlib.import_module(f"lupa.{dialect}")
    lua = module.LuaRuntime(encoding=None)
    shim = script.SCRIPTS / "shim"
    digest = lua.execute((shim / "md5.lua").read_bytes())[b"digest"]
    encode = lua.execute((shim / "base64.lua").read_bytes())[b"encode"]
    for size in (*range(70), 119, 120, 1000):
        text = bytes(i * 7 % 256 for i in range(size))
        assert digest(encode(text)) == script._digest(text)
        assert digest(text) == md5(text).hexdigest().encode()
