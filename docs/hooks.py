"""Shows files of the repository in the site without a copy of them in `docs/`.

The README is the front page. Recipes, results and what they link to keep their places in the repository, so that a link
between two files works on the site as it does in a checkout: each link of a page is resolved in the repository, and the
file that it names is shown at the address that `page_of` gives.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
SHOWN = ("README.md", "ARCHITECTURE.md", "recipes/README.md", "export/README.md", "recipes/results/*.md")
LANGUAGES = {".py": "python", ".cff": "yaml"}
LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")


def page_of(path):
    """The file of the site that shows a file of the repository. Both are `/`-separated names."""
    if path == "README.md":
        return "index.md"
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return path if path.endswith((".md", ".png")) else f"{path}.md"


def source_of(page):
    """The file of the repository that a page shows, or None for one that is in `docs/` itself."""
    return page.meta.get("shows") or f"docs/{page.file.src_uri}"


def text_of(path):
    """Markdown that shows a file; one that is no Markdown becomes a listing, left out of the search."""
    text = (ROOT / path).read_text()
    search = ""
    if not path.endswith(".md"):
        search = "search:\n  exclude: true\n"
        text = f"# {path}\n\n````{LANGUAGES.get(Path(path).suffix, 'text')}\n{text}\n````\n"
    return f"---\nshows: {path}\n{search}---\n\n{text}"


def linked(path):
    """The files of the repository that a Markdown file links to."""
    for target, _ in LINK.findall((ROOT / path).read_text()):
        yield posixpath.normpath(posixpath.join(posixpath.dirname(path), target))


def on_files(files, config):
    shown = [path.relative_to(ROOT).as_posix() for pattern in SHOWN for path in sorted(ROOT.glob(pattern))]
    waiting = [*shown, *(f"docs/{file.src_uri}" for file in files.documentation_pages())]
    seen = set(waiting)
    while waiting:
        path = waiting.pop()
        if not path.startswith("docs/"):
            files.append(File.generated(config, page_of(path), content=text_of(path)))
        targets = {target for target in linked(path)} if path.endswith(".md") else set()
        for target in sorted(targets - seen):
            # What is missing is left to MkDocs, which names the page and the link.
            if not target.startswith("docs/") and (ROOT / target).is_file():
                waiting.append(target)
                seen.add(target)
    return files


def on_page_markdown(markdown, page, config, files):
    source = source_of(page)

    def to_site(match):
        target, anchor = match.groups()
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        there = posixpath.relpath(page_of(path), posixpath.dirname(page.file.src_uri) or ".")
        return there + (anchor or "")

    return LINK.sub(to_site, markdown)
