"""What all clients in Python share: the arguments, the loop, and what is printed.

Arguments: HOST:PORT,HOST:PORT... GROUP KEY. Passwords come from the environment: CLIENT_SERVER_PASSWORD and
CLIENT_SENTINEL_PASSWORD. The key is set to 1, 2, 3 ... and read back; `ack N` is printed for each round that succeeded
and `fail ...` for each that did not. A line on standard input asks for one read from a replica, answered by
`replica ok`. The end of standard input ends the loop, and `end N` tells the last number that was acknowledged.
"""

import asyncio
import os
import sys
import threading
import time

ADDRESSES = [(host, int(port)) for host, port in (each.rsplit(":", 1) for each in sys.argv[1].split(","))]
GROUP, KEY = sys.argv[2:4]
SERVER_PASSWORD = os.environ.get("CLIENT_SERVER_PASSWORD") or None
SENTINEL_PASSWORD = os.environ.get("CLIENT_SENTINEL_PASSWORD") or None
# Seconds; the same for every client that can be told.
TIMEOUT = 0.5
PAUSE = 0.005
PAUSE_AFTER_FAILURE = 0.02


class Orders:
    """What standard input has asked for, gathered by a thread."""

    def __init__(self):
        self.ended = False
        self.replica_reads = 0
        threading.Thread(target=self._gather, daemon=True).start()

    def _gather(self):
        for _ in sys.stdin:
            self.replica_reads += 1
        self.ended = True


def say(*words):
    print(*words, flush=True)


def run(write_and_read, read_replica, errors):
    """Runs `write_and_read(number)` until standard input ends; `errors` are the exceptions that count as failures."""

    async def write(number):
        write_and_read(number)

    async def read():
        return read_replica()

    asyncio.run(run_async(write, read, errors))


async def run_async(write_and_read, read_replica, errors):
    orders = Orders()
    number = 1
    while not orders.ended:
        try:
            await write_and_read(number)
            say("ack", number)
            number += 1
            if orders.replica_reads > 0 and await read_replica() is not None:
                orders.replica_reads -= 1
                say("replica ok")
            await asyncio.sleep(PAUSE)
        except errors as error:
            say("fail", type(error).__name__, error)
            await asyncio.sleep(PAUSE_AFTER_FAILURE)
    say("end", number - 1)
