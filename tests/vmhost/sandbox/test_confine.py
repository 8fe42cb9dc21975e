"""Every layer, tried from inside: hosts attempt what they must not be able to do."""

import errno
import os
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from luafarm.ends import Death
from luafarm.names import LAYERS
from luafarm.wire.messages import HostUp
from tests.vmhost.supervisor.fakehost import attempt, connect
from tests.vmhost.supervisor.supervised import (
    WITH_KEYS,
    Supervised,
    children_of,
    is_alive,
    needs_root,
    send,
    supervised,
    until,
)
from vmhost.sandbox import confine, kernel, seccomp
from vmhost.sandbox.confine import Confinement
from vmhost.sandbox.layers import Layer

pytestmark = pytest.mark.process

DIES = "SIGSYS"
OUTCOMES = {
    "open": "ENOENT",
    "listdir": "ENOENT",
    "stat": "ENOENT",
    "mkdir": DIES,
    "unlink": DIES,
    "chdir": DIES,
    "socket": DIES,
    "socketpair": DIES,
    "fork": DIES,
    "execve": DIES,
    "kill": DIES,
    "kill self": DIES,
    "setuid": DIES,
    "unshare": DIES,
    "prctl": DIES,
    "ptrace": DIES,
    "process_vm_readv": DIES,
    "memfd_create": DIES,
    "io_uring_setup": DIES,
    "bpf": DIES,
    "userfaultfd": DIES,
    "executable mmap": DIES,
    "executable mprotect": DIES,
    "shared mmap": DIES,
    "fixed mremap": DIES,
    "thread": DIES,
    "accept": DIES,
    "sendto that connects": DIES,
    "peer credentials": DIES,
    "shutdown": DIES,
    "rlimit": "EACCES",
    "signal": "EACCES",
    "usage": "EACCES",
    "clock of parent": "EINVAL",
    "sleep by clock of parent": "EINVAL",
    "merged memory": "EINVAL",
    "futex of another kind": "ENOSYS",
    "dup": "EPERM",
    "dup and close on exec": "EPERM",
    "signals of a socket": "EPERM",
    "other protocol": "EPERM",
    "memory given back": "ok",
    "sleep": "ok",
    "urandom": "ok",
    "timer": "ok",
}
NEEDS_KEYS = {  # what libzmq gets, and no other host
    "schedule parent": "ok",
    "schedule itself": "ok",
    "policy of parent": "ok",
    "rename": "EFAULT",
    "recvfrom": "EBADF",
    "sendto": "EBADF",
    "getpeername": "EBADF",
    "no delay": "EBADF",
    "flags": "ok",
    "memory in no dump": "ok",
    "locked memory": "ok",
}
WITHOUT_KEYS = {"no delay": "EPERM", "flags": "EPERM", "memory in no dump": "EINVAL"}


@pytest.fixture(scope="module", params=["root", "ordinary user", "with keys"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Supervised]:
    """Run a pool of one sandboxed host, which is filled again after each death."""
    if request.param == "root" and os.geteuid() != 0:
        pytest.skip("needs root")
    as_nobody = request.param == "ordinary user"
    vmhost = WITH_KEYS if request.param == "with keys" else ""
    with supervised({"main": "hosts = 1"}, vmhost, as_nobody=as_nobody) as running:
        yield running


def only_host(running: Supervised) -> HostUp:
    return running.wait_up(1)[0]


@pytest.mark.parametrize("what", [*OUTCOMES, *NEEDS_KEYS])
def test_a_sealed_host_can_do_what_it_needs_and_nothing_else(
    sandbox: Supervised, what: str
) -> None:
    up = only_host(sandbox)
    others = NEEDS_KEYS if up.server_key else WITHOUT_KEYS
    expected = OUTCOMES.get(what) or others.get(what, DIES)
    policy = os.sched_getscheduler(sandbox.pid), os.sched_getscheduler(up.pid)
    # a task to blame, so that the next host comes without a pause
    assert sandbox.ask(up, "begin", "1", f"/{what}", "10000") == "ok"
    answer = sandbox.ask(up, "attempt", what)
    if expected == DIES:
        assert answer == ""
        lost = sandbox.wait_lost(up)
        assert (lost.reason, lost.script.decode()) == (Death.SECCOMP, f"/{what}")
    else:
        assert answer == expected
        assert sandbox.ask(up, "end") == "ok"
        # what libzmq asks for is answered and not done
        now = os.sched_getscheduler(sandbox.pid), os.sched_getscheduler(up.pid)
        assert now == policy


def test_all_layers_hold_but_the_own_uid_of_an_ordinary_user(
    sandbox: Supervised,
) -> None:
    up = only_host(sandbox)
    names = set(LAYERS)
    if os.geteuid() != 0 or "uid" not in up.layers:
        names.remove("uid")
    assert set(up.layers) == names
    assert len(up.missing) == len(LAYERS) - len(names)


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (x.partition(":") for x in lines)}


