"""Redis and RabbitMQ, each used in a corner of its own."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress

import pytest
import redis
from celery import Celery
from kombu import Connection
from kombu.exceptions import OperationalError

REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
AMQP_URL = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672//")
TIMEOUT = 3  # seconds
UNREACHABLE = (OSError, OperationalError, redis.ConnectionError)


def make_app(*, url, queue, transport_options):
    """Make the app of a project, for its web processes and for its workers."""
    app = Celery("tests", broker=url)
    app.conf.update(
        broker_connection_retry_on_startup=True,
        broker_connection_timeout=TIMEOUT,
        broker_transport_options=transport_options,
        task_default_queue=queue,
        worker_enable_remote_control=False,
    )
    app.autodiscover_tasks()
    return app


class Broker:
    """Queues on a server that others use too."""

    def __init__(self, url, **transport_options):
        self.url = url
        self.queue = f"exports-{uuid.uuid4().hex}"
        self.unheard_queue = f"{self.queue}-unheard"
        self.transport_options = transport_options

    def __enter__(self):
        self.app = make_app(**self.get_arguments(), queue=self.queue)
        self.app.set_current()
        return self

    def __exit__(self, *error):
        with suppress(*UNREACHABLE):
            self.remove_queue()
        self.app.close()

    def get_arguments(self):
        """Return what a worker needs to know, as JSON."""
        return {"url": self.url, "transport_options": self.transport_options}


class RedisBroker(Broker):
    def __init__(self, url=REDIS_URL, **transport_options):
        super().__init__(url, **transport_options)
        self.transport_options["global_keyprefix"] = f"{self.queue}:"

    def remove_queue(self):
        with redis.Redis.from_url(self.url) as client:
            for key in client.scan_iter(match=f"{self.queue}:*"):
                client.delete(key)


class RabbitMQBroker(Broker):
    def __init__(self, url=AMQP_URL, **transport_options):
        super().__init__(url, **transport_options)

    def remove_queue(self):
        with Connection(self.url) as connection, connection.channel() as channel:
            for name in (self.queue, self.unheard_queue):
                channel.queue_delete(name)
                channel.exchange_delete(name)


BROKERS = {"redis": RedisBroker, "rabbitmq": RabbitMQBroker}


def read_version(url):
    """Ask the server at the URL for its version, or raise what says why it does not answer."""
    with Connection(url, connect_timeout=TIMEOUT) as connection:
        connection.ensure_connection(max_retries=1, timeout=TIMEOUT)
        if connection.transport.driver_type == "redis":
            return connection.default_channel.client.info("server")["redis_version"]
        return connection.connection.server_properties["version"]


def need(name):
    """Skip the test if the server does not answer, or fail it where that must not be."""
    broker = BROKERS[name]()
    try:
        read_version(broker.url)
    except UNREACHABLE as error:
        outcome = pytest.fail if os.environ.get("REQUIRE_SERVICES") == "1" else pytest.skip
        outcome(f"{name} does not answer: {error}")
