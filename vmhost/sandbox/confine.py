"""Confinement of a VM host process, layer by layer, in the one order that works.

`enter` takes everything away that must go before the host starts threads: inherited
fds, namespaces, limits, its uid, capabilities, the file system. The host then makes its
threads and compiles its prelude; `seal` loads the system call filter over all
threads and tries whether it holds. Landlock does not reach threads that already run,
the filter would kill libzmq while it starts: hence the two steps.

A layer that cannot be had here (no root, an old kernel, a container that forbids it) is
reported with the reason, never raised; `vmhost.sandbox.layers` names them all.
Trusted pools keep their files, network and programs: they get limits, a uid where one
is given and the bond to the supervisor's life.
"""

# Impure.

import errno
import fcntl
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Final

from luafarm.process import prctl
from vmhost.sandbox import kernel, landlock, seccomp
from vmhost.sandbox.layers import Layer

_FDS: Final = 64  # listening socket, its own few, one per front and broker
_FDS_WITH_KEYS: Final = 1024
"""With keys its socket is in a network: whoever reaches it has a connection until the
handshake is over (`luafarm.keys.curve`), and must not keep out those who have a key."""

_TRUSTED_FDS: Final = 1024  # scripts of trusted pools open files and sockets
_PROCESSES: Final = 64  # threads of one host and of who else has its uid: 4 each
_ROOT_OPTIONS: Final = "size=4k,nr_inodes=2,mode=755"


@dataclass(frozen=True, slots=True)
class Confinement:
    """What a host process is to be confined to."""

    trusted: bool
    jit: bool  # executable memory is allowed
    keys: bool  # it serves with keys: libzmq is in it
    supervisor: int  # pid of the process whose end is its own
    uid: int | None  # None: it keeps uid, gid and groups as they are
    gid: int
    groups: tuple[int, ...]
    address_space: int  # bytes
    empty: str  # an empty directory, the root where a mount namespace is not allowed


class _MissingError(Exception):
    """A layer cannot be had; the text is the reason."""


@cache
def prepare() -> landlock.Taken | None:
    """Find out what the kernel offers, once, in the process that forks the hosts."""
    try:
        return landlock.rights()
    except OSError:
        return None


def enter(wanted: Confinement, keep: Sequence[int]) -> list[Layer]:
    """Confine this freshly forked, single-threaded process; `seal` must follow.

    keep: the fds besides 0, 1 and 2 that stay open. Raise ProcessLookupError when the
    supervisor is gone.
    """
    layers = [_attempt("fds", lambda: _close_fds(keep))]
    if not wanted.trusted:
        keep_zone()
        layers += _leave_namespaces(wanted)
    layers.append(_attempt("rlimits", lambda: _limit(wanted)))
    if not wanted.trusted:  # needs a capability that goes with the uid
        layers.append(_attempt("capbset", _drop_bounding_set))
    layers.append(_attempt("uid", lambda: _change_uid(wanted)))
    if not wanted.trusted or os.geteuid() != 0:  # a trusted root stays what it is
        layers.append(_attempt("capabilities", _drop_capabilities))
    if not wanted.trusted:
        layers += [
            _attempt("no_new_privs", _forbid_new_privileges),
            _attempt("undumpable", _forbid_dumps),
            _attempt("mdwe", lambda: _forbid_new_code(wanted)),
        ]
    layers.append(_attempt("pdeathsig", lambda: _die_with(wanted.supervisor)))
    if not wanted.trusted:
        layers.append(_attempt("landlock", _give_up_files))
    for number in (signal.SIGALRM, signal.SIGPROF, signal.SIGXCPU):
        signal.signal(number, signal.SIG_DFL)  # the kernel's own end of a budget
    return layers


def seal(wanted: Confinement) -> list[Layer]:
    """Filter the system calls of all threads for good; the layers that adds."""
    if wanted.trusted:
        return []
    return [_attempt("seccomp", lambda: _filter_calls(wanted))]


