"""The catalogue of attacks is complete, and every one says what it is for."""

from collections import Counter

from tests.hostile.catalogue import DIALECTS, SCRIPTS, attacks

ATTACKS = attacks()  # raises HeaderError for a header that is not complete


def test_every_file_is_an_attack() -> None:
    files = [path for path in SCRIPTS.rglob("*") if path.is_file()]
    assert len(files) == len(ATTACKS)


def test_every_dialect_of_sandboxed_pools_gets_almost_all_of_them() -> None:
    for dialect in DIALECTS:
        run = [attack for attack in ATTACKS if dialect in attack.outcomes]
        assert len(run) >= 0.9 * len(ATTACKS), dialect


def test_no_two_attacks_claim_the_same() -> None:
    claims = Counter(attack.about for attack in ATTACKS)
    assert [claim for claim, count in claims.items() if count > 1] == []
