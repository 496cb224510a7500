"""A lake after one run."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.mock_api.server import MockApiServer

from brewhouse.lake.lake import Lake
from brewhouse.mock_api.dataset import generate
from brewhouse.pipeline.workflow import run_workflow
from brewhouse.settings import SecretUrl, Settings


@pytest.fixture(scope="session")
def demo_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake after one run; tests only read it."""
    root = tmp_path_factory.mktemp("queries") / "lake"
    with MockApiServer(generate(300, unusable=4)) as source:
        run_workflow(Lake(root), Settings(lake=str(root), source_url=SecretUrl(source.url)))
    return root
