"""The annotated shapes are enforced here, so that a wrong one fails a test."""

from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from jaxtyping import Float

from simloss.reduction import one_hot
from simmatrix.forms import raw_form
from simmatrix.neighbours.vectors import cosine
from tests.enforced import checked


def test_right_shapes_pass() -> None:
    assert cosine(np.eye(3)).shape == (3, 3)
    assert raw_form(np.eye(3)).name == "dense"


@pytest.mark.parametrize("wrong", [np.ones(3), np.ones((3, 4)), np.ones((3, 3), dtype=np.int64), [[1.0]]])
def test_a_wrong_shape_or_dtype_is_refused(wrong: object) -> None:
    with pytest.raises(jaxtyping.TypeCheckError, match="values"):
        raw_form(wrong)  # type: ignore[arg-type]


def test_in_the_loss_too() -> None:
    labels = torch.tensor([0, 2])
    assert one_hot(labels, 3, torch.float32).shape == (2, 3)
    for wrong in (labels.float(), labels.unsqueeze(1), [0, 2]):
        with pytest.raises(jaxtyping.TypeCheckError, match="labels"):
            one_hot(wrong, 3, torch.float32)  # type: ignore[arg-type]


def test_a_function_inside_another_is_checked_each_time_that_it_is_defined() -> None:
    def shortened(by: int) -> Any:
        if by < 2:

            @jaxtyping.jaxtyped(typechecker=checked)
            def one(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
                return values[by:]

        else:

            @jaxtyping.jaxtyped(typechecker=checked)
            def one(values: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
                return values

        return one

    assert shortened(0)(np.ones(3)).shape == (3,)
    with pytest.raises(jaxtyping.TypeCheckError, match="return value"):
        shortened(1)(np.ones(3))
    assert shortened(2)(np.ones((3, 3))).shape == (3, 3)
    for by, wrong in ((0, np.ones((3, 3))), (0, np.ones(3, np.int64)), (2, np.ones(3)), (2, np.ones((3, 4)))):
        with pytest.raises(jaxtyping.TypeCheckError, match="parameters"):
            shortened(by)(wrong)
