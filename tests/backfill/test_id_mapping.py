"""Id mapping: slugs are mapped to UUIDs on clear evidence, and otherwise keep an identity of their own."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brewhouse.api.contract import Record
from brewhouse.backfill.csv_versions import is_uuid
from brewhouse.backfill.id_mapping import NAMESPACE, IdMapping, match_key, unique_slugs, uuid_of

ONE, TWO = (str(uuid.UUID(int=number)) for number in (1, 2))

Mapped = tuple[tuple[Record, ...], int]


def record(key: str, name: str = "Ales", city: str | None = "York", address: str | None = "1 Main St") -> Record:
    return {"id": key, "name": name, "city": city, "address_1": address}


def mapped(anchor: list[Record], *versions: list[Record]) -> list[Mapped]:
    """Map the ids of versions, the newest first."""
    mapping = IdMapping(anchor, {slug for version in versions for slug in unique_slugs(version)})
    return [mapping.apply(version) for version in versions]


def ids(result: Mapped) -> list[str]:
    return [row["id"] for row in result[0]]


def test_a_slug_is_mapped_by_equal_name_city_and_address() -> None:
    (result,) = mapped([record(ONE), record(TWO, city="Hull")], [record("ales-hull", city="Hull"), record("ales-york")])
    assert ids(result) == [TWO, ONE]
    assert result[1] == 2


def test_the_slug_is_kept_and_no_other_field_changes() -> None:
    (result,) = mapped([record(ONE)], [record("ales-york")])
    assert result[0][0] == {**record(ONE), "obdb_id": "ales-york"}


def test_case_accents_whitespace_and_punctuation_are_ignored() -> None:
    anchor = [record(ONE, "Brauhaus Köln", "Köln", "Straße 1")]
    (result,) = mapped(anchor, [record("brauhaus", "BRAUHAUS  Koln!", "köln", "Strasse, 1")])
    assert ids(result) == [ONE]


def test_a_key_of_two_records_maps_neither() -> None:
    twice = [record(ONE), record(TWO)]
    (among_uuids,) = mapped(twice, [record("ales-york")])
    (among_slugs,) = mapped([record(ONE)], [record("ales-york"), record("ales-york-2")])
    assert among_uuids[1] == among_slugs[1] == 0
    assert len({*ids(among_uuids), *ids(among_slugs), ONE, TWO}) == 4, "ales-york is the same in both"


def test_without_a_match_the_uuid_is_derived_from_the_slug() -> None:
    (result,) = mapped([record(ONE)], [record("gone-hull", "Gone", "Hull")])
    assert ids(result) == [uuid_of("gone-hull")] == [str(uuid.uuid5(NAMESPACE, "gone-hull"))]
    assert result[1] == 0


def test_a_blank_address_equals_only_a_blank_one() -> None:
    (both,) = mapped([record(ONE, address=None)], [record("ales-york", address=None)])
    (one,) = mapped([record(ONE)], [record("ales-york", address=None)])
    assert (both[1], one[1]) == (1, 0)


def test_a_mapped_slug_stays_mapped_in_earlier_and_later_versions() -> None:
    moved, same, before = (record("ales-york", address=address) for address in ("2 New St", "1 Main St", "9 Old St"))
    assert [ids(result) for result in mapped([record(ONE)], [moved], [same], [before])] == [[ONE], [ONE], [ONE]]


def test_a_brewery_without_a_match_keeps_its_identity_when_its_slug_changes() -> None:
    new, old, older = record("gone-hull-1", "Gone"), record("gone-hull", "Gone"), record("gone-hull", "Gone Brewing")
    results = mapped([record(ONE)], [new], [old], [older])
    assert [ids(result) for result in results] == [[uuid_of("gone-hull-1")]] * 3


def test_a_slug_of_several_records_is_not_evidence() -> None:
    anchor = [record(ONE, city="York"), record(TWO, city="Hull")]
    chain = [record("ales", city="York"), record("ales", city="Hull"), record("ales", city="Leeds")]
    (result,) = mapped(anchor, chain)
    assert ids(result)[:2] == [ONE, TWO]
    assert result[1] == 2
    assert ids(result)[2] not in (ONE, TWO, uuid_of("ales"))


def test_a_slug_of_two_breweries_follows_the_evidence_of_each_version() -> None:
    anchor = [record(ONE, city="York"), record(TWO, city="Hull")]
    results = mapped(anchor, *([record("ales", city=city)] for city in ("Leeds", "York", "Hull")))
    assert [ids(result) for result in results] == [[uuid_of("ales")], [ONE], [TWO]]


def test_a_record_with_a_uuid_keeps_it_and_no_other_record_gets_it() -> None:
    (result,) = mapped([record(ONE)], [record(ONE, "Other"), record("ales-york")])
    assert ids(result) == [ONE, uuid_of("ales-york")]
    assert "obdb_id" not in result[0][0]
    assert result[1] == 0


def test_without_a_version_with_uuids_every_uuid_is_derived() -> None:
    (result,) = mapped([], [record("ales-york"), record("ales-hull", city="Hull")])
    assert ids(result) == [uuid_of("ales-york"), uuid_of("ales-hull")]


_NAMES = st.sampled_from(["Ales", "ales", "Beers", "Cider"])
_RECORDS = st.lists(
    st.builds(record, st.sampled_from(["a", "b", "c", "d"]), _NAMES, st.sampled_from(["York", "Hull"]), st.just("1")),
    max_size=6,
)


@settings(max_examples=60)
@given(anchor=_RECORDS, versions=st.lists(_RECORDS, max_size=4))
def test_each_record_gets_a_uuid_of_its_own_and_always_the_same_one(
    anchor: list[Record], versions: list[list[Record]]
) -> None:
    anchor = [{**one, "id": str(uuid.UUID(int=number))} for number, one in enumerate(anchor)]
    results = mapped(anchor, *versions)
    for result, version in zip(results, versions, strict=True):
        assert len(set(ids(result))) == len(version)
        assert all(is_uuid(key) for key in ids(result))
        assert [row["obdb_id"] for row in result[0]] == [row["id"] for row in version]
    assert results == mapped(anchor, *versions)


@settings(max_examples=60)
@given(anchor=_RECORDS, versions=st.lists(_RECORDS, min_size=1, max_size=3), data=st.data())
def test_the_mapping_does_not_depend_on_the_order_of_records(
    anchor: list[Record], versions: list[list[Record]], data: st.DataObject
) -> None:
    anchor = [{**row, "id": str(uuid.UUID(int=number))} for number, row in enumerate(anchor)]
    results = mapped(anchor, *versions)
    unique = [len({(row["id"], *match_key(row)) for row in version}) == len(version) for version in versions]
    shuffled = [data.draw(st.permutations(version)) for version in versions]
    for version, result, again, is_unique in zip(versions, results, mapped(anchor, *shuffled), unique, strict=True):
        if not is_unique:
            return  # equal records get numbered names, in the order of the version
        by_record = {(row["obdb_id"], *match_key(row)): row["id"] for row in again[0]}
        assert [by_record[row["id"], *match_key(row)] for row in version] == ids(result)
        assert again[1] == result[1]


@settings(max_examples=60)
@given(versions=st.lists(_RECORDS, min_size=1, max_size=4))
def test_only_ids_of_the_anchor_count_as_mapped(versions: list[list[Record]]) -> None:
    anchor = [record(ONE, "Ales", "York", "1"), record(TWO, "Beers", "Hull", "1")]
    for result in mapped(anchor, *versions):
        assert result[1] == sum(key in (ONE, TWO) for key in ids(result))
        assert max((ids(result).count(key) for key in (ONE, TWO)), default=0) <= 1


def test_the_uuid_of_a_slug_never_changes() -> None:
    assert uuid_of("10-56-brewing-company-knox") == "ef75992c-1580-5090-a2e3-6b3da7a88424"


@pytest.mark.parametrize("key", [" ales-york ", "ales-york\n"])
def test_whitespace_around_a_slug_is_not_part_of_it(key: str) -> None:
    (result,) = mapped([], [record(key)])
    assert ids(result) == [uuid_of("ales-york")]
    assert result[0][0]["obdb_id"] == "ales-york"


def test_equal_records_get_different_uuids_that_never_change() -> None:
    first, second = (ids(mapped([], [record("ales")] * 3)[0]) for _ in range(2))
    assert len(set(first)) == 3
    assert first == second


def test_a_derived_uuid_that_another_record_has_is_not_used_twice() -> None:
    (result,) = mapped([], [record(uuid_of("ales-york"), "Other"), record("ales-york")])
    assert ids(result)[0] == uuid_of("ales-york") != ids(result)[1]


def test_a_moved_brewery_whose_slug_was_reused_keeps_the_uuid_of_its_address() -> None:
    anchor = [record(ONE, address="1 Main St"), record(TWO, address="2 New St")]
    newer = [record("ales-1", address="1 Main St"), record("ales-2", address="2 New St")]
    older = [record("ales-2", address="1 Main St"), record("ales-1", address="2 New St")]
    assert [ids(result) for result in mapped(anchor, newer, older)] == [[ONE, TWO], [ONE, TWO]]


def test_an_id_that_is_neither_a_uuid_nor_a_slug_stays_and_is_not_evidence() -> None:
    newer, older = mapped([], [record("Total: 5"), record("hull", city="Hull")], [record("ales-york")])
    assert ids(newer) == ["Total: 5", uuid_of("hull")]
    assert ids(older) == [uuid_of("ales-york")]


def test_records_of_a_snapshot_without_a_valid_id_are_not_an_anchor() -> None:
    anchor = [{"name": 5}, record(ONE.upper()), {**record("x", "Beers"), "id": 7}]
    (result,) = mapped(anchor, [record("ales-york"), record("beers-york", "Beers")])
    assert ids(result) == [ONE, uuid_of("beers-york")]
