"""Check the built site: every link inside it leads somewhere, and no page loads anything from elsewhere.

python docs/check_site.py out/docs
"""

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "object": "data"}
"""Tags by which a page loads something, and the attribute that says what."""


class Page(HTMLParser):
    """The links, what is loaded, and the anchors of one page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag links to or loads."""
        given = {name: value or "" for name, value in attrs}
        self.anchors.update(given[name] for name in ("id", "name") if name in given)
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag in LOADED and LOADED[tag] in given and given.get("rel") != "canonical":
            self.loaded.append(given[LOADED[tag]])


def main() -> int:
    """Print what is wrong; returns 1 when anything is."""
    site = Path(sys.argv[1]).resolve()
    pages = {path: Page(path) for path in sorted(site.rglob("*.html"))}
    wrong = [*broken_links(pages), *from_elsewhere(pages), *styles_from_elsewhere(site)]
    for line in wrong:
        print(line.replace(f"{site}/", ""), file=sys.stderr)
    print(f"{len(pages)} pages, {sum(len(page.links) for page in pages.values())} links, {len(wrong)} wrong")
    return 1 if wrong or not pages else 0


def broken_links(pages: dict[Path, Page]) -> Iterator[str]:
    """Links and loaded files within the site that are not there."""
    for path, page in pages.items():
        for link in [*page.links, *page.loaded]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            if not target.exists():
                yield f"{path}: {link}: there is no such file"
            elif anchor and target in pages and anchor not in pages[target].anchors:
                yield f"{path}: {link}: there is no such place"


def from_elsewhere(pages: dict[Path, Page]) -> Iterator[str]:
    """Scripts, styles and pictures of another host."""
    for path, page in pages.items():
        for loaded in page.loaded:
            if urlsplit(loaded).netloc:
                yield f"{path}: {loaded}: loaded from another host"


def styles_from_elsewhere(site: Path) -> Iterator[str]:
    """Fonts and styles that a style sheet fetches from another host."""
    for path in sorted(site.rglob("*.css")):
        for address in re.findall(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')\s]+)", path.read_text("utf-8")):
            yield f"{path}: {address}: loaded from another host"


if __name__ == "__main__":
    sys.exit(main())
