"""Tables of text for a terminal: columns as wide as they must be, no wider."""

from collections.abc import Sequence
from typing import Final

_GAP: Final = "  "
_ELLIPSIS: Final = "…"


def render(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int = 100,
    shorter: Sequence[str] = (),
) -> str:
    """Return the table; the first column is cut so that a row fits into `width`.

    shorter: its cells in fewer words, which are tried before they are cut. Columns
    whose cells all begin with a digit are aligned to the right.
    """
    columns = list(zip(titles, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    others = sum(widths[1:]) + len(_GAP) * (len(widths) - 1)
    if shorter and widths[0] + others > width:
        rows = [[cell, *row[1:]] for cell, row in zip(shorter, rows, strict=True)]
        widths[0] = max(map(len, [titles[0], *shorter]))
    widths[0] = max(min(widths[0], width - others), len(titles[0]), 8)
    rights = [_is_numeric(column[1:]) for column in columns]
    lines = [
        _GAP.join(
            [
                _fit(cell, columns_width, is_right=right)
                for cell, columns_width, right in zip(row, widths, rights, strict=True)
            ]
        ).rstrip()
        for row in (titles, *rows)
    ]
    return "\n".join(lines) + "\n"


def _is_numeric(cells: Sequence[str]) -> bool:
    return bool(cells) and all(c[:1].isdigit() or c in {"", "-"} for c in cells)


def _fit(cell: str, width: int, *, is_right: bool) -> str:
    if len(cell) > width:
        # the end of a path says more than its beginning
        cell = _ELLIPSIS + cell[len(cell) - width + 1 :]
    return cell.rjust(width) if is_right else cell.ljust(width)
