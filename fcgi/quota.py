"""A quota of bytes: what all temporary files of a front may take together."""

import errno


class Quota:
    """Bytes that may still be written."""

    def __init__(self, max_bytes: int) -> None:
        self.left = max_bytes

    def take(self, size: int) -> None:
        """Count bytes that are to be written. Raises OSError when they are too many."""
        if size > self.left:
            raise OSError(errno.ENOSPC, "[front] spool is used up")
        self.left -= size

    def give_back(self, size: int) -> None:
        """Count bytes that are gone."""
        self.left += size