def keep_zone() -> None:
    """Read the machine's time zone, and hold on to it when its file is out of reach.

    Without TZ the C library looks at /etc/localtime again whenever mktime is called,
    and takes UTC for all that follows when the file is gone. With TZ it does not look
    again.
    """
    time.tzset()  # as it is now: the next look finds the same name and reads nothing
    os.environ.setdefault("TZ", ":/etc/localtime")
    time.tzset()


def _attempt(name: str, step: Callable[[], str]) -> Layer:
    try:
        return Layer(name, holds=True, detail=step())
    except _MissingError as reason:
        return Layer(name, holds=False, detail=str(reason))
    except ProcessLookupError:
        raise
    except OSError as error:
        return Layer(name, holds=False, detail=error.strerror or str(error))


def _close_fds(keep: Sequence[int]) -> str:
    first = 3
    for fd in sorted(keep):
        if fd > first:
            _close_range(first, fd - 1)
        first = fd + 1
    _close_range(first, 0xFFFFFFFF)
    return f"{3 + len(keep)} open"


def _close_range(first: int, last: int) -> None:
    try:
        kernel.close_from(first, last)
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        highest = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        os.closerange(first, min(last + 1, highest))


def _leave_namespaces(wanted: Confinement) -> list[Layer]:
    def leave_uts() -> str:
        return _leave(kernel.CLONE_NEWUTS, "own host name")

    utsns = _attempt("utsns", leave_uts)
    if not utsns.holds:
        _become_master_of_own_namespaces()
        utsns = _attempt("utsns", leave_uts)
    return [
        utsns,
        _attempt("netns", lambda: _leave(kernel.CLONE_NEWNET, "no network interface")),
        _attempt("ipcns", lambda: _leave(kernel.CLONE_NEWIPC, "no shared memory")),
        _attempt("root", lambda: _empty_root(wanted.empty)),
    ]


def _become_master_of_own_namespaces() -> None:
    """Enter a user namespace, where an ordinary user may leave the others.

    Only its own uid exists there. The namespaces that cannot be left say so themselves.
    """
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        return  # root without CAP_SYS_ADMIN: there it could not change its uid any more
    try:
        prctl.change(prctl.PR_SET_DUMPABLE, 1)  # else /proc/self belongs to root
        kernel.unshare(kernel.CLONE_NEWUSER)
        _write("/proc/self/uid_map", f"{uid} {uid} 1")
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/gid_map", f"{gid} {gid} 1")
    except OSError:
        return


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _leave(flag: int, detail: str) -> str:
    kernel.unshare(flag)
    return detail


def _empty_root(empty: str) -> str:
    try:
        kernel.unshare(kernel.CLONE_NEWNS)
        kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE, "")
        harmless = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
        mount_point = "/tmp"  # noqa: S108 - any directory that exists everywhere
        kernel.mount(
            "none", mount_point, "tmpfs", harmless | kernel.MS_RDONLY, _ROOT_OPTIONS
        )
        kernel.enter_root(mount_point)
    except OSError as error:
        try:
            os.chroot(empty)
        except OSError:
            raise error from None
        os.chdir("/")
        how = "chroot to an empty directory"
    else:
        how = "an empty file system, read only"
    if os.listdir("/"):  # noqa: PTH208 - names only
        raise _MissingError(f"self-test: {how} has files")
    return how


def _limit(wanted: Confinement) -> str:
    own = _FDS_WITH_KEYS if wanted.keys else _FDS
    fds = _TRUSTED_FDS if wanted.trusted else own
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, fds)
    _lower(resource.RLIMIT_AS, wanted.address_space)
    if wanted.trusted:
        return f"{fds} fds, {wanted.address_space >> 20} MiB address space"
    _lower(resource.RLIMIT_FSIZE, 0)
    _lower(resource.RLIMIT_MSGQUEUE, 0)
    threads = "threads not limited"
    if wanted.uid is not None:  # the limit counts whatever else runs under the uid
        _lower(resource.RLIMIT_NPROC, _PROCESSES)
        threads = f"{_PROCESSES} threads"
    space = wanted.address_space >> 20
    return f"{fds} fds, {threads}, {space} MiB address space, no file writes, no core"


