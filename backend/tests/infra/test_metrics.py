from __future__ import annotations

from app.infra.metrics import Metrics


def test_requests_are_counted_by_route_method_and_status() -> None:
    metrics = Metrics()
    for status in (200, 200, 404):
        metrics.observe_request("/tasks/{task_id}", "GET", status, 0.004)
    text = metrics.render().decode()
    assert 'taskapi_http_requests_total{method="GET",route="/tasks/{task_id}",status="200"} 2.0' in text
    assert 'taskapi_http_requests_total{method="GET",route="/tasks/{task_id}",status="404"} 1.0' in text
    assert 'taskapi_http_request_duration_seconds_count{method="GET",route="/tasks/{task_id}"} 3.0' in text
    assert 'seconds_bucket{le="0.005",method="GET",route="/tasks/{task_id}"} 3.0' in text


def test_two_applications_do_not_share_figures() -> None:
    one, other = Metrics(), Metrics()
    one.observe_check("database", healthy=True)
    assert "taskapi_health_check_healthy{" not in other.render().decode()


def test_a_gauge_is_read_when_the_metrics_are() -> None:
    metrics = Metrics()
    value = 1.0
    metrics.gauge("taskapi_example", "An example.", lambda: value)
    value = 7.0
    assert "taskapi_example 7.0" in metrics.render().decode()
