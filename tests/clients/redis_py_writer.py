"""Writes through the coordinators with redis-py: key = 1, 2, 3 ... until standard input is closed.

Arguments: HOST:PORT,HOST:PORT... GROUP KEY. Prints `ack N` for each accepted write, `fail ...` for each refused one,
`replica ok` once a replica was read, and `end N` at the end.
"""

import sys
import threading
import time

import redis
from redis.sentinel import Sentinel

sentinels, group, key = sys.argv[1:4]
addresses = [(host, int(port)) for host, port in (each.rsplit(":", 1) for each in sentinels.split(","))]
sentinel = Sentinel(addresses, socket_timeout=0.5)
primary = sentinel.master_for(group, socket_timeout=0.5)
replica = sentinel.slave_for(group, socket_timeout=0.5)

ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()

number = 1
last = 0
replica_read = False
while not ended.is_set():
    try:
        primary.set(key, number)
        last = number
        number += 1
        print("ack", last, flush=True)
        if not replica_read and replica.get(key) is not None:
            replica_read = True
            print("replica ok", flush=True)
    except redis.RedisError as error:
        print("fail", type(error).__name__, error, flush=True)
        time.sleep(0.05)
    time.sleep(0.005)
print("end", last, flush=True)
