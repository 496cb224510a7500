"""The tables pages: published tables with columns, snapshots, sample rows and lineage."""

from __future__ import annotations

import html
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from brewhouse.console.app import create_app
from brewhouse.console.lake_reader import LakeReader
from brewhouse.console.pages.tables import SAMPLE_ROWS, profile, snapshot_options, table_details
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.lake import Lake
from brewhouse.models.lineage import SOURCE
from brewhouse.models.model import ZONES
from brewhouse.models.project import models_of
from brewhouse.query.connection import connect
from brewhouse.settings import load

PORTUGUESE = {"Accept-Language": "pt-BR,en;q=0.5"}
PUBLISHED = {
    *("silver.breweries", "silver.brewery_changes", "silver.rejected_breweries", "silver.suspect_breweries"),
    *("gold.breweries_by_location", "gold.breweries_by_type_and_location", "gold.brewery_counts_over_time"),
}


def get(client: TestClient, path: str, **params: str) -> Any:  # noqa: ANN401 - JSON
    answer = client.get(f"/api/v1/tables{path}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_every_published_table_is_listed_with_its_size(console_lake: Lake, client: TestClient) -> None:
    tables = {table["name"]: table for table in get(client, "")}
    assert set(tables) == PUBLISHED
    assert list(tables) == sorted(tables)
    stored = Tables(console_lake)
    with connect(console_lake) as connection:
        for name, table in tables.items():
            assert connection.execute(f"SELECT count(*) FROM {name}").fetchone() == (table["rows"],)
            assert table["files"] == len(stored.current_files(name))
            assert table["size_bytes"] == sum(Path(file.path).stat().st_size for file in stored.current_files(name))


def test_a_table_is_described_by_its_model(client: TestClient) -> None:
    models = {model.name: model for model in models_of(*ZONES)}
    for name in PUBLISHED:
        detail = get(client, f"/{name}")
        assert detail["summary"]["description"] == models[name].description
        assert all(column["description"] and column["type"] for column in detail["columns"])
    breweries = get(client, "/silver.breweries")
    assert {"name": "longitude", "type": "double"}.items() <= next(
        column for column in breweries["columns"] if column["name"] == "longitude"
    ).items()
    assert breweries["sort"]


def test_snapshots_are_listed_newest_first_with_their_runs(console_lake: Lake, client: TestClient) -> None:
    snapshots = get(client, "/silver.breweries")["snapshots"]
    assert [snapshot["rows"] for snapshot in snapshots] == [400, 399]
    assert [snapshot["current"] for snapshot in snapshots] == [True, False]
    with connect(console_lake) as connection:
        runs = connection.execute("SELECT run FROM monitoring.runs ORDER BY started_at DESC").fetchall()
    assert [(snapshot["run"],) for snapshot in snapshots] == runs
    assert [snapshot["snapshot"] for snapshot in snapshots] == [
        str(snapshot.snapshot_id) for snapshot in reversed(Tables(console_lake).history("silver.breweries"))
    ]
    assert all(isinstance(snapshot["snapshot"], str) and len(snapshot["snapshot"]) > 16 for snapshot in snapshots)


def test_json_has_the_documented_keys(client: TestClient) -> None:
    (summary, *_) = get(client, "")
    assert set(summary) == {"name", "description", "rows", "files", "size_bytes", "published_at"}
    detail = get(client, "/silver.breweries")
    assert set(detail) == {"summary", "columns", "partition", "sort", "snapshots"}
    assert set(detail["columns"][0]) == {"name", "type", "description"}
    assert set(detail["snapshots"][0]) == {
        *("snapshot", "committed_at", "operation", "rows", "files", "run", "raw_snapshot", "current")
    }
    assert set(get(client, "/silver.breweries/sample")) == {"columns", "rows"}


def test_a_sample_has_the_first_rows_with_all_columns(client: TestClient) -> None:
    sample = get(client, "/gold.breweries_by_location/sample")
    detail = get(client, "/gold.breweries_by_location")
    assert sample["columns"] == [column["name"] for column in detail["columns"]]
    assert len(sample["rows"]) == min(SAMPLE_ROWS, detail["summary"]["rows"])
    assert {len(row) for row in sample["rows"]} == {len(sample["columns"])}


def test_a_sample_of_an_earlier_snapshot_has_its_rows(client: TestClient) -> None:
    changes = get(client, "/silver.brewery_changes")
    assert [snapshot["rows"] for snapshot in changes["snapshots"]] == [400, 399]
    older = changes["snapshots"][1]
    sample = get(client, "/silver.brewery_changes/sample", at=older["snapshot"])
    column = sample["columns"].index("snapshot_run")
    assert {row[column] for row in sample["rows"]} == {older["raw_snapshot"]}
    page = client.get("/tables/silver.brewery_changes", params={"at": older["snapshot"]}).text
    assert f"as of {older['snapshot']}" in page


@pytest.mark.parametrize(
    "name", ["silver.missing", "breweries", "bronze.breweries", "silver.breweries.x", "'; --", "%00"]
)
def test_an_unknown_table_is_not_found(client: TestClient, name: str) -> None:
    for path in (f"/tables/{name}", f"/api/v1/tables/{name}"):
        answer = client.get(path)
        assert answer.status_code == 404
    assert set(answer.json()) == {"error", "hint"}


def test_a_sample_of_an_unknown_table_is_not_found(client: TestClient) -> None:
    for name in ("silver.missing", 'silver.breweries"; SELECT 1; --'):
        assert client.get(f"/api/v1/tables/{name}/sample").status_code == 404
    assert client.get("/api/v1/tables/bronze.breweries/sample").status_code == 200, "a view without snapshots"


def test_the_list_links_to_every_table_and_shows_the_lineage(client: TestClient) -> None:
    page = client.get("/tables").text
    assert f"{len(PUBLISHED)} tables" in page
    assert all(f'<a href="/tables/{name}"><code>{name}</code></a>' in page for name in PUBLISHED)
    svg = page[page.index("<svg") : page.rindex("</svg>")]
    assert all(f'href="/tables/{name}"' in svg for name in PUBLISHED)
    assert SOURCE in svg


def test_a_table_page_shows_columns_snapshots_and_neighbors(client: TestClient) -> None:
    detail = get(client, "/silver.breweries")
    page = client.get("/tables/silver.breweries").text
    for column in detail["columns"]:
        assert f"<code>{column['name']}</code>" in page
    for snapshot in detail["snapshots"]:
        assert f"<code>{snapshot['snapshot']}</code>" in page
        assert f'href="/runs/{snapshot["run"]}"' in page
    assert f'href="/tables/silver.breweries?at={detail["snapshots"][1]["snapshot"]}#sample"' in page
    facts = page[page.index("card facts") : page.index('id="columns"')]
    assert 'href="/tables/gold.breweries_by_location"' in facts
    assert "bronze.breweries" in html.unescape(facts) or "staging.records" in html.unescape(facts)
    assert "SELECT+%2A+FROM+silver.breweries+LIMIT+100" in page


def test_pages_are_translated(client: TestClient) -> None:
    page = client.get("/tables", headers=PORTUGUESE).text
    assert '<html lang="pt-BR">' in page
    assert "Linhagem das tabelas" in page
    assert "Publicado em" in client.get("/tables/silver.breweries", headers=PORTUGUESE).text


def test_values_of_a_sample_are_escaped(client: TestClient, varied_client: TestClient) -> None:
    name = next(row["name"] for row in varied_client.get("/api/v1/overview/spots").json() if row["name"][:2] == "O'")
    table_page = client.get("/tables/silver.breweries").text
    assert "<script>alert" not in table_page
    for path in ("/tables/silver.breweries", "/tables/silver.brewery_changes", "/tables"):
        page = varied_client.get(path).text
        assert "<b onclick" not in page
        assert name not in page
    assert "∅" in table_page, "a missing value differs from an empty text"


def test_a_lake_without_tables_has_an_empty_list(empty_client: TestClient) -> None:
    assert get(empty_client, "") == []
    page = empty_client.get("/tables").text
    assert "Nothing is published yet" in page
    assert "<svg" in page, "the lineage does not need published tables"
    assert empty_client.get("/api/v1/tables/silver.breweries").status_code == 404


def test_a_folder_without_a_lake_offers_the_first_run(tmp_path: Path) -> None:
    with TestClient(create_app(Lake(tmp_path), load({}, environ={})), base_url="http://127.0.0.1") as client:
        for path in ("/", "/tables"):
            answer = client.get(path)
            assert answer.status_code == 200
            assert "Run now" in answer.text
            assert 'role="alert"' not in answer.text
        assert "Nothing is published yet" in client.get("/explore").text


def test_an_invalid_model_of_the_user_replaces_the_lineage_by_its_error(console_lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "gold").mkdir()
    (tmp_path / "gold" / "broken.sql").write_text("-- <b>Broken</b>\nSELECT FROM WHERE", "utf-8")
    settings = load({"models": str(tmp_path)}, environ={})
    with TestClient(create_app(console_lake, settings), base_url="http://127.0.0.1") as client:
        page = client.get("/tables").text
        assert '<svg class="lineage"' not in page
        assert "broken" in page
        assert "<b>Broken" not in page
        assert client.get("/tables/silver.breweries").status_code == 200


def test_snapshot_options_are_one_for_each_raw_snapshot(console_lake: Lake) -> None:
    options = snapshot_options(console_lake, LakeReader(console_lake).state())
    assert [(option.rows, option.current) for option in options] == [(400, True), (399, False)]
    detail = table_details(console_lake, LakeReader(console_lake).state())["silver.breweries"]
    assert [option.at for option in options] == [snapshot.raw_snapshot for snapshot in detail.snapshots]
    assert all(isinstance(option.data_day, date) for option in options)


def test_a_lake_without_breweries_has_no_snapshot_options(empty_client: TestClient) -> None:
    lake = empty_client.app.state.console.lake  # type: ignore[attr-defined]
    assert snapshot_options(lake, LakeReader(lake).state()) == []


def test_a_table_shows_its_model_checks_profile_and_the_day_of_its_data(client: TestClient) -> None:
    page = client.get("/tables/silver.breweries").text
    assert "FROM staging.records AS record" in html.unescape(page), "the SQL of its model"
    assert "(id) is unique" in page
    assert page.count("Data as of") >= 3, "in the frame, the facts and the snapshots"
    row = re.search(r"<code>name</code><p.*?</tr>", page, re.DOTALL)
    assert row
    assert re.findall(r'<td class="right" data-label="Nulls">([\d,]+)</td>', row[0]) == ["0"], "no name is missing"
    assert "No rows." not in page


def test_columns_are_profiled(console_lake: Lake) -> None:
    state = LakeReader(console_lake).state()
    table = table_details(console_lake, state)["silver.breweries"]
    found = profile(state, table)
    assert list(found) == [column.name for column in table.columns]
    [(nulls, distinct, least, greatest)] = (
        state.cursor()
        .execute("SELECT count(*) - count(phone), count(DISTINCT phone), min(phone), max(phone) FROM silver.breweries")
        .fetchall()
    )
    phone = found["phone"]
    top = phone.pop("top")
    assert phone == {"nulls": nulls, "distinct": distinct, "least": least, "greatest": greatest}
    assert len(top) == 3
    assert "micro" in found["brewery_type"]["top"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_whole_table_is_downloaded(client: TestClient, kind: str) -> None:
    answer = client.post("/tables/gold.breweries_by_location/download", data={"kind": kind})
    assert answer.headers["content-disposition"].endswith(f'.{kind}"')
    assert answer.content.startswith(b"country_code," if kind == "csv" else b"PAR1")
    assert client.post("/tables/silver.nothing/download", data={"kind": kind}).status_code == 404


def test_what_a_table_reads_is_a_link_also_to_a_model_that_is_not_published(client: TestClient) -> None:
    page = client.get("/tables/silver.breweries").text
    assert '<a href="/tables/staging.records"><code>staging.records</code></a>' in page
    assert 'href="/tables/staging.records"' in client.get("/tables").text, "in the lineage"
    model = client.get("/tables/staging.records").text
    assert "not published" in model
    assert "AS is_exact_duplicate" in html.unescape(model), "its SQL"
    assert '<a href="/tables/silver.breweries">' in model, "read by"
    assert client.get("/tables/staging.nothing").status_code == 404
