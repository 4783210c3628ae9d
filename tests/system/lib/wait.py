"""Waiting for what has no event of its own."""
import select
import time

LIMIT = 30      # seconds for what should happen at once


def until(condition, what, limit=LIMIT):
    """Returns the condition's first true value."""
    end = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f'waited {limit} s for: {what}'
        select.select([], [], [], 0.005)
