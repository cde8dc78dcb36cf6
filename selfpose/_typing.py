"""Shape annotations: jaxtyping where it is installed (tests, contributors), plain names elsewhere.

The annotations document shapes for readers; under pytest an import hook checks them at run time.
"""

from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, Shaped, UInt8
else:
    try:
        from jaxtyping import Bool, Float, Int, Shaped, UInt8
    except ImportError:

        class _Plain:
            """Stands for ``Float`` and its like: ``Float[Tensor, "*b 3"]`` is just ``Tensor``."""

            def __getitem__(self, item: Any) -> Any:
                return item[0]

        Bool = Float = Int = Shaped = UInt8 = _Plain()

__all__ = ["Bool", "Float", "Int", "Shaped", "Tensor", "UInt8"]
