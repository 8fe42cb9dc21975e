"""The scripts of the benchmark exist for every peer and agree."""

import pytest

from bench import script

PEERS = {"luafarm": "lua", "php": "php", "nginx": "lua", "apache": "lua"}


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
