"""The command line of the benchmark."""

from pathlib import Path

import pytest

from bench import plan


def test_quick_is_a_subset_that_options_still_override() -> None:
    quick = plan.parse(["--quick", "--concurrency", "10"])
    assert [one.name for one in quick.scripts] == ["hello", "bench1"]
    assert (quick.rounds, quick.concurrency) == (1, (10,))


def test_peers_keep_their_order_and_may_be_chosen() -> None:
    chosen = plan.parse(["--peers", "uwsgi-lua, luafarm"])
    assert [peer.name for peer in chosen.peers] == ["luafarm", "uwsgi-lua"]


def test_luafarm_may_be_a_command_of_several_words() -> None:
    chosen = plan.parse(["--luafarm", "python -m luafarm"])
    assert chosen.luafarm == ("python", "-m", "luafarm")


def test_an_absent_luafcgid_is_missing_with_a_reason() -> None:
    chosen = plan.parse(["--peers", "luafcgid", "--luafcgid", "/nonexistent"])
    assert chosen.peers[0].missing() == f"{Path('/nonexistent')} does not exist"


@pytest.mark.parametrize(
    "arguments", [["--peers", "iis"], ["--concurrency", "0"], ["--scripts", "nothing"]]
)
def test_nonsense_is_refused_with_exit_code_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        plan.parse(arguments)
    assert refused.value.code == 2
