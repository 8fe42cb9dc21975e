"""Layers as values."""

from vmhost.sandbox.layers import Layer, lacking

NETNS = Layer("netns", holds=True, detail="none")
UID = Layer("uid", holds=False, detail="not root")


def test_only_required_layers_that_do_not_hold_are_lacking() -> None:
    assert lacking([NETNS, UID], ["netns"]) == []
    assert lacking([NETNS, UID], []) == []
    assert lacking([NETNS, UID], ["uid", "netns"]) == ["uid: not root"]


def test_a_layer_that_does_not_exist_is_lacking() -> None:
    assert lacking([NETNS], ["selinux"]) == ["selinux: no such layer here"]
