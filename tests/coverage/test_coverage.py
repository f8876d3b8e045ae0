"""Nothing of the API's reference is without its row, and no row names what is not there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from letta_adapters import AsyncLettaClient, LettaClient
from tests.coverage.document import DOCUMENT, Row, accepts, code_named, played_live, rows, test_exists

REFERENCE: dict[str, Any] = json.loads((Path(__file__).parent / "reference.json").read_text(encoding="utf-8"))
ENDPOINTS: dict[str, dict[str, Any]] = REFERENCE["endpoints"]
TYPES: dict[str, list[str]] = REFERENCE["types"]
VALUES: dict[str, list[str]] = REFERENCE["values"]
TESTS = DOCUMENT.parents[1] / "tests"
TEXT = DOCUMENT.read_text(encoding="utf-8")
ROWS = rows(TEXT)
OF_TYPE = {row.name: row for row in ROWS if row.section == "Types"}


def _id(row: Row) -> str:
    return f"{row.section}:{row.name}"


def test_the_reference_is_as_large_as_it_was() -> None:
    assert (len(ENDPOINTS), len(TYPES), len(VALUES["StopReasonType"])) == (28, 169, 13)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_every_parameter_of_an_endpoint_has_a_row_and_no_other_has(endpoint: str) -> None:
    named = [row.name for row in ROWS if row.section == endpoint]
    assert named == ENDPOINTS[endpoint]["parameters"]
    assert f"### `{endpoint}`\n\n`{ENDPOINTS[endpoint]['call']}`\n" in TEXT


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_both_clients_have_every_endpoint_by_its_name(endpoint: str) -> None:
    for client in (LettaClient(base_url="http://localhost"), AsyncLettaClient(base_url="http://localhost")):
        method: Any = client
        for name in endpoint.split("."):
            method = getattr(method, name)
        assert callable(method)
        assert method.__doc__


@pytest.mark.parametrize("row", [row for row in ROWS if row.section in ENDPOINTS], ids=_id)
def test_the_code_of_a_parameter_takes_it(row: Row) -> None:
    assert accepts(code_named(row.code), row.name)


def test_everything_that_comes_through_in_the_frameworks_has_a_row() -> None:
    assert [row.name for row in ROWS if row.section == "In the frameworks"] == REFERENCE["frameworks"]


def test_every_type_has_a_row_with_all_its_fields() -> None:
    assert {name: list(row.fields) for name, row in OF_TYPE.items()} == TYPES


@pytest.mark.parametrize("row", OF_TYPE.values(), ids=_id)
def test_the_code_of_a_type_has_its_fields(row: Row) -> None:
    code = code_named(row.code)
    if row.fields:
        assert issubclass(code, BaseModel)
        assert set(row.fields) <= code.model_fields.keys()


def _literals(annotation: Any) -> set[object]:
    """Everything that an annotation allows by its value, wherever it stands in it."""
    inner = get_args(annotation)
    if not inner:
        return set()
    return {one for one in inner if isinstance(one, str)} | {value for one in inner for value in _literals(one)}


@pytest.mark.parametrize("name", VALUES)
def test_every_value_that_a_type_can_have_is_known(name: str) -> None:
    owner, _, field = name.rpartition(".")
    if name in OF_TYPE:
        known = _literals(code_named(OF_TYPE[name].code))
    elif owner in OF_TYPE:
        known = _literals(code_named(OF_TYPE[owner].code).model_fields[field].annotation)
    else:
        parameters = {"order": {"asc", "desc"}, "order_by": {"created_at"}}
        known = parameters[field]
    assert set(VALUES[name]) <= known or field == "event_type"  # what events there will be is not for us to say


@pytest.mark.parametrize("row", ROWS, ids=_id)
def test_a_row_names_code_and_tests_that_are_there(row: Row) -> None:
    if row.section == "In the frameworks":
        pytest.importorskip("langchain_core")
        pytest.importorskip("llama_index.core")
    assert code_named(row.code) is not None
    assert test_exists(row.test), row.test
    named_for_live = re.findall(r"`([\w/]+\.py(?:::\w+)?)`", row.live)
    assert all(test_exists(name) if "::" in name else (TESTS / name).is_file() for name in named_for_live)
    if row.live == "same":
        assert row.test.split("/")[0] in played_live()
    else:
        assert len(row.live) > 10, "a row says why it is not played live"


def test_a_row_without_its_name_and_one_with_a_wrong_test_are_noticed() -> None:
    (row,) = rows("### `a.b`\n\n| `c` | `wire.Run` | `core/test_wire.py::test_nothing_of_the_kind` | same |\n")
    assert (row.section, row.name, row.fields) == ("a.b", "c", ())
    assert not test_exists(row.test)
    with pytest.raises(AttributeError):
        code_named("wire.Nothing")
