"""The pages of the tables."""

from __future__ import annotations

from fastapi.testclient import TestClient


def test_every_table_is_listed_with_its_rows(client: TestClient) -> None:
    tables = {table["name"]: table for table in client.get("/api/v1/tables").json()}
    assert tables["silver.breweries"]["rows"] == 400
    assert tables["gold.breweries_by_location"]["published_at"]
    html = client.get("/tables").text
    assert all(name in html for name in tables)


def test_the_page_speaks_portuguese(client: TestClient) -> None:
    answer = client.get("/tables", headers={"Accept-Language": "pt-BR,en;q=0.5"})
    assert '<html lang="pt-BR">' in answer.text
    assert "Linhagem das tabelas" in answer.text
