"""Errors that tell of the moment, not of a file: they are gone when tried again."""

import errno
from typing import Final

_PASSING: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN})
"""Out of descriptors or memory; or (EAGAIN, open(2)) somebody has a lease on the file
and is asked to give it back."""


def is_passing(error: OSError) -> bool:
    """Say whether nothing is to be concluded from this error."""
    return error.errno in _PASSING
