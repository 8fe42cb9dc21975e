"""A reload that cannot even be tried."""

import errno
import logging
import os

import pytest

from luafarm.command.inheritance import Inheritance
from luafarm.command.reload import Reload
from luafarm.process.pulse import Pulse


def gone() -> Inheritance:
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/gone/python")


def test_a_program_that_is_gone_is_named(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    reload = Reload(Pulse(), None, "")
    reload.want()
    reload.go_on(1.0, gone, lambda: True)
    assert "HUP: nothing is changed: it cannot be tried: /gone/python: No such" in (
        caplog.text
    )
