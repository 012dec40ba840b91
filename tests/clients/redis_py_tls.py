"""Writes and reads once through a sentinel and its primary, both over TLS.

Arguments: the sentinel's port, the group, and the files of the authority, the certificate and its key.
"""

import sys

from redis.sentinel import Sentinel

port, group, authority, certificate, key = sys.argv[1:]
tls = dict(
    ssl=True,
    ssl_ca_certs=authority,
    ssl_certfile=certificate,
    ssl_keyfile=key,
    socket_timeout=5,
)
sentinel = Sentinel([("127.0.0.1", int(port))], sentinel_kwargs=tls, **tls)
primary = sentinel.master_for(group)
primary.set("over", "tls")
print(primary.get("over").decode())
