"""The lineage: what stands in it, as text and as a picture."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from brewhouse.models.lineage import SOURCE, Node, draw_text, lineage
from brewhouse.models.lineage_svg import draw_svg
from brewhouse.models.model import ZONES, parse
from brewhouse.models.project import models_of

SVG = "{http://www.w3.org/2000/svg}"
SQL = "-- A & <b>.\nSELECT 1 AS a FROM gold.breweries_by_location, silver.rejected_breweries"
NODES = lineage([*models_of(*ZONES), parse("gold.own", SQL, user_defined=True)])


def test_the_lineage_begins_with_the_source_and_holds_what_is_read() -> None:
    names = [node.name for node in NODES]
    assert names[:3] == [SOURCE, "bronze.breweries", "bronze.snapshot"]
    assert all(read in names[: names.index(node.name)] for node in NODES for read in node.reads)


def test_the_text_names_each_table_once_at_its_place() -> None:
    lines = draw_text(NODES).splitlines()
    assert (lines[0], lines[-1]) == (SOURCE, "* user-defined")
    for node in NODES[1:]:
        assert len([line for line in lines if re.search(rf"(^|─ ){re.escape(node.name)}( |$)", line)]) == 1
    assert any("gold.own *  (and silver.rejected_breweries)" in line for line in lines)


def test_the_picture_is_well_formed_has_every_box_and_line_and_speaks() -> None:
    root = ET.fromstring(draw_svg(NODES))
    boxes = [group for group in root.iter(f"{SVG}g") if group.find(f"{SVG}rect") is not None]
    assert len(boxes) == len(NODES)
    edges = [path for path in root.iter(f"{SVG}path") if path.get("class", "").startswith("edge")]
    assert len(edges) == sum(len(node.reads) for node in NODES)
    assert root.find(f"{SVG}title") is not None
    assert (
        "gold.own is built from gold.breweries_by_location and silver.rejected_breweries" in ET.tostring(root).decode()
    )
    assert "prefers-color-scheme: dark" in draw_svg(NODES)


@given(st.lists(st.lists(st.integers(0, 20), max_size=3), min_size=1, max_size=9))
def test_no_box_lies_on_another_and_every_line_goes_to_the_right(reads: list[list[int]]) -> None:
    nodes: list[Node] = []
    for number, read in enumerate(reads):
        names = tuple(sorted({nodes[index % number].name for index in read})) if number else ()
        nodes.append(
            Node(
                f"{('silver', 'gold')[number > 4]}.t{number}", user_defined=number % 2 == 1, description="", reads=names
            )
        )
    root = ET.fromstring(draw_svg(nodes))
    rects = [rect for group in root.iter(f"{SVG}g") for rect in group.iter(f"{SVG}rect")]
    boxes = [[float(rect.get(key, "")) for key in ("x", "y", "width", "height")] for rect in rects]
    for place, (x, y, width, height) in enumerate(boxes):
        for other_x, other_y, other_width, _ in boxes[:place]:
            assert abs(y - other_y) >= height or x >= other_x + other_width or other_x >= x + width
    for path in root.iter(f"{SVG}path"):
        if path.get("class", "").startswith("edge"):
            numbers = re.findall(r"([\d.-]+),", path.get("d", ""))
            assert float(numbers[0]) < float(numbers[-1])


def test_a_picture_in_a_page_has_links_and_no_style_of_its_own() -> None:
    picture = draw_svg(NODES, address=lambda node: "/tables?a&b" if node.name == "gold.own" else None)
    assert [link.get("href") for link in ET.fromstring(picture).iter(f"{SVG}a")] == ["/tables?a&b"]
    assert "<style" not in picture