@needs_root
def test_the_kernel_confirms_what_the_layers_say(sandbox: Supervised) -> None:
    up = only_host(sandbox)
    status = status_of(up.pid)
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    for held in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[held], 16) == 0
    if "uid" in up.layers:
        assert status["Uid"].split() == [str(up.uid)] * 4
        assert status["Gid"].split() == [str(up.uid)] * 4
        assert status["Groups"] == ""
    assert len(list(Path(f"/proc/{up.pid}/root").iterdir())) == 0
    ours, theirs = Path("/proc/self/ns"), Path(f"/proc/{up.pid}/ns")
    for name in ("net", "ipc", "uts", "mnt"):
        assert (theirs / name).readlink() != (ours / name).readlink(), name


@needs_root
def test_no_thread_of_a_host_escapes_the_filter(sandbox: Supervised) -> None:
    up = only_host(sandbox)
    threads = list(Path(f"/proc/{up.pid}/task").iterdir())
    assert len(threads) >= (3 if up.server_key else 1)  # libzmq has two
    for thread in threads:
        assert "Seccomp:\t2\n" in (thread / "status").read_text()


@needs_root
def test_no_fd_is_inherited_but_the_few_that_a_host_needs(sandbox: Supervised) -> None:
    up = only_host(sandbox)
    targets = fds_of(up.pid)
    files = [t for t in targets if t.startswith("/") and t != "/dev/null"]
    # the page stays open as long as it is mapped; its size is sealed
    assert [t for t in files if "luafarm-scoreboard" not in t] == []
    sockets = [t for t in targets if t.startswith("socket:")]
    # the listening socket, and the connections of this test that are not closed yet
    assert 1 <= len(sockets) <= 3
    assert set(sockets).isdisjoint(fds_of(sandbox.zygote()))


def fds_of(pid: int) -> list[str]:
    return [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]


@needs_root
def test_hosts_of_one_machine_have_different_uids() -> None:
    with supervised({"a": "hosts = 2", "b": "hosts = 2"}) as running:
        ups = running.wait_up(4)
        assert len({up.uid for up in ups}) == 4
        assert 0 not in {up.uid for up in ups}


def test_a_trusted_host_keeps_files_network_and_programs() -> None:
    with supervised({"app": 'hosts = 1\ntrust = "trusted"'}) as running:
        up = only_host(running)
        for what in ("open", "listdir", "socket", "fork", "executable mmap"):
            assert running.ask(up, "attempt", what) == "ok"
        assert {"seccomp", "landlock", "netns"}.isdisjoint(up.layers)
        assert {"fds", "rlimits", "pdeathsig"} <= set(up.layers)


def test_a_host_on_tcp_without_keys_gets_nothing_more() -> None:
    with supervised({"main": "hosts = 1"}, 'endpoint = "tcp://127.0.0.1:*"') as running:
        up = only_host(running)
        assert up.endpoint.startswith("tcp://127.0.0.1:")
        assert up.notices.startswith("tcp://127.0.0.1:")
        assert [running.ask(up, "ping") for _ in range(5)] == ["ok"] * 5
        running.ask(up, "attempt", "recvfrom")
        assert running.wait_lost(up).reason == Death.SECCOMP


# ---- single layers, without the filter that would answer first ---------------------


SPACE = 64 << 30  # hosts are forked from a process with many tests behind it


