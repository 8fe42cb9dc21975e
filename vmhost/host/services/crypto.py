"""Random bytes, digests and password hashes, by the kernel and OpenSSL.

RANDOM      how many bytes; answer: they, of the kernel
DIGEST      number of the digest, text; answer: its bytes
HMAC        number of the digest, key, text; answer: its bytes
EQUAL       two texts; answer: whether they are equal; the time does not tell where
SCRYPT      log2 of N, r, p, salt, password; answer: 32 bytes, no memory: none

The state answers them itself, in one value that the prelude has packed: a number is one
byte, in front of the rest; the length of all but the last text goes before it in four
bytes, the highest first. What the prelude hands out is within its own limits
(`module_luafarm_crypto.lua`), so the longest takes some tenths of a second, which count
as CPU time of the script.
"""

# Compiled.

import hashlib
import hmac
import os
from typing import Final

from vmhost.lua.operation import Operation

DIGESTS: Final = (
    "md5",
    "sha1",
    "sha224",
    "sha256",
    "sha384",
    "sha512",
    "sha3_224",
    "sha3_256",
    "sha3_384",
    "sha3_512",
)
"""By their numbers, which begin with 0; the Lua file has the same."""

_KEY_BYTES: Final = 32
_ROOM: Final = 1 << 20  # of OpenSSL beyond the 128 * N * r bytes of the algorithm


def _random(size: float) -> bytes:
    return os.urandom(int(size))


def _digest(packed: bytes) -> bytes:
    name = DIGESTS[packed[0]]
    return hashlib.new(name, memoryview(packed)[1:], usedforsecurity=False).digest()


def _hmac(packed: bytes) -> bytes:
    key, text = _split(packed[1:])
    return hmac.digest(key, text, DIGESTS[packed[0]])


def _equal(packed: bytes) -> bool:
    one, other = _split(packed)
    return hmac.compare_digest(one, other)


def _scrypt(packed: bytes) -> bytes:
    power, r, p = packed[0], packed[1], packed[2]
    salt, password = _split(packed[3:])
    try:
        return hashlib.scrypt(
            password,
            salt=salt,
            n=1 << power,
            r=r,
            p=p,
            maxmem=(128 * r << power) + 128 * r * p + _ROOM,
            dklen=_KEY_BYTES,
        )
    except (MemoryError, ValueError):  # of a process that may have no more
        return b""


def _split(packed: bytes) -> tuple[bytes, bytes]:
    size = int.from_bytes(packed[:4], "big")
    return packed[4 : 4 + size], packed[4 + size :]


OPERATIONS: Final = (
    Operation("RANDOM", 30, (int,), (bytes,), _random),
    Operation("DIGEST", 31, (bytes,), (bytes,), _digest),
    Operation("HMAC", 32, (bytes,), (bytes,), _hmac),
    Operation("EQUAL", 33, (bytes,), (bool,), _equal),
    Operation("SCRYPT", 34, (bytes,), (bytes,), _scrypt),
)
