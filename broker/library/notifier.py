"""What the watcher needs of the kernel: inotify, and where it is silent."""

# Impure.

import ctypes
from collections.abc import Iterable
from typing import Final, Protocol

from inotify_simple import INotify

SILENT_FILE_SYSTEMS: Final = {
    0x6969: "nfs",
    0xFF534D42: "cifs",
    0xFE534D42: "smb2",
    0x517B: "smb",
    0x65735546: "fuse",
    0x01021997: "9p",
    0x00C36400: "ceph",
    0x5346414F: "afs",
    0x73757245: "coda",
    0x47504653: "gpfs",
    0x0BD00BD0: "lustre",
    0x7461636F: "ocfs2",
    0x01161970: "gfs2",
    0x786F4256: "vboxsf",
    0x6A656A63: "vmhgfs",
}
"""f_type of statfs(2) where changes made elsewhere give no event."""


class Notifier(Protocol):
    """What the watcher needs of inotify."""

    def fileno(self) -> int:
        """Return the descriptor that becomes readable."""
        ...

    def add_watch(self, path: bytes, mask: int) -> int:
        """Watch a directory; return its watch descriptor. Raise OSError."""
        ...

    def rm_watch(self, wd: int) -> None:
        """Watch it no more. Raise OSError."""
        ...

    def read(self, timeout: int) -> Iterable[tuple[int, int, int, str]]:
        """Return events: (watch descriptor, mask, cookie, name)."""
        ...

    def close(self) -> None:
        """End it."""
        ...


def new_inotify() -> Notifier:
    """Return an inotify instance. Raise OSError when there are too many."""
    instance: Notifier = INotify(nonblocking=True)
    return instance


_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def silent_file_system(path: bytes) -> str:
    """Return the file system's name when inotify cannot be relied on there."""
    # struct statfs of every 64-bit Linux is smaller, and begins with the type
    buffer = (ctypes.c_long * 32)()
    if _LIBC.statfs(ctypes.c_char_p(path), buffer) != 0:
        return ""
    return SILENT_FILE_SYSTEMS.get(buffer[0] & 0xFFFFFFFF, "")