def wanted(trusted: bool = False, jit: bool = False, keys: bool = False) -> Confinement:
    return Confinement(
        trusted=trusted,
        jit=jit,
        keys=keys,
        supervisor=os.getpid(),
        uid=61200 if os.geteuid() == 0 else None,
        gid=61200,
        groups=(),
        address_space=SPACE,
        empty="/var/empty",
    )


def inside(
    policy: Confinement,
    action: Callable[[list[Layer]], str],
    keep: tuple[int, ...] = (),
    before: Callable[[], object] = int,
) -> str:
    """Run an action in a child that has entered its confinement; return its answer."""
    confine.prepare()
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            before()
            layers = confine.enter(policy, (sender, *keep))
            os.write(sender, action(layers).encode())
        except OSError as error:
            os.write(sender, repr(error).encode())
        finally:
            os._exit(0)
    os.close(sender)
    try:
        answer = b""
        while data := os.read(receiver, 65536):
            answer += data
        return answer.decode()
    finally:
        os.close(receiver)
        os.waitpid(child, 0)


def holds(layers: list[Layer], name: str) -> bool:
    return next(layer.holds for layer in layers if layer.name == name)


def tried(action: Callable[[], object]) -> Callable[[list[Layer]], str]:
    return lambda _: attempt(action)


def test_landlock_and_the_empty_root_alone_keep_files_away() -> None:
    answer = inside(wanted(), tried(lambda: os.open("/", os.O_RDONLY)))
    assert answer == "EACCES"
    answer = inside(wanted(), tried(lambda: os.open("/etc/passwd", os.O_RDONLY)))
    assert answer in {"ENOENT", "EACCES"}
    answer = inside(wanted(), tried(lambda: os.open("/x", os.O_CREAT | os.O_WRONLY)))
    assert answer in {"EACCES", "EROFS"}


def test_the_network_is_empty_without_the_filter() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        answer = inside(wanted(), tried(lambda: connect(socket.AF_INET, address)))
        assert answer in {"EACCES", "ENETUNREACH"}
    name = "\0luafarm-test-" + str(os.getpid())
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        answer = inside(wanted(), tried(lambda: connect(socket.AF_UNIX, name)))
        assert answer in {"EPERM", "ECONNREFUSED"}


