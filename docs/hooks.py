"""Shows files of the repository in the site without a copy of them in `docs/`.

The README is the front page. Recipes, results and what they link to keep their places in the repository, so that a link
between two files works on the site as it does in a checkout: each link of a page is resolved in the repository, and the
file that it names is shown at the address that `page_of` gives.
"""

import os
import posixpath
import re
import subprocess
import sys
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
SHOWN = (
    "README.md",
    "ARCHITECTURE.md",
    "recipes/README.md",
    "export/README.md",
    "kgan/filter/photos.md",
    "recipes/results/*.md",
)
LANGUAGES = {".py": "python", ".cff": "yaml"}
LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")
HELP = re.compile(r"(?<=^```console\n)\$ kgan (\w+) --help$", re.MULTILINE)


def page_of(path):
    """The file of the site that shows a file of the repository. Both are names relative to its root."""
    if path == "README.md":
        return "index.md"
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return path if path.endswith((".md", ".png")) else f"{path}.md"


def text_of(path):
    """Markdown that shows a file; one that is no Markdown becomes a listing, left out of the search."""
    text = (ROOT / path).read_text()
    if path.endswith(".md"):
        return text
    language = LANGUAGES.get(Path(path).suffix, "text")
    return f"---\nsearch:\n  exclude: true\n---\n\n# {path}\n\n````{language}\n{text}\n````\n"


def resolve(path, target):
    """The file of the repository that a link in another one names."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), target))


def on_files(files, config):
    shown = [path.relative_to(ROOT).as_posix() for pattern in SHOWN for path in sorted(ROOT.glob(pattern))]
    waiting = [*shown, *(f"docs/{file.src_uri}" for file in files.documentation_pages())]
    config.extra["repository_files"] = origins = {}
    while waiting:
        path = waiting.pop()
        if path in origins.values():
            continue
        origins[page_of(path)] = path
        if not path.startswith("docs/"):
            files.append(File.generated(config, page_of(path), content=text_of(path)))
        if path.endswith(".md"):
            found = {resolve(path, target) for target, _ in LINK.findall((ROOT / path).read_text())}
            # What is missing is left to MkDocs, which names the page and the link.
            waiting += sorted(p for p in found if not p.startswith("docs/") and (ROOT / p).is_file())
    return files


def on_page_markdown(markdown, page, config, files):
    here = page.file.src_uri
    origin = config.extra["repository_files"][here]

    def to_site(match):
        target, anchor = match.groups()
        there = page_of(resolve(origin, target))
        return posixpath.relpath(there, posixpath.dirname(here) or ".") + (anchor or "")

    return HELP.sub(with_output, LINK.sub(to_site, markdown))


def with_output(match):
    """A command `kgan ... --help`, and what it prints."""
    command = [sys.executable, "-m", "kgan.cli", match[1], "--help"]
    environment = {**os.environ, "COLUMNS": "84"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return f"{match[0]}\n{done.stdout.rstrip()}"
