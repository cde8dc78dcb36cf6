"""The points of a drawn person: the 17 joints, and five more that tell front from back."""

from selfpose.skeleton import HUMAN_17

EXTRA_POINTS: tuple[str, ...] = ("left_toe", "right_toe", "nose", "left_hand", "right_hand")
FIGURE_POINTS: tuple[str, ...] = HUMAN_17.joints + EXTRA_POINTS

__all__ = ["EXTRA_POINTS", "FIGURE_POINTS"]
