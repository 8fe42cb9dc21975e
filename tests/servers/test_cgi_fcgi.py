"""The command line client of libfcgi, which wants whole records in one write."""

import shutil
import subprocess

import pytest

from tests.servers.conftest import INSTALL
from tests.servers.farm import Farm

pytestmark = pytest.mark.process


@pytest.fixture(params=["unix", "tcp"])
def address(request: pytest.FixtureRequest, served_farm: Farm) -> str:
    if not shutil.which("cgi-fcgi"):
        pytest.skip(f"libfcgi-bin is not installed: {INSTALL}")
    unix = request.param == "unix"
    return str(served_farm.socket) if unix else f"127.0.0.1:{served_farm.port}"


def ask(
    farm: Farm, address: str, script: str, body: bytes = b"", **parameters: str
) -> subprocess.CompletedProcess[bytes]:
    """Run cgi-fcgi with these parameters as its environment."""
    environment = {
        "REQUEST_METHOD": "POST" if body else "GET",
        "SCRIPT_FILENAME": str(farm.root / script),
        "CONTENT_LENGTH": str(len(body)) if body else "",
        **parameters,
    }
    program = str(shutil.which("cgi-fcgi"))
    return subprocess.run(
        [program, "-bind", "-connect", address],
        input=body,
        env=environment,
        capture_output=True,
        timeout=120,
        check=False,
    )


def test_a_script_answers_and_the_exit_code_is_zero(
    served_farm: Farm, address: str
) -> None:
    done = ask(served_farm, address, "hello.lua")
    header, _, body = done.stdout.partition(b"\r\n\r\n")
    assert done.returncode == 0
    assert header.startswith(b"Status: 200")
    assert body == b"Hello World"


def test_a_body_is_passed_on(served_farm: Farm, address: str) -> None:
    sent = bytes(range(256)) * 2000
    done = ask(served_farm, address, "echo.lua", sent)
    assert done.stdout.partition(b"\r\n\r\n")[2] == sent


def test_a_reply_of_megabytes_arrives(served_farm: Farm, address: str) -> None:
    done = ask(served_farm, address, "reply.lua", QUERY_STRING="4000000")
    assert len(done.stdout.partition(b"\r\n\r\n")[2]) == 4_000_000


def test_an_error_goes_to_the_error_stream_too(served_farm: Farm, address: str) -> None:
    done = ask(served_farm, address, "fail.lua", QUERY_STRING="cgi")
    assert done.stdout.startswith(b"Status: 500")
    assert b"failed as asked by cgi" in done.stderr


def test_a_missing_script_is_not_found(served_farm: Farm, address: str) -> None:
    assert ask(served_farm, address, "nothing.lua").stdout.startswith(b"Status: 404")
