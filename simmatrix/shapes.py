"""Array annotations with shapes, such as ``Float[np.ndarray, "C d"]``.

They are checked in the tests, which import jaxtyping before this package, and cost nothing in use: importing jaxtyping
would take longer than building a matrix does. Every module postpones the evaluation of its annotations, so the
placeholders below are never looked at.
"""

import sys
from typing import TYPE_CHECKING

__all__ = ["Bool", "Float", "Int", "UInt8"]

if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import Bool, Float, Int, UInt8
else:
    Bool = Float = Int = UInt8 = None
