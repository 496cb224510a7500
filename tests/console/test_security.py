"""Request checks and security headers, on every route of the console."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from tests.console.conftest import EVIL

from brewhouse.console import authentication
from brewhouse.console.app import create_app
from brewhouse.console.authentication import COOKIE, SESSION_S, Authenticator
from brewhouse.console.pages import breweries, changes, events, explore, login, overview, quality, runs, tables
from brewhouse.console.security import HEADERS, AllowedHosts, address_of, is_loopback, password_for
from brewhouse.errors import UsageError
from brewhouse.lake.lake import Lake
from brewhouse.settings import Secret, Settings, load

PASSWORD = "corręct horse"
PARAMETERS = {"run": "last", "name": "silver.breweries", "kind": "rejected"}
ROUTES = [
    (method, re.sub(r"{(\w+)(:\w+)?}", lambda match: PARAMETERS.get(match[1], "x"), route.path))
    for module in (login, overview, breweries, changes, explore, tables, runs, quality, events)
    for route in module.router.routes
    if isinstance(route, APIRoute)
    for method in route.methods or ()
]
"""Method and address of every route, with a value for each parameter."""
UNSAFE_ROUTES = [(method, path) for method, path in ROUTES if method != "GET"]
ERRORS = [("GET", "/nowhere"), ("GET", "/api/v1/nowhere"), ("DELETE", "/runs"), ("GET", "/events?level=LOUD")]


@pytest.fixture
def guarded(console_lake: Lake, console_settings: Settings) -> TestClient:
    """A console that listens on all addresses, with a password."""
    return guard(console_lake, console_settings)


@pytest.fixture(scope="module")
def signed_out(console_lake: Lake, console_settings: Settings) -> TestClient:
    """The same console, where nobody signs in."""
    return guard(console_lake, console_settings)


def guard(lake: Lake, settings: Settings) -> TestClient:
    """Return a client outside a `with` block, which would start the scheduler and compute what the pages show."""
    app = create_app(lake, settings, host="0.0.0.0", password=Secret(PASSWORD))
    return TestClient(app, base_url="http://192.0.2.7:8040", follow_redirects=False)


def test_the_routes_of_all_pages_are_covered() -> None:
    assert len(ROUTES) > 30
    assert {"/", "/login", "/runs/last/stop", "/api/v1/runs/last/log", "/api/v1/schedule"} <= {
        path for _, path in ROUTES
    }


@pytest.mark.parametrize(("method", "path"), [*[route for route in ROUTES if route[0] == "GET"], *ERRORS])
def test_every_response_has_the_security_headers(client: TestClient, method: str, path: str) -> None:
    headers = client.request(method, path, follow_redirects=False).headers
    assert {name: headers.get(name) for name in HEADERS} == HEADERS
    assert headers["cache-control"] == "no-store"


def test_the_policy_allows_only_the_console_s_own_files() -> None:
    directives = dict(part.split(" ", 1) for part in HEADERS["Content-Security-Policy"].split("; "))
    assert directives.pop("img-src") == "'self' data:"
    assert directives.pop("default-src") == directives.pop("base-uri") == directives.pop("frame-ancestors") == "'none'"
    assert set(directives.values()) == {"'self'"}
    assert set(directives) == {"script-src", "style-src", "connect-src", "form-action"}


@pytest.mark.parametrize("path", ["/static/style.css", "/static/htmx.min.js", "/static/icon.svg"])
def test_static_files_have_the_headers_and_may_be_cached(guarded: TestClient, path: str) -> None:
    answer = guarded.get(path)
    assert answer.status_code == 200
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    assert "no-store" not in answer.headers.get("cache-control", "")


def test_files_of_a_page_are_kept_by_browsers_until_their_content_changes(guarded: TestClient) -> None:
    files = re.findall(r'(?:src|href)="(/static/[^"]+)"', guarded.get("/login").text)
    assert len(files) >= 4
    for path in files:
        assert re.match(r"/static/[0-9a-f]{16}/", path)
        answer = guarded.get(path)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")


@pytest.mark.parametrize("path", ["/", "/tables", "/login", "/nowhere"])
def test_head_has_the_headers_of_get_and_no_body(client: TestClient, path: str) -> None:
    head, get = (client.request(method, path, follow_redirects=False) for method in ("HEAD", "GET"))
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.headers["content-type"] == get.headers["content-type"] if get.status_code == 200 else True


def test_a_health_check_needs_no_password_and_shows_nothing(guarded: TestClient) -> None:
    assert (guarded.get("/healthz").json(), guarded.head("/healthz").status_code) == ({"status": "ok"}, 200)


def test_a_body_is_limited_before_it_is_parsed(guarded: TestClient) -> None:
    def too_large() -> Iterator[bytes]:
        yield from [b"password=", *[b"x" * 100_000] * 20]

    assert guarded.post("/login", data={"password": "x" * 500_000}).status_code == 422
    assert guarded.post("/login", data={"password": "x" * 2_000_000}).status_code == 413
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = guarded.post("/login", content=too_large(), headers=form)  # without a declared length
    assert (answer.status_code, "The request is too large." in answer.text) == (413, True)


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc/passwd"]
)
def test_no_file_outside_the_static_folder_is_served(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "create_app" not in answer.text


@pytest.mark.parametrize(
    "path",
    ["/", "/explore", "/tables", "/tables/silver.breweries", "/runs", "/runs/last", "/quality", "/events", "/nowhere"],
)
def test_no_page_has_inline_scripts_or_styles(client: TestClient, path: str) -> None:
    html = client.get(path).text
    assert not re.search(r"<script(?![^>]*(src=|application/json))", html)
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", html)
    assert EVIL not in html


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8040",
        "127.0.0.1.evil.example",
        "192.0.2.1",
        "[::",
        "",
        "localhost.evil.example",
        "[x]",
    ],
)
def test_a_loopback_console_rejects_other_host_names(client: TestClient, host: str) -> None:
    answer = client.get("/api/v1/tables", headers={"Host": host})
    assert answer.status_code == 421
    assert set(answer.json()) == {"error", "hint"}


@pytest.mark.parametrize("host", ["127.0.0.1:8040", "localhost:8040", "[::1]:8040", "LOCALHOST", "127.1.2.3"])
def test_a_loopback_console_accepts_every_loopback_name(client: TestClient, host: str) -> None:
    assert client.get("/api/v1/tables", headers={"Host": host}).status_code == 200


def test_a_public_console_accepts_ip_addresses_its_own_name_and_allowed_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "Brewer")
    hosts = AllowedHosts("0.0.0.0", ["Brew.example.org"])
    for name in ("192.0.2.7:8040", "[2001:db8::1]:80", "brew.example.org", "brewer", "BREWER.local:80", "localhost"):
        assert hosts.allows(name), name
    for name in ("evil.example", "brewer.evil.example", "example.org"):
        assert not hosts.allows(name), name
    assert not AllowedHosts("127.0.0.1").allows("brewer")


def test_an_allowed_name_is_accepted_on_loopback_too() -> None:
    assert AllowedHosts("127.0.0.1", ["brew.example.org"]).allows("brew.example.org:443")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1"},
    ],
)
def test_another_site_cannot_change_anything(client: TestClient, headers: dict[str, str]) -> None:
    assert client.post("/logout", headers=headers, follow_redirects=False).status_code == 403


@pytest.mark.parametrize(("method", "path"), UNSAFE_ROUTES)
def test_every_route_that_changes_something_rejects_other_sites(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, path, headers={"Origin": "https://evil.example"}, follow_redirects=False)
    assert answer.status_code == 403
    assert "Cross-site request rejected." in answer.text
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "HTTP://127.0.0.1"},
        {"Origin": "http://localhost", "Host": "LOCALHOST"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_the_console_s_own_pages_and_programs_can_change_things(client: TestClient, headers: dict[str, str]) -> None:
    assert client.post("/logout", headers=headers, follow_redirects=False).status_code == 303


@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if route[1] != "/login"])
def test_every_route_requires_a_session(signed_out: TestClient, method: str, path: str) -> None:
    answer = signed_out.request(method, path)
    assert not signed_out.cookies, "the client got a session"
    if path.startswith("/api/"):
        assert (answer.status_code, set(answer.json())) == (401, {"error", "hint"})
    else:
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login?next=%2F")


def test_a_request_without_a_session_is_sent_to_the_login(guarded: TestClient) -> None:
    assert guarded.get("/tables?at=1").headers["location"] == "/login?next=%2Ftables%3Fat%3D1"
    assert guarded.post("/runs?at=1").headers["location"] == "/login?next=%2F"
    assert guarded.get("/api/v1/openapi.json").status_code == 401
    partial = guarded.get("/", headers={"HX-Request": "true"})
    assert (partial.status_code, partial.headers["hx-redirect"]) == (401, "/login")
    assert guarded.post("/static/../logout").status_code == 303


def test_before_the_login_nothing_about_the_lake_is_shown(
    guarded: TestClient, client: TestClient, console_lake: Lake
) -> None:
    rejected = client.get("/", headers={"Host": "evil.example"})
    for answer in (guarded.get("/login"), guarded.post("/login", data={"password": "guess"}), rejected):
        assert str(console_lake.root) not in answer.text
        assert 'href="/tables"' not in answer.text
        assert "Sign out" not in answer.text
    guarded.post("/login", data={"password": PASSWORD})
    page = guarded.get("/tables").text
    assert str(console_lake.root) in page
    assert "Sign out" in page


def test_the_password_starts_a_session_and_signing_out_ends_it(guarded: TestClient) -> None:
    answer = guarded.post("/login", data={"password": PASSWORD, "next": "/tables?at=1"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/tables?at=1")
    flags = set(answer.headers["set-cookie"].split("; ")[1:])
    assert flags == {"HttpOnly", f"Max-Age={SESSION_S}", "Path=/", "SameSite=lax"}
    assert guarded.get("/tables").status_code == 200
    assert guarded.get("/api/v1/tables").status_code == 200
    session = guarded.cookies[COOKIE]
    answer = guarded.post("/logout")
    assert answer.headers["location"] == "/login"
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert guarded.get("/tables").status_code == 303
    assert guarded.get("/tables", headers={"Cookie": f"{COOKIE}={session}"}).status_code == 303, "a copy of the cookie"


def test_behind_tls_the_cookie_is_sent_over_tls_only(guarded: TestClient) -> None:
    answer = guarded.post("https://192.0.2.7/login", data={"password": PASSWORD})
    assert "Secure" in answer.headers["set-cookie"].split("; ")


def test_a_session_expires_while_the_browser_still_sends_the_cookie(
    guarded: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    session = guarded.post("/login", data={"password": PASSWORD}).cookies[COOKIE]
    assert guarded.get("/tables").status_code == 200
    later_s = time.monotonic() + SESSION_S + 1
    monkeypatch.setattr(authentication, "time", SimpleNamespace(monotonic=lambda: later_s))
    assert guarded.get("/tables", headers={"Cookie": f"{COOKIE}={session}"}).status_code == 303


def test_the_printed_link_starts_a_session(guarded: TestClient) -> None:
    answer = guarded.get("/login", params={"token": PASSWORD, "next": "/runs"})
    assert answer.headers["location"] == "/runs"
    assert guarded.get("/tables").status_code == 200
    guarded.cookies.clear()
    assert guarded.get("/login", params={"token": "wrong"}).status_code == 403
    assert guarded.get("/tables").status_code == 303


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (f"Bearer {PASSWORD}", 200),
        (f"bearer {PASSWORD}", 200),
        ("Bearer wrong", 401),
        ("Bearer", 401),
        (f"Basic {PASSWORD}", 401),
        (PASSWORD, 401),
        ("", 401),
    ],
)
def test_programs_send_the_password_in_a_header(guarded: TestClient, authorization: str, status: int) -> None:
    answer = guarded.get("/api/v1/tables", headers={b"Authorization": authorization.encode()})
    assert answer.status_code == status
    assert "set-cookie" not in answer.headers


def test_a_wrong_password_shows_the_form_again_and_keeps_the_target(guarded: TestClient) -> None:
    answer = guarded.post("/login", data={"password": "guess", "next": '/tables?a="<b>'})
    assert answer.status_code == 403
    assert "Wrong password." in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert 'value="/tables?a=&#34;&lt;b&gt;"' in answer.text
    assert "guess" not in answer.text
    assert "Wrong password." not in guarded.get("/login").text


@pytest.mark.parametrize(
    "target", ["https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example", "/a\nb", "evil", ""]
)
def test_signing_in_never_leads_to_another_site(guarded: TestClient, target: str) -> None:
    answer = guarded.post("/login", data={"password": PASSWORD, "next": target})
    assert answer.headers["location"] == "/"


@pytest.mark.parametrize("form", [{}, {"password": "x" * 1001}, {"password": "x", "next": "/" * 4001}])
def test_a_form_with_missing_or_too_long_fields_is_invalid(guarded: TestClient, form: dict[str, str]) -> None:
    assert guarded.post("/login", data=form).status_code == 422


def test_without_a_password_the_login_leads_to_the_first_page(client: TestClient) -> None:
    for answer in (
        client.get("/login?next=/runs", follow_redirects=False),
        client.post("/login", data={"password": "any"}, follow_redirects=False),
    ):
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert "set-cookie" not in answer.headers


def test_a_cookie_of_another_process_is_rejected(guarded: TestClient) -> None:
    for cookie in ("", "nonsense", Authenticator(Secret(PASSWORD)).new_session()):
        guarded.cookies.set(COOKIE, cookie)
        assert guarded.get("/tables").status_code == 303


def test_after_five_wrong_passwords_the_address_has_to_wait(guarded: TestClient) -> None:
    assert [guarded.post("/login", data={"password": f"guess {n}"}).status_code for n in range(5)] == [403] * 5
    for answer in (
        guarded.post("/login", data={"password": PASSWORD}),
        guarded.get("/login", params={"token": PASSWORD}),
    ):
        assert answer.status_code == 429
        seconds = int(answer.headers["retry-after"])
        assert 0 < seconds <= 61
        assert f"Try again in {seconds} seconds." in answer.text
        assert "set-cookie" not in answer.headers
    bearer = {b"Authorization": f"Bearer {PASSWORD}".encode()}
    assert guarded.get("/api/v1/tables", headers=bearer).status_code == 401
    assert guarded.get("/login").status_code == 200


def test_wrong_passwords_in_headers_count_too_but_sessions_continue(guarded: TestClient) -> None:
    guarded.post("/login", data={"password": PASSWORD})
    session = dict(guarded.cookies)
    guarded.cookies.clear()
    for _ in range(5):
        assert guarded.get("/api/v1/tables", headers={"Authorization": "Bearer guess"}).status_code == 401
    assert guarded.post("/login", data={"password": PASSWORD}).status_code == 429
    guarded.cookies.update(session)
    assert guarded.get("/api/v1/tables").status_code == 200


def test_a_password_is_generated_only_where_other_machines_can_connect() -> None:
    assert password_for("127.0.0.1", None) == (None, False)
    assert password_for("::1", None) == (None, False)
    generated = [password_for(host, None) for host in ("0.0.0.0", "::", "192.0.2.7", "brewer")]
    passwords = {password.reveal() for password, is_generated in generated if password and is_generated}
    assert len(passwords) == 4
    assert all(len(password) >= 32 for password in passwords)
    assert not any(password in repr(generated) for password in passwords)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_configured_password_is_used_everywhere_and_may_not_be_empty(host: str) -> None:
    password = Secret("x")
    assert password_for(host, password) == (password, False)
    with pytest.raises(UsageError, match="password is empty") as error:
        password_for(host, Secret(""))
    assert "console.password" in error.value.hint


@pytest.mark.parametrize(
    ("host", "loopback"), [("127.8.8.8", True), ("::1", True), ("::", False), ("brewer", False), ("", False)]
)
def test_only_loopback_addresses_are_private(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_the_printed_address_names_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "brewer")
    assert address_of("0.0.0.0", 8040) == address_of("::", 8040) == "http://brewer:8040"
    assert address_of("2001:db8::1", 1) == "http://[2001:db8::1]:1"


def test_password_and_hosts_can_be_set_as_variables() -> None:
    settings = load(
        {}, environ={"BREWHOUSE_CONSOLE_PASSWORD": "x y", "BREWHOUSE_CONSOLE_ALLOWED_HOSTS": "a.example b.example"}
    )
    assert settings.console.password is not None
    assert settings.console.password.reveal() == "x y"
    assert settings.console.allowed_hosts == ("a.example", "b.example")
