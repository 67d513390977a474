"""Hooks of MkDocs: pages from the root of the repository, and links that the site can follow.

In the repository links lead to files, so that they work where it is browsed. On the site a link to a page leads there,
a picture is copied, and of a link to anything else, such as a folder of code, the text remains.
"""

import re
from pathlib import Path
from posixpath import relpath
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
# Pages whose source is not in docs.
ELSEWHERE = {"index.md": "README.md", "changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}
PICTURES = (".svg", ".png")

_LINK = re.compile(r"\[((?:[^\[\]]|`[^`]*`)*)\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_config(config: Any) -> Any:
    """Collects the runbooks, so that a new one needs no line in mkdocs.yml."""
    for section in config.nav:
        for entry in section.get("How to", []):
            if "Runbooks" in entry:
                names = sorted(path.stem for path in (DOCS / "runbooks").glob("Order*.md"))
                entry["Runbooks"] = ["runbooks/README.md", *(f"runbooks/{name}.md" for name in names)]
    return config


def on_files(files: Any, config: Any) -> Any:
    for uri, source in ELSEWHERE.items():
        text = (ROOT / source).read_text()
        files.append(File.generated(config, uri, content=text))
        for _, path, _ in _LINK.findall(text):
            if path.endswith(PICTURES) and not path.startswith("docs/"):
                files.append(File.generated(config, path, content=(ROOT / path).read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    uri: str = page.file.src_uri
    source = ROOT / ELSEWHERE[uri] if uri in ELSEWHERE else DOCS / uri

    def followed(link: re.Match[str]) -> str:
        text, path, anchor = link[1], link[2], link[3] or ""
        target = (source.parent / path).resolve()
        named = target.relative_to(ROOT).as_posix()
        pages = {elsewhere: name for name, elsewhere in ELSEWHERE.items()}
        if named in pages:
            return f"[{text}]({relpath(pages[named], Path(uri).parent.as_posix())}{anchor})"
        if target.is_file() and target.is_relative_to(DOCS):
            return f"[{text}]({relpath(target.relative_to(DOCS).as_posix(), Path(uri).parent.as_posix())}{anchor})"
        # What does not exist is left for MkDocs to complain about.
        return text if target.exists() and not path.endswith(PICTURES) else link[0]

    return _LINK.sub(followed, markdown)
