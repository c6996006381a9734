"""Gauges are read at scrape time; a broken one is left out and logged."""

import logging

import pytest

from apps.observability import metrics


def test_a_gauge_is_read_anew_on_every_scrape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics._gauges, "_readers", {})
    values = iter([3.0, 5.0])
    metrics.register_gauge(name="ready_runs", description="Waiting.", read=lambda: next(values))
    assert b"\noctavo_ready_runs 3.0\n" in metrics.render()
    assert b"\noctavo_ready_runs 5.0\n" in metrics.render()


def test_a_broken_gauge_hides_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> float:
        raise OSError("the database is down")

    monkeypatch.setattr(metrics._gauges, "_readers", {})
    metrics.register_gauge(name="broken", description="Fails.", read=fail)
    metrics.register_gauge(name="whole", description="Works.", read=lambda: 1)
    with caplog.at_level(logging.WARNING):
        text = metrics.render()
    assert b"octavo_whole 1.0" in text
    assert b"octavo_broken" not in text
    assert "octavo_broken could not be read: the database is down" in caplog.text


def test_labels_never_hold_a_path_or_an_id() -> None:
    metrics.count_http_request(method="GET", route="api/v1/runs/<id>", status=200, seconds=0.01)
    expected = b'octavo_http_requests_total{method="GET",route="api/v1/runs/<id>",status="200"}'
    assert expected in metrics.render()
