"""The run directory: where the processes of one machine meet, and nobody else.

It has mode 0700, belongs to the user that runs the farm, and holds the broker's socket
(`broker.sock`), one socket per VM host (`h/`), the supervisors' notices
(`notices-NUMBER.sock`) and one lock per role (`ROLE.pid`), because a second `bind` of
an ipc endpoint steals the path of the first without an error.
"""

# Impure.

import contextlib
import errno
import fcntl
import os
import pwd
import re
import socket
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from luafarm import strangers
from luafarm.config.endpoints import check_socket_path
from luafarm.config.settings import Paths, Settings
from luafarm.errors import SettingsError
from luafarm.names import Machine

_SYSTEM: Final = Path("/run/luafarm")
_HOSTS: Final = "h"
_MOST_NOTED: Final = 1000  # bytes
_OURS: Final = re.compile(r"h|empty|broker\.term|.+\.(?:pid|sock)")
"""Names of what a farm leaves behind."""


def locate(paths: Paths) -> Path:
    """Return where the run directory is, whether or not it exists."""
    if paths.run:
        return Path(paths.run)
    return default(os.geteuid(), os.environ.get("XDG_RUNTIME_DIR", ""))


def default(uid: int, runtime: str) -> Path:
    """Return the run directory of a user whose XDG_RUNTIME_DIR is `runtime`."""
    if uid == 0:
        return _SYSTEM
    if runtime and Path(runtime).is_dir():
        return Path(runtime) / "luafarm"
    return Path(tempfile.gettempdir()) / f"luafarm-{uid}"


def prepare(paths: Paths, user: str = "") -> Path:
    """Make the run directory and return it; raise SettingsError if it is not safe.

    user: to whom it belongs when root makes it for processes that give up root. One
    that root has used before is given to that user.
    """
    run = locate(paths)
    owner = os.geteuid()
    if user and owner == 0:
        owner = _uid(user)
    for directory in (run, run / _HOSTS):
        _make(run, directory)
        _check(run, directory, owner)
        if directory.lstat().st_uid != owner:
            _give(run, directory, owner)
    try:
        strangers.check(run, strangers.own_circle().with_uid(owner))
    except strangers.StrangerError as wrong:
        raise _refusal(run, f"{wrong}, and so could put another in its place") from None
    _check_length(run)
    return run


def broker_endpoint(settings: Settings) -> str:
    """Return the ZeroMQ endpoint of the broker.

    Raise SettingsError when somebody else has put a run directory where that of an
    ordinary user is looked for, in the system's temporary directory.
    """
    if settings.broker.endpoint:
        return settings.broker.endpoint
    run = locate(settings.paths)
    if not settings.paths.run and os.geteuid() != 0 and os.path.lexists(run):
        _check(run, run, os.geteuid())
    return f"ipc://{run / 'broker.sock'}"


def check_free(endpoint: str) -> None:
    """Raise SettingsError when somebody listens at the broker's ipc endpoint.

    It may lie outside of any run directory, where no lock guards it.
    """
    if not endpoint.startswith("ipc://"):
        return
    with socket.socket(socket.AF_UNIX) as attempt:
        try:
            attempt.connect(endpoint.removeprefix("ipc://"))
        except OSError:
            return
    reason = "another broker listens there; one farm has one"
    line = f'[broker] endpoint = "{endpoint}": {reason}'
    raise SettingsError(line, "broker.endpoint")


def machine(settings: Settings) -> Machine:
    """Return the name of this machine in the farm."""
    return Machine(settings.vmhost.machine or socket.gethostname())


def host_endpoint(run: Path, short: str) -> str:
    """Return the ipc endpoint of a VM host; `short` is unique in the run directory."""
    return f"ipc://{run / _HOSTS / short}.sock"


def notices_endpoint(run: Path, incarnation: int) -> str:
    """Return the ipc endpoint on which a supervisor tells fronts of lost hosts."""
    return f"ipc://{run / f'notices-{incarnation:016x}'}.sock"


def sweep(run: Path) -> None:
    """Remove sockets of VM hosts and supervisors on which nobody listens any more."""
    for path in [*run.glob(f"{_HOSTS}/*.sock"), *run.glob("notices-*.sock")]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)
            except OSError:
                continue  # somebody listens, or it is not ours to judge


