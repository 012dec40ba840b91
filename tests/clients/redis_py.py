"""redis-py, the ordinary client. See loop.py for what it does."""

from loop import ADDRESSES, GROUP, KEY, SENTINEL_PASSWORD, SERVER_PASSWORD, TIMEOUT, run
from redis import RedisError
from redis.sentinel import Sentinel

sentinel = Sentinel(ADDRESSES, sentinel_kwargs={"password": SENTINEL_PASSWORD, "socket_timeout": TIMEOUT})
options = {"socket_timeout": TIMEOUT, "password": SERVER_PASSWORD}
primary = sentinel.master_for(GROUP, **options)
replica = sentinel.slave_for(GROUP, **options)


def write_and_read(number):
    primary.set(KEY, number)
    primary.get(KEY)


run(write_and_read, lambda: replica.get(KEY), RedisError)
