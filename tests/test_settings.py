"""Settings: flags over environment over `brewhouse.toml` over defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from brewhouse.errors import UsageError
from brewhouse.settings import AlertSettings, ScheduleSettings, Secret, Settings, as_environment, load


def test_each_place_yields_to_the_one_above_it(tmp_path: Path) -> None:
    def concurrency(flags: dict[str, Any], environ: dict[str, str]) -> int:
        return load(flags, folder=tmp_path, environ=environ).concurrency

    assert concurrency({}, {}) == 4
    (tmp_path / "brewhouse.toml").write_text("concurrency = 5\n")
    assert concurrency({}, {}) == 5
    assert concurrency({}, {"BREWHOUSE_CONCURRENCY": "6"}) == 6
    assert concurrency({"concurrency": 7}, {"BREWHOUSE_CONCURRENCY": "6"}) == 7
    assert concurrency({"concurrency": None}, {"BREWHOUSE_CONCURRENCY": "6"}) == 6


def test_the_places_are_put_together(tmp_path: Path) -> None:
    (tmp_path / "brewhouse.toml").write_text('lake = "beer"\ntimeout_s = 3\n')
    settings = load({"max_attempts": 2}, folder=tmp_path, environ={"BREWHOUSE_SOURCE_URL": "http://x/v1/"})
    assert (settings.lake, settings.timeout_s, settings.max_attempts) == ("beer", 3.0, 2)
    assert settings.source_url == "http://x/v1"
    assert load({}, folder=tmp_path, environ={"BREWHOUSE_LAKE": "wine"}).lake == "wine"


@pytest.mark.parametrize(
    ("toml", "environ", "flags", "message"),
    [
        ("concurency = 2", {}, {}, r"brewhouse\.toml.*concurency"),
        ("concurrency = 0", {}, {}, r"brewhouse\.toml.*concurrency"),
        ("concurrency = ", {}, {}, r"brewhouse\.toml is no valid TOML"),
        ("", {"BREWHOUSE_TIMEOUT_S": "soon"}, {}, r"environment.*timeout_s"),
        ("", {}, {"per_page_rows": 201}, r"command line.*per_page_rows"),
        ("", {}, {"colour": "red"}, r"command line.*colour"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(
    tmp_path: Path, toml: str, environ: dict[str, str], flags: dict[str, Any], message: str
) -> None:
    (tmp_path / "brewhouse.toml").write_text(toml)
    with pytest.raises(UsageError, match=message):
        load(flags, folder=tmp_path, environ=environ)


def test_toml_that_is_no_utf_8_is_named(tmp_path: Path) -> None:
    (tmp_path / "brewhouse.toml").write_bytes(b'lake = "\xff"')
    with pytest.raises(UsageError, match=r"brewhouse\.toml is no valid TOML"):
        load({}, folder=tmp_path, environ={})


def test_a_section_is_put_together_from_its_places_too(tmp_path: Path) -> None:
    (tmp_path / "brewhouse.toml").write_text('[alerts]\nurls = ["json://a"]\nlate_after_hours = 26\n')
    environ = {"BREWHOUSE_ALERTS_URLS": "json://b json://c", "BREWHOUSE_ALERTS_QUIET_HOURS": "22:00-07:00"}
    alerts = load({}, folder=tmp_path, environ=environ).alerts
    assert [url.reveal() for url in alerts.urls] == ["json://b", "json://c"]
    assert (alerts.late_after_hours, alerts.quiet_hours) == (26.0, "22:00-07:00")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('urls = "json://t0ken"', r"Expected `array`.*alerts\.urls"),
        ('kinds = ["sometimes"]', r"alerts\.kinds"),
        ('quiet_hours = "25:00-07:00"', r"alerts\.quiet_hours"),
        ("late_after_hours = -1", r"alerts\.late_after_hours"),
        ("colour = 1", r"colour.*alerts"),
    ],
)
def test_a_wrong_setting_of_a_section_is_named_and_no_secret_shown(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "brewhouse.toml").write_text(f"[alerts]\n{line}\n")
    with pytest.raises(UsageError, match=message) as failure:
        load({}, folder=tmp_path, environ={})
    assert "t0ken" not in str(failure.value)


def test_an_address_is_not_shown_when_the_settings_are_printed() -> None:
    settings = load({"alerts": {"urls": ["slack://t0ken"], "ping_url": "https://x/t0ken"}}, environ={})
    assert "t0ken" not in repr(settings)


def test_settings_written_as_variables_are_read_as_they_were(tmp_path: Path) -> None:
    alerts = AlertSettings(urls=(Secret("json://a"), Secret("mailto://b")), kinds=("late",), late_after_hours=26.0)
    settings = Settings(
        lake="beer",
        concurrency=2,
        models=Path("mine"),
        alerts=alerts,
        schedule=ScheduleSettings(cron="0 6 * * *", time_zone="Europe/Berlin"),
    )
    read = load({}, folder=tmp_path, environ=as_environment(settings))
    assert as_environment(read) == as_environment(settings)
    assert (read.models, read.schedule, read.alerts.kinds) == (
        settings.models,
        settings.schedule,
        settings.alerts.kinds,
    )
