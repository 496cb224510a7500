"""What keeps strangers out of the console."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from brewhouse.console.app import create_app
from brewhouse.console.authentication import COOKIE, Authenticator, LoginThrottle
from brewhouse.console.security import AllowedHosts, is_loopback, password_for
from brewhouse.errors import UsageError
from brewhouse.lake.lake import Lake
from brewhouse.settings import Secret, Settings, load

PASSWORD = "correct horse"


@pytest.fixture
def guarded(console_lake: Lake, console_settings: Settings) -> Iterator[TestClient]:
    """A console that listens on all addresses, behind a password."""
    app = create_app(console_lake, console_settings, host="0.0.0.0", password=Secret(PASSWORD))
    with TestClient(app, base_url="http://192.0.2.7:8040", follow_redirects=False) as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/tables", "/api/v1/tables", "/static/style.css", "/nowhere"])
def test_every_answer_forbids_foreign_code_frames_and_guesses_of_types(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


def test_no_page_has_script_or_style_of_its_own(client: TestClient) -> None:
    for path in ("/", "/tables", "/tables/silver.breweries", "/nowhere"):
        html = client.get(path).text
        assert not re.search(r"<script(?![^>]*(src=|application/json))", html), path
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", html), path


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8040", "127.0.0.1.evil.example", "192.0.2.1", "[::"])
def test_only_this_machine_s_own_names_are_answered_to(client: TestClient, host: str) -> None:
    assert client.get("/api/v1/tables", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1:8040", "localhost:8040", "[::1]:8040", "LOCALHOST"])
def test_loopback_has_several_names(client: TestClient, host: str) -> None:
    assert client.get("/api/v1/tables", headers={"Host": host}).status_code == 200


def test_beyond_this_machine_numbers_and_allowed_names_are_answered_to() -> None:
    names = AllowedHosts("0.0.0.0", ["brew.example.org"])
    assert names.knows("192.0.2.7:8040")
    assert names.knows("brew.example.org")
    assert not names.knows("evil.example")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1"},
    ],
)
def test_another_site_cannot_change_anything(client: TestClient, headers: dict[str, str]) -> None:
    assert client.post("/logout", headers=headers, follow_redirects=False).status_code == 403


def test_the_console_s_own_pages_can_change_things(client: TestClient) -> None:
    own = {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/logout", headers=own, follow_redirects=False).status_code == 303


def test_nothing_is_shown_before_somebody_signed_in(guarded: TestClient) -> None:
    page = guarded.get("/tables?at=1")
    assert (page.status_code, page.headers["location"]) == (303, "/login?next=%2Ftables%3Fat%3D1")
    data = guarded.get("/api/v1/tables")
    assert (data.status_code, set(data.json())) == (401, {"error", "hint"})
    assert guarded.get("/api/v1/openapi.json").status_code == 401
    assert guarded.get("/", headers={"HX-Request": "true"}).headers["hx-redirect"] == "/login"
    assert guarded.post("/static/../logout").status_code == 303


def test_strangers_are_told_nothing_about_the_lake(guarded: TestClient, client: TestClient, console_lake: Lake) -> None:
    refused = client.get("/", headers={"Host": "evil.example"})
    for answer in (guarded.get("/login"), guarded.post("/login", data={"password": "guess"}), refused):
        assert str(console_lake.root) not in answer.text
        assert 'href="/tables"' not in answer.text
    guarded.post("/login", data={"password": PASSWORD})
    assert str(console_lake.root) in guarded.get("/tables").text


def test_the_password_opens_and_the_cookie_is_kept_from_scripts_and_other_sites(guarded: TestClient) -> None:
    answer = guarded.post("/login", data={"password": PASSWORD, "next": "/tables"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/tables")
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert "SameSite=lax" in answer.headers["set-cookie"]
    assert guarded.get("/tables").status_code == 200
    guarded.post("/logout")
    assert guarded.get("/tables").status_code == 303


def test_the_printed_link_and_a_header_open_too(guarded: TestClient) -> None:
    assert guarded.get("/api/v1/tables", headers={"Authorization": f"Bearer {PASSWORD}"}).status_code == 200
    assert guarded.get("/api/v1/tables", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert guarded.get("/login", params={"token": PASSWORD}).headers["location"] == "/"
    assert guarded.get("/tables").status_code == 200


def test_signing_in_leads_to_no_other_site(guarded: TestClient) -> None:
    for elsewhere in ("https://evil.example", "//evil.example", "/\\evil.example", "/a\nb"):
        answer = guarded.post("/login", data={"password": PASSWORD, "next": elsewhere})
        assert answer.headers["location"] == "/"


def test_a_cookie_of_another_process_or_a_made_one_is_worth_nothing(guarded: TestClient) -> None:
    for cookie in ("", "nonsense", Authenticator(Secret(PASSWORD)).session()):
        guarded.cookies.set(COOKIE, cookie)
        assert guarded.get("/tables").status_code == 303


def test_guessing_is_slowed_down_even_when_the_sixth_guess_is_right(guarded: TestClient) -> None:
    answers = [guarded.post("/login", data={"password": f"guess {n}"}).status_code for n in range(5)]
    assert answers == [403] * 5
    answer = guarded.post("/login", data={"password": PASSWORD})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 61
    assert guarded.get("/api/v1/tables", headers={"Authorization": f"Bearer {PASSWORD}"}).status_code == 401


def test_a_network_of_version_6_counts_as_one_and_others_are_not_kept_waiting() -> None:
    throttle = LoginThrottle()
    for number in range(5):
        throttle.wrong(f"2001:db8::{number}")
    assert throttle.wait_s("2001:db8::ffff") > 0
    assert throttle.wait_s("2001:db8:1::1") == 0
    assert throttle.wait_s("192.0.2.1") == 0


def test_only_beyond_this_machine_is_a_password_made() -> None:
    assert password_for("127.0.0.1", None) == (None, False)
    made, is_made = password_for("0.0.0.0", None)
    assert made is not None
    assert is_made
    assert len(made.reveal()) >= 32
    assert made.reveal() not in repr(made)
    with pytest.raises(UsageError, match="empty"):
        password_for("127.0.0.1", Secret(""))
    assert not is_loopback("::")


def test_the_password_can_be_a_variable() -> None:
    settings = load(
        {}, environ={"BREWHOUSE_CONSOLE_PASSWORD": "x y", "BREWHOUSE_CONSOLE_ALLOWED_HOSTS": "a.example b.example"}
    )
    assert settings.console.password is not None
    assert settings.console.password.reveal() == "x y"
    assert settings.console.allowed_hosts == ("a.example", "b.example")


def test_an_error_is_words_and_never_a_traceback(
    console_lake: Lake, console_settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(console_lake, console_settings)

    @app.get("/broken")
    @app.get("/api/v1/broken")
    def broken() -> None:
        raise ZeroDivisionError("secret detail")

    client = TestClient(app, base_url="http://127.0.0.1")
    page, data = client.get("/broken"), client.get("/api/v1/broken")
    assert page.status_code == data.status_code == 500
    assert "Something unexpected went wrong." in page.text
    assert data.json()["error"] == "Something unexpected went wrong."
    assert "secret detail" not in page.text + data.text
    assert "content-security-policy" in page.headers
    assert "secret detail" in caplog.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/nowhere", 404),
        ("/api/v1/tables/silver.nothing", 404),
        ("/api/v1/overview?at=never", 404),
        ("/api/v1/overview?at=1999-01-01", 404),
        ("/api/v1/overview?country=" + "x" * 500, 422),
    ],
)
def test_every_error_of_the_data_has_one_shape(client: TestClient, path: str, status: int) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "hint"}
    assert answer.json()["error"]
