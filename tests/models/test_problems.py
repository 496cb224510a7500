"""Problems, their positions and their suggestions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from brewhouse.models.problems import ModelError, Problem, line_and_column


def test_a_model_error_has_each_problem_once_in_order() -> None:
    later, earlier, question = Problem("b", 1, 2, "x"), Problem("a", 9, 0, "y"), Problem("a", 10, 1, "z?")
    error = ModelError([later, question, earlier, later])
    assert error.problems == [earlier, question, later]
    assert str(error) == "3 problems in the models:\na:9: y.\na:10:1: z?\nb:1:2: x."
    assert error.exit_code == 2


def test_a_single_problem_has_no_heading() -> None:
    assert str(ModelError([Problem("a", 1, 0, "y")])) == "a:1: y."


@given(st.text(st.sampled_from("a\n🍺")), st.data())
def test_a_position_leads_back_to_its_offset(text: str, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, len(text)))
    line, column = line_and_column(text, offset)
    before = text.split("\n")[: line - 1]
    assert sum(len(each) + 1 for each in before) + column - 1 == offset