def _lower(which: int, most: int) -> None:
    hard = resource.getrlimit(which)[1]
    value = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(which, (value, value))


def _change_uid(wanted: Confinement) -> str:
    if wanted.uid is None:
        if os.geteuid() == 0:
            raise _MissingError("runs as root: no uid is set for it")
        raise _MissingError(f"started without root: shares uid {os.geteuid()}")
    os.setgroups(wanted.groups)
    os.setresgid(wanted.gid, wanted.gid, wanted.gid)
    os.setresuid(wanted.uid, wanted.uid, wanted.uid)
    return f"uid {wanted.uid}"


def _drop_bounding_set() -> str:
    kernel.drop_bounding_set()
    return "no capability can be gained"


def _drop_capabilities() -> str:
    prctl.change(prctl.PR_CAP_AMBIENT, prctl.PR_CAP_AMBIENT_CLEAR_ALL)
    kernel.set_capabilities(frozenset(), frozenset())
    if os.geteuid() != 0:
        # EINVAL: there is no root in this user namespace
        _expect("setuid", {errno.EPERM, errno.EINVAL}, lambda: os.setresuid(0, 0, 0))
    return "none held"


def _forbid_new_privileges() -> str:
    prctl.change(prctl.PR_SET_NO_NEW_PRIVS, 1)
    return "programs would gain nothing"


def _forbid_dumps() -> str:
    prctl.change(prctl.PR_SET_DUMPABLE, 0)
    return "not to be traced or dumped"


def _forbid_new_code(wanted: Confinement) -> str:
    if wanted.jit:
        raise _MissingError("the just-in-time compiler is on")
    try:
        prctl.change(prctl.PR_SET_MDWE, prctl.PR_MDWE_REFUSE_EXEC_GAIN)
    except OSError:
        raise _MissingError("this kernel cannot; Linux 6.3 can") from None
    _expect("mprotect", {errno.EACCES}, kernel.try_new_code)
    return "memory never becomes executable"


def _die_with(supervisor: int) -> str:
    prctl.change(prctl.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor:
        raise ProcessLookupError(errno.ESRCH, "the supervisor is gone")
    return "dies with the supervisor"


def _give_up_files() -> str:
    held = prepare()
    if held is None:
        raise _MissingError("this kernel has no Landlock")
    landlock.give_up(held)
    _expect("open", {errno.EACCES}, lambda: os.close(os.open("/", os.O_RDONLY)))
    if held.network:
        _expect("bind", {errno.EACCES}, _try_to_bind)
    if held.scopes:
        _expect("kill", {errno.EPERM}, lambda: os.kill(os.getppid(), 0))
    return held.detail


def _try_to_bind() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))


def _filter_calls(wanted: Confinement) -> str:
    processor = kernel.architecture()
    if processor is None:
        raise _MissingError(f"no table of system calls for {os.uname().machine}")
    listed = seccomp.rules(os.getpid(), jit=wanted.jit, keys=wanted.keys)
    kernel.load_filter(seccomp.compile_rules(listed, processor))
    # by a path that exists: ENOENT can come from the filter only
    _expect("open", {errno.ENOENT}, lambda: os.close(os.open("/", os.O_RDONLY)))
    _expect("fcntl", {errno.EPERM}, lambda: fcntl.fcntl(0, fcntl.F_GETOWN))
    for name, values in seccomp.probes(jit=wanted.jit):
        _expect(name, {errno.EPERM}, partial(kernel.syscall, name, *values))
    code = "new code allowed" if wanted.jit else "no new code"
    return f"{len(listed)} rules on all threads, {code}"


def _expect(what: str, codes: set[int], attempt: Callable[[], object]) -> None:
    """Try what must fail; when it does not fail as it should, the layer is missing."""
    try:
        attempt()
    except OSError as error:
        if error.errno in codes:
            return
        raise _MissingError(f"self-test: {what} answered {error.strerror}") from None
    raise _MissingError(f"self-test: {what} was allowed")
