"""Numbers in a passage of prose that somebody may have measured, and what they say in digits."""

import re

_WORDS = {
    **dict.fromkeys(("a", "an", "one"), 1.0),
    **{"two": 2.0, "three": 3.0, "four": 4.0, "five": 5.0, "six": 6.0, "seven": 7.0, "eight": 8.0},
    **{"nine": 9.0, "ten": 10.0, "eleven": 11.0, "twelve": 12.0, "fifteen": 15.0, "twenty": 20.0},
    **{"thirty": 30.0, "forty": 40.0, "fifty": 50.0, "sixty": 60.0, "ninety": 90.0},
    **{"hundred": 100.0, "thousand": 1000.0, "half": 0.5, "twice": 2.0, "thrice": 3.0},
}
_PARTS = {
    **{
        "third": 3.0,
        "quarter of": 4.0,
        "quarters of": 4.0,
        "fifth": 5.0,
        "sixth": 6.0,
        "seventh": 7.0,
        "eighth": 8.0,
    },
    **{"ninth": 9.0, "tenth": 10.0, "hundredth": 100.0, "seventeenth": 17.0},
}
_TIMES = r"seconds?|minutes?|hours?|days?"
_UNIT = (
    rf"(?:mm|cm|m|(?:milli|centi)?metres?|px|pixels?|%|per ?cent|points?|ms|s|min|h|{_TIMES}"
    r"|°|degrees?|nats?|[kMG]B|megabytes?|gigabytes?|times|×(?! ?\d))(?![\w/])"
)
_AMOUNT = (
    r"(?:test |unpaired |method )?"
    r"(?:pictures|poses|frames|steps|draws|units|seeds|runs|records)(?!\w)"
)
_PLAIN = r"(?<![\w.,])\d+(?:,\d{3})*(?:\.\d+)?(?![\w.]*\d)"
_MANY = "|".join(word for word, value in _WORDS.items() if value > 1 and word not in "twice thrice")
_NUMBER = re.compile(
    rf"{_PLAIN} ± {_PLAIN}(?: \(\d+\))?"  # mean and spread
    rf"|{_PLAIN}(?= \(\d+\))"  # the mean of so many runs
    rf"|{_PLAIN}(?=[ -]?{_UNIT}|[ -]{_AMOUNT})"
    r"|(?<![\w.])(?<!Python )(?<!arXiv )\d+\.\d+(?!\.?\d)"  # whatever has a decimal point
    rf"|\b(?:{_MANY})(?=[ -]{_UNIT})|\b(?:half )?(?:an?|one)(?= (?:minute|hour|day)\b)"
    r"|\b(?:twice|thrice|half)(?= as (?!they|it\b|many joints))"
    r"|\bhalf(?= (?:of )?(?:the|its|their) (?:[23]D )?(?:errors?|distance)\b)"
    rf"|(?<=factor of ){_PLAIN}|\b(?:{_MANY})(?=fold\b)"
    r"|(?<!the )\bhalv(?:es?|ed|ing)\b|\bdoubl(?:es|ed|ing)\b"  # "the halves" are parts
    rf"|\b(?:a|one|two|three|four|nine) (?:{'|'.join(_PARTS)})s?\b",
    re.IGNORECASE,
)


def numbers_in(passage: str) -> list[tuple[int, int]]:
    """Where the numbers stand that somebody may have measured: with a unit, a spread or a point.

    >>> text = "Of 17 joints it misses 2.5 %, in half a minute; 81.2 ± 0.3 (3) is a tenth of it."
    >>> [text[a:b] for a, b in numbers_in(text)]
    ['2.5', 'half a', '81.2 ± 0.3 (3)', 'a tenth']
    """
    return [match.span() for match in _NUMBER.finditer(passage)]


def number_value(text: str) -> float:
    """What a number of :func:`numbers_in` says, in digits or words; of a spread, its mean.

    >>> number_value("0.4"), number_value("eight"), number_value("a tenth"), number_value("half a")
    (0.4, 8.0, 0.1, 0.5)
    """
    if found := re.match(r"[\d,]+(?:\.\d+)?", text):
        return float(found[0].replace(",", ""))
    first, _, second = text.lower().partition(" ")
    if first.startswith("halv"):
        return 0.5
    if first.startswith("doubl"):
        return 2.0
    part = _PARTS.get(second) or _PARTS.get(second.removesuffix("s"))
    return _WORDS[first] / part if part else _WORDS[first]


__all__ = ["number_value", "numbers_in"]
