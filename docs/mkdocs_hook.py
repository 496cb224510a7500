"""Hook of MkDocs: the READMEs become the start pages, and links out of `docs` are shown as text.

`make site` builds the site; links between its pages are checked strictly.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
START_PAGES = {"index.md": "README.md", "pt-BR/index.md": "README.pt-BR.md"}


def on_files(files: Files, config: Any) -> Files:  # noqa: ANN401 - MkDocs' own type is not exported
    """Add the READMEs, with links as seen from the site."""
    for target, readme in START_PAGES.items():
        up = "../" * target.count("/")
        text = (ROOT / readme).read_text("utf-8").replace("](docs/", f"]({up}")
        for page, other in START_PAGES.items():
            text = text.replace(f"]({other})", f"]({up}{page})")
        files.append(File.generated(config, target, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:  # noqa: ANN401, ARG001
    """Replace links to files of the repository, which the site does not have, by their names."""
    outside = r"\[([^\]]+)\]\(((?:\.\./)*(?:src|tests|compose|CHANGELOG|CONTRIBUTING|SECURITY)[^)]*)\)"
    return re.sub(outside, r"\1", markdown)
