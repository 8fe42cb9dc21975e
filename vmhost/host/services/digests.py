"""Digests and base64, which Python computes quicker than Lua: answered in the state.

MD5 and MD5_HEX    bytes; answer: 16 bytes, or 32 digits
BASE64_ENCODE      bytes; answer: base64 without line ends
BASE64_DECODE      valid base64; answer: bytes
"""

# Compiled.

from binascii import a2b_base64, b2a_base64
from hashlib import md5
from typing import Final

from vmhost.lua.operation import Operation


def _md5(text: bytes) -> bytes:
    return md5(text, usedforsecurity=False).digest()


def _md5_hex(text: bytes) -> bytes:
    return md5(text, usedforsecurity=False).hexdigest().encode()


def _base64_encode(text: bytes) -> bytes:
    return b2a_base64(text, newline=False)


OPERATIONS: Final = (
    Operation("MD5", 10, (bytes,), (bytes,), _md5),
    Operation("MD5_HEX", 11, (bytes,), (bytes,), _md5_hex),
    Operation("BASE64_ENCODE", 12, (bytes,), (bytes,), _base64_encode),
    Operation("BASE64_DECODE", 13, (bytes,), (bytes,), a2b_base64),
)
