"""What the measurement of scale sends and shows."""

from pathlib import Path
from xml.etree import ElementTree

from bench import scale
from fcgi.arrival import limits
from fcgi.fastcgi.connection import Connection
from fcgi.fastcgi.request import Request
from luafarm.config.settings import Front


def row(what: str, number: int, each: float) -> scale.Row:
    return scale.Row(what, number, 2**20 * number, each, 1.5, 100, (60, 38, 2), 9000)


def test_a_question_is_one_whole_request_on_a_kept_connection() -> None:
    connection = Connection(limits(Front()), 0.0)
    [request] = connection.receive(scale.request(Path("/srv/a.lua")), 0.0)
    assert isinstance(request, Request)
    assert request.script_filename == b"/srv/a.lua"
    assert request.keep


def test_a_row_has_a_cell_for_each_column() -> None:
    cells = row("idle connections", 100, 2048).cells()
    assert len(cells) == len(scale.COLUMNS)
    assert cells[:4] == ("idle connections", "100", "100", "2.0")
    assert row("scripts", 1, 0).cells()[3] == "-"


def test_the_plots_have_a_line_for_each_kind(tmp_path: Path) -> None:
    rows = [row(what, n, 0) for what in ("scripts", "states") for n in (10, 1000)]
    scale.write(tmp_path, rows)
    for name in ("scale-cpu.svg", "scale-memory.svg"):
        root = ElementTree.parse(tmp_path / name).getroot()
        text = [e.text for e in root.iter() if e.tag.endswith("text")]
        assert {"scripts", "states", "10", "1000"} <= set(text)
