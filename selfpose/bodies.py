"""Bodies other than people: a hand, a four-legged animal and a desk lamp, as skeletons.

Their relative bone lengths are left open: whoever has 3D poses measures them with
:func:`selfpose.metrics.with_measured_bones`.
"""

from selfpose.skeleton import HUMAN_17, Skeleton

FINGERS = ("thumb", "index", "middle", "ring", "little")


def _skeleton(
    name: str, links: tuple[tuple[str, str], ...], *, joints: tuple[str, ...], root: str, top: str
) -> Skeleton:
    """A skeleton from names; ``left_`` and ``right_`` make the mirror pairs."""
    at = joints.index
    lefts = [joint for joint in joints if joint.startswith("left_")]
    return Skeleton(
        name=name,
        joints=joints,
        bones=tuple((at(parent), at(child)) for parent, child in links),
        root=at(root),
        top=at(top),
        mirror_pairs=tuple((at(j), at(j.replace("left_", "right_"))) for j in lefts),
    )


def _hand() -> Skeleton:
    joints, links = ["wrist"], []
    for finger in FINGERS:
        chain = [f"{finger}_{k}" for k in (1, 2, 3, 4)]
        links += list(zip(["wrist", *chain], chain, strict=False))
        joints += chain
    return _skeleton("hand_21", tuple(links), joints=tuple(joints), root="wrist", top="middle_1")


# A right hand in FreiHAND's order: the wrist, then each finger from base to tip. The bones of the
# palm are rigid, so the wrist and the base of the middle finger keep their distance in any gesture.
HAND_21: Skeleton = _hand()


def _quadruped() -> Skeleton:
    centre = ("spine", "withers", "neck", "head", "nose", "pelvis", "tail")
    legs = [
        f"{side}_{end}_{joint}"
        for end, names in (("front", ("elbow", "wrist", "paw")), ("hind", ("knee", "hock", "paw")))
        for side in ("left", "right")
        for joint in names
    ]
    links = [("spine", "withers"), ("withers", "neck"), ("neck", "head"), ("head", "nose")]
    links += [("spine", "pelvis"), ("pelvis", "tail")]
    for k in range(0, len(legs), 3):
        girdle = "withers" if "front" in legs[k] else "pelvis"
        links += list(zip([girdle, *legs[k : k + 2]], legs[k : k + 3], strict=True))
    return _skeleton(
        "quadruped_19", tuple(links), joints=(*centre, *legs), root="spine", top="head"
    )


# The root lies in the middle of the back. The head is both above and ahead of it, so that their
# distance vanishes neither from the side nor from the front.
QUADRUPED: Skeleton = _quadruped()

# A desk lamp: a chain from the foot to the rim of the shade, a counterweight behind the elbow, and
# a knob on the foot, to the right of the arms. Nothing has a twin, and a lamp is not its own mirror
# image: without the knob, a lamp turned to the camera and one turned away would look alike.
MACHINE: Skeleton = _skeleton(
    "lamp_8",
    (
        ("stem", "foot"),
        ("foot", "knob"),
        ("stem", "elbow"),
        ("elbow", "counterweight"),
        ("elbow", "neck"),
        ("neck", "cap"),
        ("cap", "rim"),
    ),
    joints=("foot", "knob", "stem", "elbow", "counterweight", "neck", "cap", "rim"),
    root="stem",
    top="elbow",
)

BODIES: dict[str, Skeleton] = {body.name: body for body in (HUMAN_17, HAND_21, QUADRUPED, MACHINE)}

__all__ = ["BODIES", "FINGERS", "HAND_21", "MACHINE", "QUADRUPED"]
