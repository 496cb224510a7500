"""Settings: flags over environment over `brewhouse.toml` over defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from brewhouse.errors import UsageError
from brewhouse.settings import load


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
    settings = load({"max_tries": 2}, folder=tmp_path, environ={"BREWHOUSE_SOURCE_URL": "http://x/v1/"})
    assert (settings.lake, settings.timeout_s, settings.max_tries) == ("beer", 3.0, 2)
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
