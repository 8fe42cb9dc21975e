"""Each role a process of its own, over TCP with keys; only sockets are shared."""

import contextlib
import functools
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import daemon
from tests.farm.client import ask
from tests.farm.farms import LUAFARM, Farm, directory, hosts_of, kill, until

pytestmark = pytest.mark.process

COUNTER = """
local words = require "words"
local n = 0
function main(env, con) n = n + 1; con:puts(words.say(n)) end
"""


@contextlib.contextmanager
def apart(keys_of_second: str = "keys") -> Iterator[Farm]:
    """Run a broker, two supervisors and two fronts; only the broker has the root."""
    with directory() as place:
        root = place / "root"
        root.mkdir()
        for name in ("keys", "strange", "other"):
            subprocess.run([*LUAFARM, "keygen", str(place / name)], check=True)
        known = place / "keys" / "broker.public"
        (place / "other" / "broker.public").write_bytes(known.read_bytes())
        broker = f"tcp://127.0.0.1:{daemon.free_port()}"
        farm = Farm(place, root, place / "broker.toml", str(place / "f1.sock"))

        def config(name: str, text: str, keys: str = "keys") -> Path:
            path = place / f"{name}.toml"
            path.write_text(
                f'[paths]\nrun = "{place}/{name}"\n'
                f'[security]\nkeys = "{place}/{keys}"\n'
                f'[broker]\nendpoint = "{broker}"\n{text}'
            )
            return path

        pool = f'[pool.web]\nroot = ["{root}"]\nhosts = 2\n'
        # the other machines have an empty directory in its place
        elsewhere = place / "empty"
        elsewhere.mkdir()
        bare = f'[pool.web]\nroot = ["{elsewhere}"]\nhosts = 2\n'
        roles = [("broker", "broker", pool, "keys")]
        for number in (1, 2):
            machine = f'machine = "m{number}"\nendpoint = "tcp://127.0.0.1:*"\n'
            keys = keys_of_second if number == 2 else "keys"
            roles.append((f"v{number}", "vmhost", f"{bare}[vmhost]\n{machine}", keys))
            listen = f'[front]\nlisten = ["unix:{place}/f{number}.sock"]\n'
            name = f'[vmhost]\nmachine = "m{number}"\n'
            roles.append((f"f{number}", "fcgi", bare + listen + name, keys))
        with contextlib.ExitStack() as stack:
            for name, role, text, keys in roles:
                path = config(name, text, keys)
                command = [*LUAFARM, role, "--config", str(path)]
                process = daemon.running(command, place / f"{name}.log")
                farm.daemons[name] = stack.enter_context(process)
            for number in (1, 2):
                listener = str(place / f"f{number}.sock")
                accepts = functools.partial(daemon.accepts, listener)
                farm.daemons[f"f{number}"].wait_until(accepts, "it listens")
            yield farm


def test_two_machines_and_two_fronts_serve_the_brokers_scripts() -> None:
    with apart() as farm:
        until(lambda: len(farm.status()["hosts"]) == 4, "all hosts are known")
        farm.write("words.lua", "return { say = function(n) return 'n=' .. n end }")
        script = farm.write("count.lua", COUNTER)
        first, second = farm.socket, str(farm.place / "f2.sock")
        assert ask(first, script).body == b"n=1"
        assert ask(second, script).body == b"n=2"
        farm.write("count.lua", COUNTER.replace("n + 1", "n + 10"))
        until(lambda: ask(first, script).body.endswith(b"0"), "the change counts")
        until(lambda: ask(second, script).body.endswith(b"0"), "on both fronts")
        machines = {host["machine"] for host in farm.status()["hosts"]}
        assert machines == {"m1", "m2"}


def test_a_machine_that_dies_takes_nothing_with_it() -> None:
    with apart() as farm:
        until(lambda: len(farm.status()["hosts"]) == 4, "all hosts are known")
        farm.write("words.lua", "return { say = tostring }")
        script = farm.write("count.lua", COUNTER)
        assert ask(farm.socket, script).status == 200
        [host] = [h for h in farm.status()["hosts"] if h["states"]]
        machine = host["machine"]
        kill(farm.daemons[machine.replace("m", "v")].pid)
        until(lambda: ask(farm.socket, script).status == 200, "it is served elsewhere")
        until(lambda: len(farm.status()["hosts"]) == 2, "its hosts are forgotten")


def test_whoever_has_other_keys_gets_nothing() -> None:
    with apart(keys_of_second="strange") as farm:
        until(lambda: len(farm.status()["hosts"]) == 2, "the first machine is known")
        script = farm.write("hello.lua", "function main(e, c) c:puts('hello') end")
        assert ask(farm.socket, script).body == b"hello"
        stranger = ask(str(farm.place / "f2.sock"), script)
        assert stranger.status == 503
        assert {h["machine"] for h in farm.status()["hosts"]} == {"m1"}
        assert len(hosts_of(farm)) == 4  # they run, and nobody lets them in
        # they expect another broker: that is what each of them says, and no more
        place = farm.place
        for name, role in (("v2", "vmhost"), ("f2", "fcgi")):
            words = (
                "error the broker at ",
                f" ends the handshake with {place}/strange/{role}.secret: it takes no "
                "keys, or has not the secret of the public key that is known of it",
            )
            log = place / f"{name}.log"
            until(functools.partial(has_line, log, *words), f"{name} says why")
            assert log.read_text().count("ends the handshake") < 3
            assert "broker gone" not in log.read_text()
        text = "a peer that expects another key at tcp://127.0.0.1:"
        assert has_line(place / "broker.log", "error", text)
        done = farm.command("status", "--set", f"security.keys={place}/strange")
        assert done.returncode == 1
        assert f"ends the handshake with {place}/strange/command.secret" in done.stderr
        done = farm.command("status", "--set", "security.keys=")
        assert done.returncode == 1
        assert "[security] keys names none" in done.stderr


def has_line(log: Path, *words: str) -> bool:
    lines = log.read_text().splitlines()
    return any(all(word in line for word in words) for line in lines)


def test_a_machine_whose_key_is_not_known_says_so_and_so_does_the_broker() -> None:
    with apart(keys_of_second="other") as farm:
        until(lambda: len(farm.status()["hosts"]) == 2, "the first machine is known")
        place = farm.place
        for name, role in (("v2", "vmhost"), ("f2", "fcgi")):
            key = (place / "other" / f"{role}.public").read_text().strip()
            words = (
                "error the broker at ",
                f"does not let in the owner of {place}/other/{role}.secret, public key "
                f"{key}",
            )
            log = place / f"{name}.log"
            until(functools.partial(has_line, log, *words), f"{name} says why")
            assert log.read_text().count("does not let in") < 3
        text = "error peer=127.0.0.1 key="
        broker = place / "broker.log"
        why = "its key is not known here"
        until(functools.partial(has_line, broker, text, why), "and so the broker")
        assert broker.read_text().count(why) < 4
        keys = f"security.keys={place}/other"
        done = farm.command("status", "--set", keys)
        assert done.returncode == 1
        assert f"does not let in the owner of {place}/other/command.s" in done.stderr
