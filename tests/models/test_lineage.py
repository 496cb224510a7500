"""The lineage: its nodes, as a text tree and as SVG."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewhouse.models.lineage import SOURCE, Node, draw_text, lineage
from brewhouse.models.lineage_svg import draw_svg
from brewhouse.models.model import ZONES, parse
from brewhouse.models.project import models_of

SVG = "{http://www.w3.org/2000/svg}"
SQL = "-- A & <b>.\nSELECT 1 AS a FROM gold.breweries_by_location, silver.rejected_breweries"
NODES = lineage([*models_of(*ZONES), parse("gold.own", SQL, user_defined=True)])


def test_the_lineage_begins_with_the_source_and_contains_what_is_read() -> None:
    names = [node.name for node in NODES]
    assert names[:3] == [SOURCE, "bronze.breweries", "bronze.snapshot"]
    assert all(read in names[: names.index(node.name)] for node in NODES for read in node.reads)


def test_the_text_contains_each_table_once() -> None:
    lines = draw_text(NODES).splitlines()
    assert (lines[0], lines[-1]) == (SOURCE, "* user-defined")
    for node in NODES[1:]:
        assert len([line for line in lines if re.search(rf"(^|─ ){re.escape(node.name)}( |$)", line)]) == 1
    assert any("gold.own *  (and silver.rejected_breweries)" in line for line in lines)


def test_the_svg_is_well_formed_and_has_every_box_every_edge_and_a_description() -> None:
    root = ET.fromstring(draw_svg(NODES))
    boxes = [group for group in root.iter(f"{SVG}g") if group.find(f"{SVG}rect") is not None]
    assert len(boxes) == len(NODES)
    edges = [path for path in root.iter(f"{SVG}path") if path.get("class", "").startswith("edge")]
    assert len(edges) == sum(len(node.reads) for node in NODES)
    assert root.find(f"{SVG}title") is not None
    assert "gold.own is built from gold.breweries_by_location, silver.rejected_breweries" in ET.tostring(root).decode()
    assert ET.fromstring(draw_svg(NODES, lambda text: text.replace("lineage", "linhagem")))[0].text == "Table linhagem"
    assert "prefers-color-scheme: dark" in draw_svg(NODES)


@given(st.lists(st.lists(st.integers(0, 20), max_size=3), min_size=1, max_size=9))
def test_boxes_do_not_overlap_and_every_edge_runs_to_the_right(reads: list[list[int]]) -> None:
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


def test_an_svg_for_a_page_has_links_and_no_style() -> None:
    picture = draw_svg(NODES, address=lambda node: "/tables?a&b" if node.name == "gold.own" else None)
    assert [link.get("href") for link in ET.fromstring(picture).iter(f"{SVG}a")] == ["/tables?a&b"]
    assert "<style" not in picture


def node(name: str, *reads: str, own: bool = False) -> Node:
    return Node(name, user_defined=own, description="", reads=reads)


def test_only_input_tables_that_a_model_reads_are_nodes() -> None:
    model = parse("silver.t", "SELECT run FROM previous.snapshot")
    assert [(each.name, each.zone, each.reads) for each in lineage([model])] == [
        (SOURCE, "source", ()),
        ("previous.snapshot", "previous", ()),
        ("silver.t", "silver", ("previous.snapshot",)),
    ]


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        ([node("a.a")], "a.a"),
        ([node("a.a"), node("b.b", "a.a"), node("b.c", "a.a")], "a.a\n├─ b.b\n└─ b.c"),
        ([node("a.a"), node("b.b", "a.a"), node("c.c", "b.b"), node("b.d", "a.a")], "a.a\n├─ b.b\n│  └─ c.c\n└─ b.d"),
        ([node("a.a"), node("a.b"), node("c.c", "a.a", "a.b")], "a.a\na.b\n└─ c.c  (and a.a)"),
        ([node("b.b", "unknown.x"), node("c.c", "b.b", own=True)], "b.b\n└─ c.c *\n* user-defined"),
    ],
)
def test_the_text_is_a_tree(nodes: list[Node], text: str) -> None:
    assert draw_text(nodes) == text


@pytest.mark.parametrize(("own", "count"), [(True, 1), (False, 0)])
def test_the_legend_is_drawn_only_with_user_defined_tables(own: bool, count: int) -> None:
    root = ET.fromstring(draw_svg([node("silver.a"), node("gold.b", "silver.a", own=own)]))
    assert sum(text.text == "user-defined" for text in root.iter(f"{SVG}text")) == count
    _, _, width, height = map(float, root.get("viewBox", "").split())
    rects = [[float(rect.get(key, 0)) for key in ("x", "y", "width", "height")] for rect in root.iter(f"{SVG}rect")]
    assert all(x >= 0 and x + w <= width and y >= 0 and y + h <= height for x, y, w, h in rects)


def test_each_zone_has_a_lane_in_order_with_its_boxes_in_it() -> None:
    root = ET.fromstring(draw_svg(NODES))
    lanes = [float(rect.get("x", "")) for rect in root.iter(f"{SVG}rect") if rect.get("class") == "lane"]
    zones = [text.text for text in root.iter(f"{SVG}text") if text.get("class") == "zone"]
    assert zones == ["source", "bronze", "staging", "silver", "gold"]
    assert lanes == sorted(lanes)


def test_title_and_names_are_escaped() -> None:
    nodes = [Node("silver.a<b>", user_defined=False, description='"x" & <y>', reads=())]
    root = ET.fromstring(draw_svg(nodes, lambda text: f"<T> & {text}", address=lambda _: '/a?b="c"&d'))
    assert root.findtext(f"{SVG}title") == "<T> & Table lineage"
    (link,) = root.iter(f"{SVG}a")
    assert (link.get("href"), link.findtext(f"{SVG}title")) == ('/a?b="c"&d', 'silver.a<b>: <T> & "x" & <y>')


def test_an_edge_that_crosses_a_column_keeps_clear_of_its_boxes() -> None:
    nodes = [
        node("bronze.a"),
        node("silver.b", "bronze.a"),
        node("silver.c", "silver.b"),
        node("gold.d", "bronze.a", "silver.c"),
    ]
    root = ET.fromstring(draw_svg(nodes))
    boxes = {
        group.findtext(f"{SVG}text"): [float(rect.get(key, "")) for key in ("x", "y", "width", "height")]
        for group in root.iter(f"{SVG}g")
        for rect in group.iter(f"{SVG}rect")
    }
    paths = [path.get("d", "") for path in root.iter(f"{SVG}path") if path.get("class", "").startswith("edge")]
    (long,) = [path for path in paths if path.count("H") == 2]
    for end, y in re.findall(r",([\d.]+) H([\d.]+)", long):
        height, right = float(end), float(y)
        assert not any(x < right <= x + w and top <= height <= top + h for x, top, w, h in boxes.values())
