"""Which clips the batches of tuning hold."""

from __future__ import annotations

from collections import Counter

from engine.tuning.order import Order

LENGTHS = [8, 8, 5, 8, 8, 5, 8, 8, 5]


def passed(order: Order, turn: int) -> list[list[int]]:
    return [order.batch(turn * order.batches + place) for place in range(order.batches)]


def test_a_pass_has_every_clip_and_a_batch_clips_of_one_length() -> None:
    order = Order(LENGTHS, 2, seed=0)
    for turn in range(3):
        batches = passed(order, turn)
        assert all(len(batch) == 2 and len({LENGTHS[clip] for clip in batch}) == 1 for batch in batches)
        counts = Counter(clip for batch in batches for clip in batch)
        assert counts.keys() == set(range(9))
        # Three clips fill one batch and half of another, which is filled up by one of them.
        assert sorted(counts.values()) == [1] * 8 + [2]


def test_the_order_is_the_seeds_and_another_in_each_pass() -> None:
    order = Order(LENGTHS, 2, seed=0)
    assert passed(order, 0) != passed(order, 1)
    assert passed(order, 0) != passed(Order(LENGTHS, 2, seed=1), 0)
    assert Order(LENGTHS, 2, seed=0).batch(7) == order.batch(7)


def test_a_batch_larger_than_the_data_repeats_it() -> None:
    assert sorted(Order([4, 4], 4, seed=0).batch(0)) == [0, 0, 1, 1]
