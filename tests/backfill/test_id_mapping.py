"""Slug ids are linked to UUIDs where the evidence is plain, and keep one identity in any case."""

from __future__ import annotations

import uuid

from hypothesis import given, settings
from hypothesis import strategies as st

from brewhouse.api.contract import Record
from brewhouse.backfill.csv_versions import is_uuid
from brewhouse.backfill.id_mapping import NAMESPACE, Linked, Links, sightings, uuid_of

ONE, TWO = (str(uuid.UUID(int=number)) for number in (1, 2))


def record(key: str, name: str = "Ales", city: str | None = "York", address: str | None = "1 Main St") -> Record:
    return {"id": key, "name": name, "city": city, "address_1": address}


def linked(anchor: list[Record], *versions: list[Record]) -> list[Linked]:
    """Link versions given newest first."""
    links = Links(anchor, {seen for version in versions for seen in sightings(version)})
    return [links.link(version) for version in versions]


def ids(result: Linked) -> list[str]:
    return [found["id"] for found in result.records]


def test_a_slug_is_linked_where_name_city_and_address_agree() -> None:
    (result,) = linked([record(ONE), record(TWO, city="Hull")], [record("ales-hull", city="Hull"), record("ales-york")])
    assert ids(result) == [TWO, ONE]
    assert result.linked == 2


def test_the_slug_stays_in_the_record_and_the_rest_as_it_was() -> None:
    (result,) = linked([record(ONE)], [record("ales-york")])
    assert result.records[0] == {**record(ONE), "obdb_id": "ales-york"}


def test_case_accents_blanks_and_signs_do_not_matter() -> None:
    anchor = [record(ONE, "Brauhaus Köln", "Köln", "Straße 1")]
    (result,) = linked(anchor, [record("brauhaus", "BRAUHAUS  Koln!", "köln", "Strasse, 1")])
    assert ids(result) == [ONE]


def test_what_two_records_have_in_common_links_neither() -> None:
    twice = [record(ONE), record(TWO)]
    (among_uuids,) = linked(twice, [record("ales-york")])
    (among_slugs,) = linked([record(ONE)], [record("ales-york"), record("ales-york-2")])
    assert among_uuids.linked == among_slugs.linked == 0
    assert len({*ids(among_uuids), *ids(among_slugs), ONE, TWO}) == 4, "ales-york is the same in both"


def test_without_a_partner_the_uuid_is_made_of_the_slug() -> None:
    (result,) = linked([record(ONE)], [record("gone-hull", "Gone", "Hull")])
    assert ids(result) == [uuid_of("gone-hull")] == [str(uuid.uuid5(NAMESPACE, "gone-hull"))]
    assert result.linked == 0


def test_blank_addresses_agree_and_a_blank_one_does_not_agree_with_another() -> None:
    (both,) = linked([record(ONE, address=None)], [record("ales-york", address=None)])
    (one,) = linked([record(ONE)], [record("ales-york", address=None)])
    assert (both.linked, one.linked) == (1, 0)


def test_a_slug_once_linked_stays_linked_in_earlier_and_later_versions() -> None:
    moved, same, before = (record("ales-york", address=address) for address in ("2 New St", "1 Main St", "9 Old St"))
    assert [ids(result) for result in linked([record(ONE)], [moved], [same], [before])] == [[ONE], [ONE], [ONE]]


def test_a_brewery_without_partner_keeps_its_identity_when_its_slug_is_made_anew() -> None:
    new, old, older = record("gone-hull-1", "Gone"), record("gone-hull", "Gone"), record("gone-hull", "Gone Brewing")
    results = linked([record(ONE)], [new], [old], [older])
    assert [ids(result) for result in results] == [[uuid_of("gone-hull-1")]] * 3


def test_a_slug_several_records_have_says_nothing() -> None:
    anchor = [record(ONE, city="York"), record(TWO, city="Hull")]
    chain = [record("ales", city="York"), record("ales", city="Hull"), record("ales", city="Leeds")]
    (result,) = linked(anchor, chain)
    assert ids(result)[:2] == [ONE, TWO]
    assert result.linked == 2
    assert ids(result)[2] not in (ONE, TWO, uuid_of("ales"))


def test_a_slug_seen_at_the_places_of_two_breweries_follows_the_evidence_of_each_version() -> None:
    anchor = [record(ONE, city="York"), record(TWO, city="Hull")]
    results = linked(anchor, *([record("ales", city=city)] for city in ("Leeds", "York", "Hull")))
    assert [ids(result) for result in results] == [[uuid_of("ales")], [ONE], [TWO]]


def test_records_that_have_a_uuid_keep_it_and_nobody_else_gets_it() -> None:
    (result,) = linked([record(ONE)], [record(ONE, "Other"), record("ales-york")])
    assert ids(result) == [ONE, uuid_of("ales-york")]
    assert "obdb_id" not in result.records[0]
    assert result.linked == 0


def test_without_any_version_with_uuids_slugs_are_usable_all_the_same() -> None:
    (result,) = linked([], [record("ales-york"), record("ales-hull", city="Hull")])
    assert ids(result) == [uuid_of("ales-york"), uuid_of("ales-hull")]


_NAMES = st.sampled_from(["Ales", "ales", "Beers", "Cider"])
_RECORDS = st.lists(
    st.builds(record, st.sampled_from(["a", "b", "c", "d"]), _NAMES, st.sampled_from(["York", "Hull"]), st.just("1")),
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(anchor=_RECORDS, versions=st.lists(_RECORDS, max_size=4))
def test_every_record_gets_a_uuid_of_its_own_and_the_same_one_every_time(
    anchor: list[Record], versions: list[list[Record]]
) -> None:
    anchor = [{**one, "id": str(uuid.UUID(int=number))} for number, one in enumerate(anchor)]
    results = linked(anchor, *versions)
    for result, version in zip(results, versions, strict=True):
        assert len(set(ids(result))) == len(version)
        assert all(is_uuid(key) for key in ids(result))
        assert [found["obdb_id"] for found in result.records] == [one["id"] for one in version]
    assert results == linked(anchor, *versions)
