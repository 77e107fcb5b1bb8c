"""Work by several threads comes back in the order in which it was asked for."""

import threading
import time

import pytest
import torch

from emoga.kernels import worker_count
from emoga.threads import finish, in_order, threads_for_pictures


@pytest.fixture(autouse=True)
def four_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(threads)


def test_what_is_done_sooner_waits_for_its_turn():
    def work(number: int) -> int:
        time.sleep(0.02 if number % 3 == 0 else 0)
        return number * number

    assert list(in_order(range(20), work)) == [n * n for n in range(20)]


def test_jobs_are_taken_by_the_caller_and_only_a_few_ahead():
    taken, takers, ahead = [], set(), 2 * worker_count() + 2

    def jobs():
        for number in range(60):
            takers.add(threading.current_thread())
            taken.append(number)
            yield number

    for result in in_order(jobs(), lambda number: number):
        assert len(taken) <= result + ahead
    assert takers == {threading.current_thread()} and len(taken) == 60


def test_each_keeps_to_its_own_thread_and_the_setting_comes_back():
    inside = set(in_order(range(8), lambda _: torch.get_num_threads()))
    assert inside == {1} and torch.get_num_threads() == 4


def test_what_work_raises_is_raised_and_the_setting_comes_back():
    def work(number: int) -> int:
        if number == 3:
            raise OSError("broken")
        return number

    found = []
    with pytest.raises(OSError, match="broken"):
        for result in in_order(range(30), work):
            found.append(result)
    assert found == [0, 1, 2] and torch.get_num_threads() == 4


def test_what_is_changed_is_changed_when_it_is_finished():
    filled = [0] * 30

    def work(number: int) -> None:
        filled[number] = number + 1

    finish(range(30), work)
    assert filled == list(range(1, 31))


def test_one_thread_leaves_the_others_to_kernels():
    assert set(in_order(range(5), lambda _: (torch.get_num_threads(), worker_count()), threads=1)) == {(1, 4)}
    assert torch.get_num_threads() == 4


def test_large_pictures_are_worked_on_by_fewer_at_once():
    counts = [threads_for_pictures(side, side) for side in (64, 512, 4096, 100_000)]
    assert counts[:2] == [4, 4] and 1 <= counts[2] < 4 and counts[3] == 1
