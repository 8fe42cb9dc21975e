"""The identifiers that appear in messages, logs and tables."""

import re
from typing import Final, NewType

Script = NewType("Script", bytes)
"""A script: its normalised absolute path as requested, bytes of the file system."""

HostId = NewType("HostId", str)
"""One incarnation of a VM host: never used again after its process ended."""

Pool = NewType("Pool", str)
"""A named set of VM hosts with one policy."""

Machine = NewType("Machine", str)
"""The name under which a supervisor announces the machine it runs on."""

RequestId = NewType("RequestId", int)
"""One attempt at one request, 63 random bits, chosen by the front."""

Epoch = NewType("Epoch", int)
"""A generation of a script, counted by the broker: `term << 40 | n`. 0 means none."""

TERM_SHIFT: Final = 40
"""Bits of an epoch below the broker's term, so that a new broker always counts on."""

MACHINE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,62}", re.ASCII)
"""What a name of a machine is made of."""

LAYERS: Final = (
    "fds",
    "utsns",
    "netns",
    "ipcns",
    "root",
    "rlimits",
    "capbset",
    "uid",
    "capabilities",
    "no_new_privs",
    "undumpable",
    "mdwe",
    "pdeathsig",
    "landlock",
    "seccomp",
)
"""The layers of the sandbox, in the order in which they are applied."""
