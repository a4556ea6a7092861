"""How the Celery workers run: dagster_celery.app takes it up where it can be imported.

Law: a worker takes a task from the broker when it has a slot for it and not before, and
the task is then the worker's. What a worker that died leaves in the broker is given to
another within a minute; what it had begun is retried by the engine, as it always is.
"""

import os

broker_url = os.environ["CELERY_BROKER_URL"]
result_backend = os.environ["CELERY_RESULT_BACKEND"]

result_expires = 604_800
"""In seconds. The same as in dagster.yaml."""

worker_disable_prefetch = True
"""With Redis. RabbitMQ gives the tasks of a worker that died to another by itself."""

worker_prefetch_multiplier = 1
broker_transport_options = {"visibility_timeout": 60}
broker_connection_retry_on_startup = True

imports = ("sync_pipelines.definitions",)
"""Imported once, before the worker forks: a run finds everything in memory."""

worker_max_tasks_per_child = 200
"""A new process now and then, whatever a driver may have left in the old one."""

worker_hijack_root_logger = False
