"""CurveZMQ for `tcp://` endpoints: key files and sockets.

A directory of keys holds `ROLE.secret` (mode 0600) and `ROLE.public`, and for machines
with a key of their own `ROLE-MACHINE.secret` and `ROLE-MACHINE.public`. A process needs
one secret and the public keys of all that it meets. What the owner of a key may be is
in the name of its file (`luafarm.keys.badges`). A file is one line, the key in Z85
(ZeroMQ RFC 32). Without a `luafarm.keys.zap.ZapHandler` a CURVE server accepts any
client's key.
"""

# Impure.

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import zmq
from zmq.utils import z85

from luafarm import strangers
from luafarm.config.settings import Security
from luafarm.errors import SettingsError
from luafarm.keys.badges import ROLES, Badge, Badges
from luafarm.names import MACHINE, Machine

DOMAIN: Final = "luafarm"
"""The ZAP domain of all our servers (ZeroMQ RFC 27)."""

_SHARED: Final = "broker"
"""The role of which there is one: all know its key by the name of the role."""

_SERVERS: Final = ("broker", "vmhost")
"""The roles that others call: who calls must be known to them."""

KEY_BYTES: Final = 40
"""Of a key in Z85."""

_HANDSHAKE_MS: Final = 5000
"""Whoever has not shown a key by then is sent away: each costs a descriptor."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A CURVE key pair in Z85."""

    public: bytes
    secret: bytes
    file: str = field(default="", compare=False)  # of the secret, for the log


@dataclass(frozen=True, slots=True)
class Keys:
    """What a role needs to know of the directory of keys."""

    own: KeyPair
    broker: bytes  # the broker's public key; empty for the broker itself
    badges: Badges  # of all public keys, if others call this role


def is_wanted(security: Security, endpoint: str) -> bool:
    """Return whether a socket at this endpoint uses CURVE: tcp, once there are keys."""
    return bool(security.keys) and endpoint.startswith("tcp://")


def is_key(text: bytes) -> bool:
    """Return whether this is a key in Z85."""
    try:
        return len(text) == KEY_BYTES and bool(z85.decode(text))
    except Exception:  # noqa: BLE001 - z85 raises what its arithmetic meets
        return False


def fresh() -> KeyPair:
    """Return a new key pair, for one incarnation of a VM host."""
    public, secret = zmq.curve_keypair()
    return KeyPair(public, secret)


def keygen(directory: Path, names: Sequence[str] = ()) -> list[Path]:
    """Make key pairs and return the files; overwrite nothing.

    names: `ROLE-MACHINE` of those with a key of their own; none: one for each role.
    """
    for name in names:
        _check_name(name)
    names = names or list(ROLES)
    paths = [
        directory / f"{name}.{kind}" for name in names for kind in ("secret", "public")
    ]
    present = next((path for path in paths if path.exists()), None)
    if present is not None:
        raise SettingsError(f"{present} exists already; nothing was changed")
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in names:
            pair = fresh()
            _write(directory / f"{name}.secret", pair.secret, 0o600)
            _write(directory / f"{name}.public", pair.public, 0o644)
    except OSError as error:
        raise SettingsError(f"{error.filename}: {error.strerror}") from None
    return paths


def load(directory: Path, role: str, machine: Machine) -> Keys:
    """Return the keys of a role on a machine: its own ones, or those of the role.

    Raise SettingsError when one is missing or unsafe.
    """
    try:
        return _load(directory, role, machine)
    except SettingsError as error:
        line = f'[security] keys = "{directory}": {error}'
        raise SettingsError(line, "security.keys") from None


def _load(directory: Path, role: str, machine: Machine) -> Keys:
    secret_file = directory / f"{role}.secret"
    own_file = directory / f"{role}-{machine}.secret"
    if role != _SHARED and os.path.lexists(own_file):
        secret_file = own_file
    secret = _read(secret_file, is_secret=True)
    try:
        own = KeyPair(zmq.curve_public(secret), secret, str(secret_file))
    except zmq.ZMQError:
        raise SettingsError(f"{secret_file}: no CURVE key") from None
    broker = b"" if role == _SHARED else _read(directory / f"{_SHARED}.public")
    met = badges(directory) if role in _SERVERS else Badges(())
    return Keys(own, broker, met)


def badges(directory: Path) -> Badges:
    """Return what the public keys of a directory allow; other files are none of ours.

    Raise SettingsError when one is no key.
    """
    found: list[Badge] = []
    for path in sorted(directory.glob("*.public")):
        word, dash, machine = path.name.removesuffix(".public").partition("-")
        role = ROLES.get(word)
        if role is None or (dash and not _is_named(word, machine)):
            continue
        found.append(Badge(_read(path), role, Machine(machine), path.name))
    return Badges(found)


def serve(socket: "zmq.Socket[bytes]", pair: KeyPair) -> None:
    """Make a socket that will bind a CURVE server which asks the ZapHandler."""
    socket.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
    socket.curve_server = True
    socket.curve_secretkey = pair.secret
    socket.setsockopt_string(zmq.ZAP_DOMAIN, DOMAIN)
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)


def connect(socket: "zmq.Socket[bytes]", pair: KeyPair, server: bytes) -> None:
    """Make a socket that will connect a CURVE client of the server with this key."""
    socket.curve_serverkey = server
    socket.curve_publickey = pair.public
    socket.curve_secretkey = pair.secret


def _is_named(role: str, machine: str) -> bool:
    return role != _SHARED and MACHINE.fullmatch(machine) is not None


def _check_name(name: str) -> None:
    role, _, machine = name.partition("-")
    if role not in ROLES or not _is_named(role, machine):
        roles = ", ".join(f"{role}-MACHINE" for role in ROLES if role != _SHARED)
        raise SettingsError(f"{name} names no key of a machine; one of {roles} does")


def _read(path: Path, *, is_secret: bool = False) -> bytes:
    """Return a key; whose file it may be the owner of the directory decides."""
    try:
        circle = strangers.own_circle().with_uid(path.parent.stat().st_uid)
        strangers.check(path.parent, circle)
        key = strangers.read(path, circle, is_secret=is_secret).strip()
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
    except strangers.StrangerError as wrong:
        raise SettingsError(f"a key is not safe: {wrong}") from None
    if not is_key(key):
        raise SettingsError(f"{path}: no CURVE key")
    return key


def _write(path: Path, key: bytes, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as stream:
        stream.write(key + b"\n")