class Claim:
    """The lock by which a process is the only one of its role in a run directory.

    "farm" is the role of `luafarm up`.

    It is held until `release` or the end of the process, however that comes. The file
    says which process that is, and what it has noted.
    """

    def __init__(self, run: Path, role: str, *, later: bool = False) -> None:
        """Take the lock, or raise SettingsError; later: `wait` for it then."""
        self._run = run
        self._role = role
        self.path = run / f"{role}.pid"
        try:
            self.fd = _open_claim(self.path)
        except OSError as error:
            raise _refusal(run, f"{self.path}: {error.strerror}") from None
        if not later:
            self.wait(lambda: False)

    def wait(self, goes_on: Callable[[], bool]) -> None:
        """Take the lock when it is free, or raise SettingsError.

        goes_on: is called as long as another process has it, and waits a while; once it
        returns False there is no more waiting.
        """
        while not self._is_taken():
            if goes_on():
                continue
            pid = self._lines()[0] or "unknown"
            os.close(self.fd)
            raise _refusal(
                self._run,
                f"a {self._role} already runs there (process {pid}); give this farm a "
                "run directory of its own",
            )
        self.note("")

    def note(self, text: str) -> None:
        """Write down what others are to know of the process that has the lock."""
        # on a full disk nobody reads who it is; the lock is none of its bytes
        with contextlib.suppress(OSError):
            line = f"{os.getpid()}\n{text}".encode()
            os.ftruncate(self.fd, os.pwrite(self.fd, line, 0))

    def noted(self) -> str:
        """Return what was noted by who has the lock, or had it last."""
        return self._lines()[1]

    def _lines(self) -> tuple[str, str]:
        text = os.pread(self.fd, _MOST_NOTED, 0).decode("utf-8", "replace")
        pid, _, noted = text.partition("\n")
        return pid.strip(), noted

    def _is_taken(self) -> bool:
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def release(self) -> None:
        """Let another process have the role."""
        os.close(self.fd)


def is_claimed(run: Path, role: str, pid: int, fd: int) -> bool:
    """Say whether this descriptor of a process is the lock of a role there."""
    try:
        held = Path(f"/proc/{pid}/fd/{fd}").stat()
        return os.path.samestat(held, (run / f"{role}.pid").stat())
    except OSError:
        return False


def _open_claim(path: Path) -> int:
    """Open a lock. Root may do so where an ordinary user could have laid a trap."""
    # no O_TRUNC: the pid in it is the other's until the lock is ours
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    fd = os.open(path, flags, 0o600)
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        os.close(fd)
        raise OSError(errno.EEXIST, "something else than a file of its own is there")
    return fd


def _make(run: Path, directory: Path) -> None:
    """Make one of the directories unless it is there."""
    before = os.umask(0o022)  # whatever it is: others must not write to what is made
    try:
        directory.mkdir(mode=0o700, parents=directory is run)
    except FileExistsError:
        pass
    except OSError as error:
        raise _refusal(run, f"cannot make {directory}: {error.strerror}") from None
    finally:
        os.umask(before)


def _give(run: Path, directory: Path, owner: int) -> None:
    """Give a directory of root's, and what a farm has left in it, to the owner.

    By descriptor: the owner could give a name to another file meanwhile.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(directory, flags)
    except OSError as error:
        raise _refusal(run, f"{directory}: {error.strerror}") from None
    try:
        found = os.fstat(fd).st_uid
        if found == owner:
            return  # another role has done it meanwhile
        if found != os.geteuid():
            raise _refusal(run, f"{directory} was exchanged meanwhile")
        names = os.listdir(fd)  # noqa: PTH208 - of this very descriptor
        strange = [name for name in sorted(names) if not _OURS.fullmatch(name)]
        if strange:
            name = strangers.user_name(owner)
            raise _refusal(
                run,
                f"{directory} belongs to root and holds {strange[0]}, which is not of "
                f"a farm: it is not given to {name} ([security] user)",
            )
        for name in names:
            os.chown(name, owner, -1, dir_fd=fd, follow_symlinks=False)
        os.fchown(fd, owner, -1)
    except OSError as error:  # root without CAP_CHOWN
        who = strangers.user_name(owner)
        reason = f"{directory} cannot be given to {who}: {error.strerror}"
        raise _refusal(run, reason) from None
    finally:
        os.close(fd)


def _check(run: Path, directory: Path, owner: int) -> None:
    # lstat: somebody else's symlink in a shared temporary directory is no directory
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise _refusal(run, f"{directory} is no directory")
    if found.st_uid not in {owner, os.geteuid()}:
        raise _refusal(
            run,
            f"{directory} belongs to {strangers.user_name(found.st_uid)}, not to "
            f"{strangers.user_name(owner)}; give this farm a run directory of its own",
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise _refusal(
            run, f"{directory} has mode {mode:04o}; others must not enter: chmod 0700"
        )


def _check_length(run: Path) -> None:
    longest = notices_endpoint(run, 0).removeprefix("ipc://")
    try:
        check_socket_path(longest)
    except ValueError as error:
        raise _refusal(run, f"too long for its sockets: {error}") from None


def _uid(user: str) -> int:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        line = f'[security] user = "{user}": no such user'
        raise SettingsError(line, "security.user") from None


def _refusal(run: Path, reason: str) -> SettingsError:
    return SettingsError(f'[paths] run = "{run}": {reason}', "paths.run")
