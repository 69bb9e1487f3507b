"""What Celery is told: each of these was chosen, and a changed default of Celery must not change it."""

from __future__ import annotations

from celery import Celery
from job_kinds import EchoArgs, GateArgs

from app.core.celery_app import TaskApi
from app.infra.settings import QUEUES, Settings
from app.infra.token_transport import RUN_NEXT, message
from app.worker import kinds


def test_celery_is_told_this(settings: Settings) -> None:
    conf = TaskApi(settings).conf
    pinned = {
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        "task_ignore_result": True,
        "result_backend": None,
        "accept_content": ["json"],
        "task_default_queue": "default",
        "task_create_missing_queues": False,
        "worker_max_tasks_per_child": 10_000,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "worker_hijack_root_logger": False,
        "worker_enable_remote_control": False,
        "beat_enable_remote_control": False,
        "beat_scheduler": "app.core.beat:DatabaseScheduler",
        "worker_concurrency": settings.worker_concurrency,
    }
    assert {name: conf[name] for name in pinned} == pinned
    assert conf.broker_transport_options["time_limits"] == kinds.time_limits()


def test_a_worker_takes_from_the_queues_that_it_was_given(settings: Settings) -> None:
    app = TaskApi(settings.model_copy(update={"worker_queues": ["email", "slow"]}))
    assert set(app.amqp.queues) == {"email", "slow"}


def test_a_queue_s_hard_limit_is_above_those_of_its_kinds() -> None:
    limits = kinds.time_limits()
    assert set(limits) == set(QUEUES)
    for args in (EchoArgs, GateArgs):
        assert limits[args.queue] > args.timeout + args.grace


def test_celery_accepts_a_redis_on_a_socket(settings: Settings) -> None:
    on_socket = Settings(**{**settings.model_dump(), "redis_url": "unix:///run/redis.sock?db=3"})
    assert TaskApi(on_socket).connection_for_read().as_uri() == "unix:///run/redis.sock"


def test_the_one_message_is_what_celery_itself_would_send() -> None:
    ours = message("slow", 90)
    celery = Celery("reference", set_as_current=False)
    theirs = celery.amqp.as_task_v2(ours["headers"]["id"], RUN_NEXT, args=("slow",), time_limit=90)
    assert {name: theirs.headers[name] for name in ours["headers"]} == {**ours["headers"], "timelimit": [90, None]}
    assert ours["properties"]["correlation_id"] == theirs.properties["correlation_id"]