def test_unix_sockets_by_path_are_out_of_reach(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        Path(path).chmod(0o777)
        server.listen()
        answer = inside(wanted(), tried(lambda: connect(socket.AF_UNIX, path)))
    assert answer in {"ENOENT", "EACCES"}


def test_no_signal_reaches_the_supervisor_or_a_stranger() -> None:
    parent = os.getpid()
    assert inside(wanted(), tried(lambda: os.kill(parent, 0))) == "EPERM"
    assert inside(wanted(), tried(lambda: os.kill(1, 0))) == "EPERM"


def test_root_cannot_be_had_back() -> None:
    answer = inside(wanted(), tried(lambda: os.setuid(0)))
    assert answer in {"EPERM", "EINVAL"}  # in a user namespace there is no root
    answer = inside(wanted(), tried(lambda: kernel.unshare(kernel.CLONE_NEWNET)))
    assert answer == "EPERM"


def test_memory_never_becomes_executable_even_without_the_filter() -> None:
    def try_it(layers: list[Layer]) -> str:
        if not holds(layers, "mdwe"):
            return "EACCES"  # a kernel before 6.3
        return attempt(kernel.try_new_code)

    assert inside(wanted(), try_it) == "EACCES"


def test_a_compiler_may_make_code_only_where_it_is_allowed() -> None:
    def layer_of(layers: list[Layer]) -> str:
        return next(x.sentence for x in layers if x.name == "mdwe")

    assert "compiler is on" in inside(wanted(jit=True), layer_of)


def test_limits_are_those_of_a_process_that_writes_no_file() -> None:
    kinds = (
        resource.RLIMIT_CORE,
        resource.RLIMIT_FSIZE,
        resource.RLIMIT_NOFILE,
        resource.RLIMIT_AS,
    )

    def read(_layers: list[Layer]) -> str:
        return repr([resource.getrlimit(kind) for kind in kinds])

    for keys, fds in ((False, 64), (True, 1024)):
        answer = inside(wanted(keys=keys), read)
        assert answer == repr([(0, 0), (0, 0), (fds, fds), (SPACE, SPACE)])


def test_fds_that_are_not_kept_are_closed() -> None:
    first, second = os.pipe()
    try:
        for fd in (first, second):
            os.set_inheritable(fd, True)

        def probe(_layers: list[Layer]) -> str:
            found = []
            for fd in (first, second):
                try:
                    os.fstat(fd)
                    found.append("open")
                except OSError as error:
                    found.append(errno.errorcode[error.errno or 0])
            return " ".join(found)

        assert inside(wanted(), probe, keep=(second,)) == "EBADF open"
    finally:
        os.close(first)
        os.close(second)


def test_a_host_does_not_outlive_its_supervisor() -> None:
    """The supervisor here is a child of the test that forks a host and is killed."""
    receiver, sender = os.pipe()
    middle = os.fork()
    if middle == 0:
        try:
            host = os.fork()
            if host == 0:
                policy = replace(wanted(), supervisor=os.getppid())
                confine.enter(policy, (sender,))
                os.write(sender, b"%d" % os.getpid())
            signal.pause()
        finally:
            os._exit(0)
    os.close(sender)
    try:
        host = int(os.read(receiver, 20))
        assert children_of(middle) == [host]
        send(middle, signal.SIGKILL)
        until(lambda: not is_alive(host), "the host to end")
    finally:
        os.close(receiver)
        os.waitpid(middle, 0)


def test_a_host_whose_supervisor_is_gone_already_does_not_start() -> None:
    stranger = replace(wanted(), supervisor=1 << 22)
    assert "the supervisor is gone" in inside(stranger, lambda _: "it started")


def test_a_layer_that_cannot_be_had_is_reported_with_its_reason() -> None:
    def about_uid(layers: list[Layer]) -> str:
        return next(layer.sentence for layer in layers if layer.name == "uid")

    answer = inside(replace(wanted(), uid=None), about_uid)
    if os.geteuid() == 0:
        assert answer == "uid: runs as root: no uid is set for it"
    else:
        assert answer.startswith("uid: started without root")


def test_a_root_with_files_in_it_is_no_layer() -> None:
    kept = frozenset({kernel.CAP_SYS_CHROOT} if os.geteuid() == 0 else ())

    def about_root(layers: list[Layer]) -> str:
        return next(layer.sentence for layer in layers if layer.name == "root")

    policy = replace(wanted(), empty="/etc")
    if kept:
        answer = inside(
            policy, about_root, before=lambda: kernel.set_capabilities(kept, kept)
        )
        assert answer == "root: self-test: chroot to an empty directory has files"


def test_a_filter_that_is_not_there_is_found_out() -> None:
    """Each probe is answered by EPERM behind a filter only."""

    def probe(_layers: list[Layer]) -> str:
        return " ".join(
            attempt(partial(kernel.syscall, name, *values))
            for name, values in seccomp.probes(jit=False)
        )

    answers = inside(replace(wanted(), trusted=True), probe).split()
    assert len(answers) == len(seccomp.probes(jit=False))
    assert "EPERM" not in answers
    assert "ok" not in answers


@needs_root
def test_in_a_container_without_namespaces_the_other_layers_still_hold(
    tmp_path: Path,
) -> None:
    kept = frozenset(
        {kernel.CAP_SETUID, kernel.CAP_SETGID, kernel.CAP_SETPCAP}
        | {kernel.CAP_SYS_CHROOT}
    )
    policy = replace(wanted(), empty=str(tmp_path))

    def seal(layers: list[Layer]) -> str:
        sealed = [*layers, *confine.seal(policy)]
        return "\n".join(layer.sentence for layer in sealed if not layer.holds)

    answer = inside(policy, seal, before=lambda: kernel.set_capabilities(kept, kept))
    missing = [line.partition(": ") for line in answer.splitlines()]
    assert [name for name, _, _ in missing] == ["utsns", "netns", "ipcns"]
    assert {reason for _, _, reason in missing} == {"Operation not permitted"}
