"""The trial of a new program before a farm goes on with it.

It is started beside the old one, with the same command line, reads the settings, looks
whether it could serve with them, and ends (`luafarm.command.inheritance`).
"""

# Impure.

import contextlib
import os
import subprocess
import time
from typing import Final

import msgspec

from luafarm import again
from luafarm.command import inheritance
from luafarm.command.inheritance import Inheritance
from luafarm.process import children

PATIENCE_S: Final = 30.0

_MOST_SAID: Final = 4096
_WHO: Final = "luafarm: configuration: "
_PLACE: Final = '  File "'  # in a traceback


class Trial:
    """A new program that is tried. `verdict` is to be asked until it is there."""

    def __init__(self, left: Inheritance) -> None:
        """Start it. Raise OSError."""
        self._since = time.monotonic()
        tried = msgspec.structs.replace(left, is_trial=True)
        with inheritance.environment(tried) as variables:
            self._process = subprocess.Popen(
                again.command(),
                env=variables,
                close_fds=False,  # what was handed in (`fd:N`), as after an `exec`
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                preexec_fn=children.tie(),  # noqa: PLW1509 - one thread
            )
        assert self._process.stderr is not None
        self._errors = self._process.stderr
        os.set_blocking(self._errors.fileno(), False)
        self._said = b""

    def close(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()
        self._errors.close()

    def verdict(self, now: float) -> str | None:
        """Return why it could not serve, empty if it could; None: not known yet."""
        code = self._process.poll()
        with contextlib.suppress(
            BlockingIOError
        ):  # all that it said, once it has ended
            self._said = (self._said + (self._errors.read() or b""))[-_MOST_SAID:]
        if code is None:
            if now - self._since < PATIENCE_S:
                return None
            self.close()
            return f"it has not said in {PATIENCE_S:g} s whether it could serve"
        self._errors.close()
        if not code:
            return ""
        lines = self._said.decode("utf-8", "backslashreplace").strip().splitlines()
        if not lines:
            return f"exit code {code}"
        places = [line.strip() for line in lines if line.startswith(_PLACE)]
        return "; ".join([lines[-1].removeprefix(_WHO), *places[-1:]])
