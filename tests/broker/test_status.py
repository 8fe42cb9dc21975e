"""The status of a farm: what it says of names that visitors and files may have."""

import json

from broker.status import status
from luafarm.names import Script
from luafarm.wire.messages import Verdict
from tests.broker.paper import Paper


def test_names_that_are_no_utf_8_are_told_by_their_bytes() -> None:
    paper = Paper()
    paper.join("h1")
    path = Script(b"/r/caf\xe9.lua")
    paper.write(path)
    assert paper.ask(path).verdict == Verdict.READY
    text = status(paper.broker, {}, {}, paper.now).decode("ascii")
    assert "\\ud" not in text  # half of a surrogate pair, which no JSON has
    [row] = json.loads(text)["scripts"]
    assert row["script"] == "/r/caf\\xe9.lua"
