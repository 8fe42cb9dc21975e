"""CurveZMQ for `tcp://` endpoints: key files, sockets, and who may connect.

A directory of keys holds `ROLE.secret` (mode 0600) and `ROLE.public`. A process needs
the secret of its own role and the public keys of its peers. Whoever has a public key in
the directory whose name begins with a role is let in as that role: `fcgi.public`, and
`fcgi-web2.public` of a front with a key of its own on another machine. A file is one
line, the key in Z85 (ZeroMQ RFC 32).

Without a ZAP handler (ZeroMQ RFC 27) a CURVE server accepts any client's key, so every
server here names a ZAP domain, and `ZapHandler` denies what it does not know. It is a
socket for the caller's poll loop, not a thread.
"""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import zmq
from zmq.utils import z85

from luafarm import strangers
from luafarm.errors import SettingsError
from luafarm.settings import Security

ROLES: Final = ("broker", "vmhost", "fcgi", "command")
"""Whose keys there are. `command`: `luafarm status` and `luafarm reload`."""

DOMAIN: Final = "luafarm"

_PEERS: Final[dict[str, tuple[str, ...]]] = {
    "broker": ("fcgi", "vmhost", "command"),
    "vmhost": ("broker", "fcgi"),
    "fcgi": (),
    "command": (),
}
"""Which roles connect to the sockets that a role binds."""

_ZAP_ENDPOINT: Final = "inproc://zeromq.zap.01"  # fixed by RFC 27
_ZAP_VERSION: Final = b"1.0"
_ZAP_FRAMES: Final = 6  # version, request id, domain, address, identity, mechanism
_KEY_BYTES: Final = 40  # a Z85 key


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A CURVE key pair in Z85."""

    public: bytes
    secret: bytes


@dataclass(frozen=True, slots=True)
class Keys:
    """What a role needs to know of the directory of keys."""

    own: KeyPair
    broker: bytes  # the broker's public key; empty for the broker itself
    allowed: frozenset[bytes]  # public keys of those that may connect to this role


def is_wanted(security: Security, endpoint: str) -> bool:
    """Return whether a socket at this endpoint uses CURVE: tcp, once there are keys."""
    return bool(security.keys) and endpoint.startswith("tcp://")


def fresh() -> KeyPair:
    """Return a new key pair, for one incarnation of a VM host."""
    public, secret = zmq.curve_keypair()
    return KeyPair(public, secret)


def keygen(directory: Path) -> list[Path]:
    """Make the key pairs of all roles and return the files; overwrite nothing."""
    paths = [
        directory / f"{role}.{kind}" for role in ROLES for kind in ("secret", "public")
    ]
    present = next((path for path in paths if path.exists()), None)
    if present is not None:
        raise SettingsError(f"{present} exists already; nothing was changed")
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for role in ROLES:
            pair = fresh()
            _write(directory / f"{role}.secret", pair.secret, 0o600)
            _write(directory / f"{role}.public", pair.public, 0o644)
    except OSError as error:
        raise SettingsError(f"{error.filename}: {error.strerror}") from None
    return paths


def load(directory: Path, role: str) -> Keys:
    """Return the keys of a role. Raise SettingsError when one is missing or unsafe."""
    secret_file = directory / f"{role}.secret"
    secret = _read(secret_file, is_secret=True)
    try:
        own = KeyPair(zmq.curve_public(secret), secret)
    except zmq.ZMQError:
        raise SettingsError(f"{secret_file}: no CURVE key") from None
    broker = b"" if role == "broker" else _read(directory / "broker.public")
    return Keys(own, broker, allowed(directory, *_PEERS[role]))


def allowed(directory: Path, *roles: str) -> frozenset[bytes]:
    """Return the public keys of all that the directory knows in these roles."""
    paths = [path for role in roles for path in directory.glob(f"{role}*.public")]
    return frozenset([_read(path) for path in paths])


def serve(socket: "zmq.Socket[bytes]", pair: KeyPair) -> None:
    """Make a socket that will bind a CURVE server which asks the ZapHandler."""
    socket.curve_server = True
    socket.curve_secretkey = pair.secret
    socket.setsockopt_string(zmq.ZAP_DOMAIN, DOMAIN)
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)


def connect(socket: "zmq.Socket[bytes]", pair: KeyPair, server: bytes) -> None:
    """Make a socket that will connect a CURVE client of the server with this key."""
    socket.curve_serverkey = server
    socket.curve_publickey = pair.public
    socket.curve_secretkey = pair.secret


class ZapHandler:
    """Answers libzmq's question whether a client's key may connect.

    Poll `socket` for reading and call `handle` when it is readable. One per context;
    make it before the first server binds. While nobody calls `handle`, nobody gets in.
    """

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        allowed_keys: Collection[bytes],
        domain: str = DOMAIN,
    ) -> None:
        self.denied = 0
        self._domain = domain.encode()
        self._allowed: frozenset[bytes] = frozenset()
        self.allow(allowed_keys)
        self.socket: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.bind(_ZAP_ENDPOINT)

    def allow(self, keys: Collection[bytes]) -> None:
        """Let exactly these public keys (Z85) connect from now on."""
        self._allowed = frozenset([z85.decode(key) for key in keys])

    def handle(self) -> None:
        """Answer everything that has been asked."""
        while True:
            try:
                frames = self.socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            split = frames.index(b"") + 1 if b"" in frames else 1
            envelope, request = frames[:split], frames[split:]
            if len(request) < _ZAP_FRAMES or request[0] != _ZAP_VERSION:
                continue  # not libzmq: only this process can reach the endpoint
            self.socket.send_multipart([*envelope, *self._answer(request)])

    def close(self) -> None:
        """Close the socket: nobody gets in any more."""
        self.socket.close()

    def _answer(self, request: list[bytes]) -> list[bytes]:
        _, request_id, domain, _, _, mechanism, *credentials = request
        user = b""
        if mechanism == b"CURVE" and domain == self._domain and len(credentials) == 1:
            key = credentials[0]
            user = z85.encode(key) if key in self._allowed else b""
        if not user:
            self.denied += 1
            status = [b"400", b"not allowed"]
        else:
            status = [b"200", b"OK"]
        return [_ZAP_VERSION, request_id, *status, user, b""]


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
    try:
        is_key = len(key) == _KEY_BYTES and bool(z85.decode(key))
    except Exception:  # noqa: BLE001 - z85 raises what its arithmetic meets
        is_key = False
    if not is_key:
        raise SettingsError(f"{path}: no CURVE key")
    return key


def _write(path: Path, key: bytes, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as stream:
        stream.write(key + b"\n")
