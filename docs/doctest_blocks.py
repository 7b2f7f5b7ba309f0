"""Fences the `>>>` lines of docstrings, which Markdown would take for quotations."""

import re

import griffe

PROMPTS = re.compile(r"(?:^>>>.*\n?(?:^(?!\s*$).*\n?)*)", re.MULTILINE)


class DoctestBlocks(griffe.Extension):
    def on_instance(self, *, obj, **kwargs):
        if obj.docstring and ">>>" in obj.docstring.value:
            obj.docstring.value = PROMPTS.sub(
                lambda found: f"```pycon\n{found[0].rstrip()}\n```\n", obj.docstring.value
            )
