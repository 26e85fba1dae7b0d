"""Ten seconds of tests/soak, which `make soak` runs for ten minutes."""
from soak.soak import soak


def test_money_is_neither_made_nor_lost():
    total = soak(seconds=8, clients=24)
    assert total["committed"] > 20 and total["backends killed"] > 3
