"""Closed standard descriptors do not fall to sockets."""

import subprocess
import sys

import pytest

PROGRAM = """
import os, socket
from luafarm.process import descriptors
descriptors.occupy()
sock = socket.socket()
os.write({report}, str(sock.fileno()).encode())
os.write(2, b"goes nowhere")
"""


@pytest.mark.process
@pytest.mark.parametrize("closed", ["<&-", ">&- 2>&-", "<&- >&- 2>&-", ""])
def test_no_socket_takes_the_place_of_a_closed_descriptor(closed: str) -> None:
    command = f'exec "$0" -c "$1" 9>&1 {closed}'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable, PROGRAM.format(report=9)],
        capture_output=True,
        check=True,
        timeout=120,
    )
    assert int(done.stdout) >= 3


CHILD = """
import os, subprocess, sys
from luafarm.process import descriptors
descriptors.occupy()
subprocess.run([sys.executable, "-c", "import os; [os.fstat(n) for n in (0, 1, 2)]"],
               check=True)
os.write(9, b"open")
"""


@pytest.mark.process
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_what_is_started_has_all_three(closed: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" 9>&1 {closed}', sys.executable, CHILD],
        capture_output=True,
        check=True,
        timeout=120,
    )
    assert done.stdout == b"open"
