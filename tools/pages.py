"""What the pages of docs/ that report measurements have in common."""

import os
import platform


def machine():
    """Return what a measurement says of the machine that it was made on."""
    return {"cores": os.cpu_count(), "system": f"{platform.system()} {platform.machine()}"}


def with_section(text, marks, section):
    """Return the text of a page with a new section between its two marks."""
    before, rest = text.split(marks[0])
    after = rest.split(marks[1])[1]
    return before + marks[0] + section + marks[1] + after
