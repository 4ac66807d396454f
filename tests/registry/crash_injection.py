"""A process that dies at the n-th thing it does to the disk, for every n: no moment is left out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

TOUCHES = {"open", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate", "os.utime"}


def killed_at_every_step(action: Callable[[], object], reset: Callable[[], object]) -> Iterator[bool]:
    """After `reset`, run `action` in a process that dies just before its first touch of the disk, then before its
    second, and so on; give each time whether it ended all the same. The last time it did."""
    for number in range(1, 1000):
        reset()
        child = os.fork()
        if child == 0:
            _die_at(number, action)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        assert code in (0, 9), f"touch {number} ended with {code}"
        yield code == 0
        if code == 0:
            return
    raise AssertionError("it never ended")


def _die_at(number: int, action: Callable[[], object]) -> NoReturn:
    count = 0

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event in TOUCHES and not (event == "open" and _only_reads(arguments[2])):
            count += 1
            if count == number:
                os._exit(9)

    try:
        sys.addaudithook(watch)
        action()
    except BaseException as error:
        os.write(2, f"{error!r}\n".encode())
        os._exit(1)
    os._exit(0)


def _only_reads(flags: object) -> bool:
    return isinstance(flags, int) and not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
