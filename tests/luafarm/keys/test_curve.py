"""Key files: made, read, and what their names say."""

import os
import stat
from pathlib import Path

import pytest

from luafarm.config.settings import Security
from luafarm.errors import SettingsError
from luafarm.keys import curve
from luafarm.keys.curve import KeyPair
from luafarm.names import Machine
from luafarm.wire.messages import Role

BOX = Machine("box")


def test_keygen_makes_a_pair_for_each_role(tmp_path: Path) -> None:
    paths = curve.keygen(tmp_path / "keys")
    assert sorted(path.name for path in paths) == [
        "broker.public",
        "broker.secret",
        "command.public",
        "command.secret",
        "fcgi.public",
        "fcgi.secret",
        "vmhost.public",
        "vmhost.secret",
    ]
    for path in paths:
        mode = 0o600 if path.suffix == ".secret" else 0o644
        assert stat.S_IMODE(path.stat().st_mode) == mode
    assert len({path.read_bytes() for path in paths}) == len(paths)


def test_keygen_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "vmhost.secret").write_text("mine")
    with pytest.raises(SettingsError, match=r"vmhost\.secret exists already"):
        curve.keygen(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["vmhost.secret"]


def test_a_role_loads_its_pair_and_the_brokers_key(tmp_path: Path) -> None:
    curve.keygen(tmp_path)
    read = {path.name: path.read_bytes().strip() for path in tmp_path.iterdir()}
    keys = curve.load(tmp_path, "vmhost", BOX)
    assert keys.own == KeyPair(read["vmhost.public"], read["vmhost.secret"])
    assert keys.broker == read["broker.public"]
    assert curve.load(tmp_path, "broker", BOX).broker == b""


def test_the_name_of_a_public_key_says_who_has_it(tmp_path: Path) -> None:
    curve.keygen(tmp_path)
    curve.keygen(tmp_path, ["vmhost-node2", "fcgi-web.example-3"])
    # neither words of ours nor names of machines: other files are left alone
    for name in ("vmhosts", "fcgi-", "fcgi_a", "broker-b", "vmhost-a b", "x", "fcgi2"):
        (tmp_path / f"{name}.public").write_text("no key at all")
    read = {path.name: path.read_bytes().strip() for path in tmp_path.glob("*.public")}
    assert {(b.file, b.role, b.machine) for b in curve.badges(tmp_path).all} == {
        ("broker.public", Role.BROKER, ""),
        ("command.public", Role.COMMAND, ""),
        ("fcgi.public", Role.FRONT, ""),
        ("fcgi-web.example-3.public", Role.FRONT, "web.example-3"),
        ("vmhost.public", Role.SUPERVISOR, ""),
        ("vmhost-node2.public", Role.SUPERVISOR, "node2"),
    }
    for badge in curve.badges(tmp_path).all:
        assert badge.key == read[badge.file]


def test_a_machine_with_a_key_of_its_own_uses_it(tmp_path: Path) -> None:
    curve.keygen(tmp_path)
    curve.keygen(tmp_path, ["vmhost-node2"])
    own = curve.load(tmp_path, "vmhost", Machine("node2")).own
    assert own.secret == (tmp_path / "vmhost-node2.secret").read_bytes().strip()
    assert own.file == str(tmp_path / "vmhost-node2.secret")
    other = curve.load(tmp_path, "vmhost", Machine("node3")).own
    assert other.secret == (tmp_path / "vmhost.secret").read_bytes().strip()


def test_keygen_makes_keys_of_machines_beside_those_that_are_there(
    tmp_path: Path,
) -> None:
    curve.keygen(tmp_path)
    paths = curve.keygen(tmp_path, ["vmhost-node2", "command-node2"])
    assert [path.name for path in paths] == [
        "vmhost-node2.secret",
        "vmhost-node2.public",
        "command-node2.secret",
        "command-node2.public",
    ]
    with pytest.raises(SettingsError, match=r"vmhost-node2\.secret exists already"):
        curve.keygen(tmp_path, ["fcgi-web2", "vmhost-node2"])
    assert not (tmp_path / "fcgi-web2.secret").exists()


@pytest.mark.parametrize(
    "name", ["node2", "vmhost", "vmhost-", "broker-b", "vmhost-../x", "host-node2", ""]
)
def test_keygen_makes_no_key_that_nobody_would_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="vmhost-MACHINE, fcgi-MACHINE, command-M"):
        curve.keygen(tmp_path / "keys", ["vmhost-ok", name])
    assert not (tmp_path / "keys").exists()


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    curve.keygen(tmp_path)
    (tmp_path / "fcgi.secret").chmod(0o640)
    with pytest.raises(SettingsError, match="others can read it"):
        curve.load(tmp_path, "fcgi", BOX)


def test_a_key_that_others_may_write_is_refused(tmp_path: Path) -> None:
    curve.keygen(tmp_path)
    (tmp_path / "broker.public").chmod(0o666)
    with pytest.raises(SettingsError, match=r"broker\.public may be written by others"):
        curve.load(tmp_path, "fcgi", BOX)
    with pytest.raises(SettingsError, match=r"broker\.public may be written by others"):
        curve.badges(tmp_path)


@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_a_directory_in_which_others_may_put_keys_is_refused(
    tmp_path: Path, mode: int
) -> None:
    keys = tmp_path / "keys"
    curve.keygen(keys)
    keys.chmod(mode)
    for look in (lambda: curve.load(keys, "fcgi", BOX), lambda: curve.badges(keys)):
        with pytest.raises(SettingsError, match="keys may be written by others"):
            look()


def test_a_directory_that_others_may_exchange_is_refused(tmp_path: Path) -> None:
    keys = tmp_path / "shared" / "keys"
    curve.keygen(keys)
    (tmp_path / "shared").chmod(0o777)
    with pytest.raises(SettingsError, match="shared may be written by others"):
        curve.load(keys, "fcgi", BOX)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_key_of_a_stranger_is_refused(tmp_path: Path) -> None:
    curve.keygen(tmp_path)
    os.chown(tmp_path / "fcgi.public", 4711, -1)
    with pytest.raises(SettingsError, match=r"fcgi\.public belongs to uid 4711"):
        curve.badges(tmp_path)
    curve.load(tmp_path, "fcgi", BOX)  # which it is not asked for
    for file in (tmp_path, *tmp_path.iterdir()):
        os.chown(file, 4711, -1)
    curve.load(tmp_path, "broker", BOX)  # the whole directory is one user's


@pytest.mark.parametrize("content", [b"", b"x" * 40 + b"\xff", b"~" * 40, b"x" * 39])
def test_what_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    curve.keygen(tmp_path)
    (tmp_path / "broker.public").write_bytes(content)
    with pytest.raises(SettingsError, match=r"broker\.public: no CURVE key"):
        curve.load(tmp_path, "fcgi", BOX)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"fcgi\.secret: No such file"):
        curve.load(tmp_path, "fcgi", BOX)


def test_curve_is_for_tcp_once_there_are_keys() -> None:
    with_keys = Security(keys="/keys")
    assert curve.is_wanted(with_keys, "tcp://127.0.0.1:1")
    assert not curve.is_wanted(with_keys, "ipc:///x")
    assert not curve.is_wanted(Security(), "tcp://127.0.0.1:1")
