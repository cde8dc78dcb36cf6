"""How heavy the pages of a built site are, and the limit they keep.

A page weighs what a reader loads for it alone: its HTML, with the frames of its sliders inside, and
the pictures it names. Scripts and styles that all pages share are loaded once and do not count.
"""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

MAX_PAGE_MB = 6.0
"""No page may weigh more (1 MB is a million bytes): about 10 s on a slow mobile line."""


class _Pictures(HTMLParser):
    """Collects the addresses of a page's ``img`` elements."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        source = dict(attrs).get("src") if tag == "img" else None
        if source and not urlsplit(source).scheme:
            self.found.add(unquote(urlsplit(source).path))


def page_weights(site: Path | str) -> dict[str, float]:
    """Weight of every page of a site in MB, by its path there, heaviest first.

    Raises
    ------
    FileNotFoundError
        The folder holds no page.
    """
    site = Path(site)
    weights = {}
    for path in site.rglob("*.html"):
        name = path.relative_to(site)
        if name.parts[0] == "_static":
            continue  # the theme's templates
        pictures = _Pictures()
        pictures.feed(path.read_text(encoding="utf-8"))
        files = {(path.parent / source).resolve() for source in pictures.found}
        size = path.stat().st_size + sum(file.stat().st_size for file in files if file.is_file())
        weights[name.as_posix()] = size / 1e6
    if not weights:
        raise FileNotFoundError(f"no page in {site}; `make book` builds the site")
    return dict(sorted(weights.items(), key=lambda item: (-item[1], item[0])))


def check_page_weights(site: Path | str, *, limit: float | int = MAX_PAGE_MB) -> dict[str, float]:
    """The weights of a site's pages (MB), all of them within the limit.

    Raises
    ------
    FileNotFoundError
        The folder holds no page.
    ValueError
        A page is too heavy; the message names each.
    """
    weights = page_weights(site)
    heavy = [f"{name} {weight:.1f} MB" for name, weight in weights.items() if weight > limit]
    if heavy:
        raise ValueError(
            f"{site}: pages above the limit of {limit:g} MB: {', '.join(heavy)}; draw fewer or "
            "smaller frames"
        )
    return weights


__all__ = ["MAX_PAGE_MB", "check_page_weights", "page_weights"]
