"""What a supervisor that was started as root keeps of it: six capabilities.

To give every host a uid, namespaces and a root directory of its own, and to kill it
later, takes capabilities that amount to much of root; so the supervisor changes to the
configured user but cannot give up everything, unlike front and broker. It keeps them
permitted and uses only CAP_KILL itself; the zygote, which hears nobody else, gets
them through its ambient set. A farm whose supervisor must not have them at all is
started as an ordinary user: its hosts then share its uid and live in a user namespace.
"""

# Impure.

import os
import pwd
import signal
from typing import Final

from luafarm.process import prctl
from vmhost.sandbox import kernel

KEPT: Final = frozenset(
    {
        kernel.CAP_KILL,
        kernel.CAP_SETGID,
        kernel.CAP_SETUID,
        kernel.CAP_SETPCAP,
        kernel.CAP_SYS_CHROOT,
        kernel.CAP_SYS_ADMIN,
    }
)


def keep_few(uid: int, gid: int) -> None:
    """Change from root to a user for good and keep what hosts need.

    The kernel forgets the parent-death signal when the uid changes: it is set again.
    """
    parent, deadly = os.getppid(), prctl.parent_death_signal()
    kept = KEPT & kernel.permitted_capabilities()  # a container's root has fewer
    if kernel.CAP_SETPCAP in kept:
        kernel.drop_bounding_set(kept)
    prctl.change(prctl.PR_SET_KEEPCAPS, 1)
    os.initgroups(pwd.getpwuid(uid).pw_name, gid)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    kernel.set_capabilities(kept & {kernel.CAP_KILL}, kept)
    for capability in sorted(kept):
        prctl.change(prctl.PR_CAP_AMBIENT, prctl.PR_CAP_AMBIENT_RAISE, capability)
    if deadly and not prctl.tie(parent, deadly):
        os.kill(os.getpid(), signal.Signals(deadly))
