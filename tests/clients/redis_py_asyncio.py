"""redis-py, the asyncio client. See loop.py for what it does."""

import asyncio

from loop import ADDRESSES, GROUP, KEY, SENTINEL_PASSWORD, SERVER_PASSWORD, TIMEOUT, run_async
from redis import RedisError
from redis.asyncio.sentinel import Sentinel


async def main():
    sentinel = Sentinel(ADDRESSES, sentinel_kwargs={"password": SENTINEL_PASSWORD, "socket_timeout": TIMEOUT})
    options = {"socket_timeout": TIMEOUT, "password": SERVER_PASSWORD}
    primary = sentinel.master_for(GROUP, **options)
    replica = sentinel.slave_for(GROUP, **options)

    async def write_and_read(number):
        await primary.set(KEY, number)
        await primary.get(KEY)

    await run_async(write_and_read, lambda: replica.get(KEY), RedisError)


asyncio.run(main())
