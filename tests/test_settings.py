"""Settings: flags override the environment, which overrides `brewhouse.toml`, which overrides defaults."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from brewhouse.errors import BrewhouseError, UsageError, redacted
from brewhouse.settings import (
    AlertSettings,
    ScheduleSettings,
    Secret,
    SecretUrl,
    Settings,
    as_environment,
    load,
    origins,
)


def test_each_place_overrides_the_ones_below_it(tmp_path: Path) -> None:
    def concurrency(flags: dict[str, Any], environ: dict[str, str]) -> int:
        return load(flags, folder=tmp_path, environ=environ).concurrency

    assert concurrency({}, {}) == 12
    (tmp_path / "brewhouse.toml").write_text("concurrency = 5\n")
    assert concurrency({}, {}) == 5
    assert concurrency({}, {"BREWHOUSE_CONCURRENCY": "6"}) == 6
    assert concurrency({"concurrency": 7}, {"BREWHOUSE_CONCURRENCY": "6"}) == 7
    assert concurrency({"concurrency": None}, {"BREWHOUSE_CONCURRENCY": "6"}) == 6


def test_the_settings_of_all_places_are_merged(tmp_path: Path) -> None:
    (tmp_path / "brewhouse.toml").write_text('lake = "beer"\ntimeout_s = 3\n')
    settings = load({"max_attempts": 2}, folder=tmp_path, environ={"BREWHOUSE_SOURCE_URL": "http://x/v1/"})
    assert (settings.lake, settings.timeout_s, settings.max_attempts) == ("beer", 3.0, 2)
    assert str(settings.source_url) == "http://x/v1"
    assert load({}, folder=tmp_path, environ={"BREWHOUSE_LAKE": "wine"}).lake == "wine"


@pytest.mark.parametrize(
    ("toml", "environ", "flags", "message"),
    [
        ("concurency = 2", {}, {}, r"^concurency in .*brewhouse\.toml is not a setting. Did you mean concurrency\?$"),
        ("concurrency = 0", {}, {}, r"^concurrency in .*brewhouse\.toml must be 1 or more \(got 0\)\. "),
        ("concurrency = 'many'", {}, {}, r"must be a whole number \(got 'many'\)"),
        ("alerts = 1", {}, {}, r"alerts in .* must be a section \(got 1\)"),
        ("concurrency = ", {}, {}, r"brewhouse\.toml is not valid TOML"),
        ("", {"BREWHOUSE_TIMEOUT_S": "soon"}, {}, r"^BREWHOUSE_TIMEOUT_S must be a number \(got 'soon'\)"),
        ("", {"BREWHOUSE_TIMEOUT_S": "0"}, {}, r"^BREWHOUSE_TIMEOUT_S must be more than 0 \(got '0'\)"),
        ("", {"BREWHOUSE_ENGINE": "sparc"}, {}, r"^BREWHOUSE_ENGINE must be one of duckdb, spark \(got 'sparc'\)"),
        ("", {"BREWHOUSE_ALERTS_KINDS": "never"}, {}, r"^BREWHOUSE_ALERTS_KINDS must be one of failed, checks_failed"),
        (
            "",
            {"BREWHOUSE_CATALOG_DATABASE_PREFIX": "A-B"},
            {},
            r"must be lower-case letters, digits and _ \(got 'A-B'\)",
        ),
        ("", {}, {"per_page_rows": 201}, r"^per_page_rows must be 200 or less \(got 201\)"),
        ("", {}, {"colour": "red"}, r"^colour is not a setting"),
        ("source_url = 'x.org/v1'", {}, {}, r"must start with http:// or https:// and .* \(got 'x\.org/v1'\)"),
        ("", {"BREWHOUSE_SOURCE_URL": "ftp://joe:word@x"}, {}, r"^BREWHOUSE_SOURCE_URL must start .*'ftp://x'\)"),
        ("", {}, {"catalog_uri": "http://:80"}, r"^catalog_uri must start with .* \(got 'http://:80'\)"),
    ],
)
def test_an_invalid_setting_is_named_with_its_place(
    tmp_path: Path, toml: str, environ: dict[str, str], flags: dict[str, Any], message: str
) -> None:
    (tmp_path / "brewhouse.toml").write_text(toml)
    with pytest.raises(UsageError, match=message):
        load(flags, folder=tmp_path, environ=environ)


def test_toml_that_is_not_utf_8_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "brewhouse.toml").write_bytes(b'lake = "\xff"')
    with pytest.raises(UsageError, match=r"brewhouse\.toml is not valid TOML"):
        load({}, folder=tmp_path, environ={})


def test_a_section_is_merged_from_all_places_too(tmp_path: Path) -> None:
    (tmp_path / "brewhouse.toml").write_text('[alerts]\nurls = ["json://a"]\nlate_after_hours = 26\n')
    environ = {"BREWHOUSE_ALERTS_URLS": "json://b json://c", "BREWHOUSE_ALERTS_QUIET_HOURS": "22:00-07:00"}
    alerts = load({}, folder=tmp_path, environ=environ).alerts
    assert [url.reveal() for url in alerts.urls] == ["json://b", "json://c"]
    assert (alerts.late_after_hours, alerts.quiet_hours) == (26.0, "22:00-07:00")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('urls = "json://t0ken"', r"alerts\.urls in .* must be a list of texts\."),
        ('kinds = ["sometimes"]', r"alerts\.kinds"),
        ('quiet_hours = "25:00-07:00"', r"alerts\.quiet_hours"),
        ("late_after_hours = -1", r"alerts\.late_after_hours"),
        ("colour = 1", r"alerts\.colour in .* is not a setting"),
    ],
)
def test_an_invalid_setting_of_a_section_is_named_without_its_secret(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "brewhouse.toml").write_text(f"[alerts]\n{line}\n")
    with pytest.raises(UsageError, match=message) as failure:
        load({}, folder=tmp_path, environ={})
    assert "t0ken" not in str(failure.value)


def test_secrets_are_masked_when_the_settings_are_printed() -> None:
    settings = load({"alerts": {"urls": ["slack://t0ken"], "ping_url": "https://x/t0ken"}}, environ={})
    assert "t0ken" not in repr(settings)


def test_settings_exported_as_variables_are_read_back_unchanged(tmp_path: Path) -> None:
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


def test_exported_variables_are_text_without_unset_ones() -> None:
    variables = as_environment(Settings(concurrency=2, schedule=ScheduleSettings(cron="0 6 * * *")))
    assert variables["BREWHOUSE_CONCURRENCY"] == "2"
    assert variables["BREWHOUSE_SCHEDULE_CRON"] == "0 6 * * *"
    assert variables["BREWHOUSE_ALERTS_KINDS"] == "failed checks_failed recovered late"
    assert "BREWHOUSE_MODELS" not in variables
    assert "BREWHOUSE_CONSOLE_PASSWORD" not in variables


@pytest.mark.parametrize(
    ("text", "is_valid"),
    [("22:00-07:00", True), ("", True), ("00:00-23:59", True), ("24:00-07:00", False), ("22-7", False), (" ", False)],
)
def test_quiet_hours_are_a_range_of_times(text: str, *, is_valid: bool) -> None:
    environ = {"BREWHOUSE_ALERTS_QUIET_HOURS": text}
    if is_valid:
        assert load({}, environ=environ).alerts.quiet_hours == text
    else:
        with pytest.raises(
            UsageError, match=r"BREWHOUSE_ALERTS_QUIET_HOURS must be two times such as 22:00-07:00 \(got"
        ):
            load({}, environ=environ)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("per_page_rows", 1, 200), ("max_count_drop_percent", 0, 100), ("snapshot_retention_days", 0, 36_500)],
)
def test_the_limits_of_a_range_are_valid_and_values_beyond_them_are_not(name: str, low: int, high: int) -> None:
    for value in (low, high):
        assert getattr(load({name: value}, environ={}), name) == value
    for value in (low - 1, high + 1):
        with pytest.raises(UsageError, match=name):
            load({name: value}, environ={})


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("BREWHOUSE_CONCURENCY", "Did you mean BREWHOUSE_CONCURRENCY?"),
        ("BREWHOUSE_ALERT_URLS", "Did you mean BREWHOUSE_ALERTS_URLS?"),
        ("BREWHOUSE_CONFG", "Did you mean BREWHOUSE_CONFIG?"),
        ("BREWHOUSE_FOO", "Unset it. `brewhouse config` lists the settings."),
        ("BREWHOUSE_QQQ", "Unset it. `brewhouse config` lists the settings."),
    ],
)
def test_an_unknown_variable_is_an_error_with_the_nearest_name(variable: str, hint: str) -> None:
    with pytest.raises(UsageError) as failure:
        load({}, environ={variable: "1"})
    assert str(failure.value) == f"The variable {variable} is not a setting. {hint}"


def test_variables_that_are_empty_or_of_others_are_ignored() -> None:
    environ = {"BREWHOUSE_CONCURRENCY": "", "BREWHOUSE_X": "", "BREWHOUSE_CONFIG": "", "LAKE": "x", "_BREWHOUSE_X": "x"}
    assert load({}, environ=environ) == Settings()


def test_another_settings_file_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "brewhouse.toml").write_text("concurrency = 5\n")
    (tmp_path / "other.toml").write_text("timeout_s = 5\n")
    settings = load({}, folder=tmp_path, environ={"BREWHOUSE_CONFIG": str(tmp_path / "other.toml")})
    assert (settings.concurrency, settings.timeout_s) == (12, 5.0)
    with pytest.raises(
        UsageError, match=r"settings file nowhere\.toml does not exist\. Check --config and BREWHOUSE_CONF"
    ):
        load({}, environ={"BREWHOUSE_CONFIG": "nowhere.toml"})


def test_the_origin_of_a_setting_is_the_highest_place_that_has_it(tmp_path: Path) -> None:
    file = tmp_path / "brewhouse.toml"
    file.write_text('concurrency = 5\ntimeout_s = 5\n[alerts]\nurls = ["json://a"]\n')
    environ = {"BREWHOUSE_CONCURRENCY": "6", "BREWHOUSE_SCHEDULE_CRON": "0 6 * * *"}
    assert origins(tmp_path, environ) == {
        "concurrency": "BREWHOUSE_CONCURRENCY",
        "timeout_s": str(file),
        "alerts.urls": str(file),
        "schedule.cron": "BREWHOUSE_SCHEDULE_CRON",
    }


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://example.com/v1/", "https://example.com/v1"),
        ("http://[::1]:8000/v1?lang=en", "http://[::1]:8000/v1"),
        ("https://example.com/@scope/v1", "https://example.com/@scope/v1"),
        ("https://joe:s3cret@example.com:81/v1", "https://example.com:81/v1"),
        ("https://s3cret-token@example.com", "https://example.com"),
        ("https://example.com/v1?api_key=s3cret&x=1#s3cret", "https://example.com/v1"),
        ("https://joe:s3c/ret@example.com/v1", "https://example.com/v1"),
        ("https://joe:s3c?r#et@example.com/v1", "https://example.com/v1"),
        ("https://joe:s3c@ret@example.com/v1?mail=a@b", "https://example.com/v1"),
        ("joe:s3cret@proxy:3128", "proxy:3128"),
    ],
)
def test_a_url_is_printed_and_stored_as_its_address_alone(url: str, address: str) -> None:
    secret = SecretUrl(url)
    assert f"{secret}" == address
    assert repr(secret) == "SecretUrl('…')"
    assert secret.reveal() == url


def test_the_resource_of_a_url_has_its_credentials_and_its_query() -> None:
    url = SecretUrl("https://joe:s3cret@example.com/v1/?api_key=abc#top")
    assert url.resource("/breweries", "page=1") == "https://joe:s3cret@example.com/v1/breweries?page=1&api_key=abc"
    assert url.resource("/meta") == "https://joe:s3cret@example.com/v1/meta?api_key=abc"
    assert SecretUrl("http://x/v1").resource("/meta") == "http://x/v1/meta"


def test_errors_contain_no_secret_of_the_settings_in_any_spelling() -> None:
    SecretUrl("https://joe:p%40ss w0rd@example.com/v1?api_key=k3y%2Fk3y&lang=en")
    Secret("slack://t0ken/ABCDEF")
    texts = ["p%40ss w0rd", "p@ss w0rd", "p%40ss%20w0rd", "p%40ss+w0rd", "k3y%2Fk3y", "k3y/k3y"]
    texts += ["am9lOnBAc3MgdzByZA==", "slack://t0ken/ABCDEF"]
    for text in texts:
        assert str(BrewhouseError(f"It said {text}.", hint=f"Not {text}")) == "It said …. Not …"
    assert redacted("lang=en") == "lang=en"


def test_a_short_secret_is_removed_as_a_word_and_not_within_others() -> None:
    SecretUrl("https://joe:brew@example.com")
    assert redacted("the password brew of a brewery") == "the password … of a brewery"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("read https://joe:x@h/p: failed", "read https://…@h/p: failed"),
        ("GET /v1?X-Amz-Signature=abc&X-Amz-Date=1", "GET /v1?X-Amz-Signature=…&X-Amz-Date=1"),
        ("'http://h/?access_token=a'", "'http://h/?access_token=…'"),
        ("https://h/p?page=1 and me@example.com", "https://h/p?page=1 and me@example.com"),
    ],
)
def test_credentials_of_any_other_url_are_removed_from_errors(text: str, shown: str) -> None:
    assert redacted(text) == shown


def test_a_settings_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / "brewhouse.toml"
    os.mkfifo(file)  # reading it would wait for a writer
    with pytest.raises(UsageError, match=r"brewhouse\.toml is not a file"):
        load({}, folder=tmp_path, environ={})
    file.unlink()
    file.mkdir()
    with pytest.raises(UsageError, match=r"brewhouse\.toml is not a file"):
        load({}, folder=tmp_path, environ={})
    file.rmdir()
    file.write_text("x = " + "[" * 100_000)
    with pytest.raises(UsageError, match=r"brewhouse\.toml is not valid TOML"):
        load({}, folder=tmp_path, environ={})
