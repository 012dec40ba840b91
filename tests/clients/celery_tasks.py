"""Celery with kombu: a worker and a client of it, with broker and results behind sentinels. See loop.py.

A round is a task that the worker has taken from the broker, carried out, and answered; the task sets the key.
"""

import os
import subprocess
import sys
import urllib.parse

from celery import Celery
from celery.exceptions import TimeoutError as TaskTimeout
from kombu.exceptions import OperationalError
from loop import ADDRESSES, GROUP, KEY, SENTINEL_PASSWORD, SERVER_PASSWORD, TIMEOUT, run
from redis import RedisError
from redis.sentinel import Sentinel

ENDS_SOON = 5.0
# A task that was lost with the old primary is sent again after this many seconds.
TASK_TIMEOUT = 1.0

password = f":{urllib.parse.quote(SERVER_PASSWORD)}@" if SERVER_PASSWORD else ""
url = ";".join(f"sentinel://{password}{host}:{port}" for host, port in ADDRESSES)
transport = {
    "master_name": GROUP,
    "sentinel_kwargs": {"password": SENTINEL_PASSWORD, "socket_timeout": TIMEOUT},
    "socket_timeout": TIMEOUT,
    # By its default Celery waits longer and longer, and in the end wants to be restarted.
    "retry_policy": {"max_retries": None, "timeout": None, "interval_start": 0, "interval_step": 0.05, "interval_max": 0.1},
}
app = Celery("celery_tasks", broker=url, backend=url)
app.conf.update(
    broker_transport_options=transport,
    result_backend_transport_options=transport,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    task_ignore_result=False,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    # Celery's default, and no less. When an acknowledgement breaks with its connection, kombu counts the message as under way
    # until it reconnects. A worker that holds as many of these as it may take at once asks for no further one, so it has no
    # open connection by which to notice that it must reconnect: it is deaf for good. By 1 that are one or two messages.
    worker_prefetch_multiplier=4,
)
sentinel = Sentinel(ADDRESSES, sentinel_kwargs={"password": SENTINEL_PASSWORD, "socket_timeout": TIMEOUT})
options = {"socket_timeout": TIMEOUT, "password": SERVER_PASSWORD}


@app.task(name="write")
def write(number):
    sentinel.master_for(GROUP, **options).set(KEY, number)
    return number


def main():
    environment = {**os.environ, "CELERY_WORKER": "1"}
    program = [sys.executable, __file__, *sys.argv[1:4]]
    worker = subprocess.Popen(program, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    replica = sentinel.slave_for(GROUP, **options)

    def write_and_read(number):
        write.apply_async((number,), retry=False).get(timeout=TASK_TIMEOUT, interval=0.005)

    try:
        errors = (RedisError, OperationalError, TaskTimeout, OSError)
        run(write_and_read, lambda: replica.get(KEY), errors)
    finally:
        worker.terminate()
        try:
            worker.wait(ENDS_SOON)
        except subprocess.TimeoutExpired:
            worker.kill()


if os.environ.get("CELERY_WORKER"):
    app.worker_main(["worker", "--pool=solo", "--loglevel=warning", "--without-gossip", "--without-mingle",
                     "--without-heartbeat"])
else:
    main()
