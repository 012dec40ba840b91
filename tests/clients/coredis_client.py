"""coredis, which is asynchronous only. See loop.py for what it does."""

import asyncio

from coredis import Sentinel
from coredis.exceptions import RedisError
from loop import ADDRESSES, GROUP, KEY, SENTINEL_PASSWORD, SERVER_PASSWORD, TIMEOUT, run_async


async def main():
    sentinels = {"password": SENTINEL_PASSWORD, "stream_timeout": TIMEOUT}
    options = {"password": SERVER_PASSWORD, "stream_timeout": TIMEOUT, "connect_timeout": TIMEOUT}
    async with Sentinel(ADDRESSES, sentinel_kwargs=sentinels, **options) as sentinel:
        primary = sentinel.primary_for(GROUP)
        replica = sentinel.replica_for(GROUP)
        async with primary, replica:

            async def write_and_read(number):
                await primary.set(KEY, number)
                await primary.get(KEY)

            async def read_replica():
                return await replica.get(KEY)

            # A refused connection comes as it is.
            await run_async(write_and_read, read_replica, (RedisError, OSError))


asyncio.run(main())
