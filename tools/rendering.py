"""A pytest plugin: the pictures in a notebook are those that its code draws now.

nbval compares text. While it runs a cell, this plugin collects the pictures that the kernel sends,
figures and those of explorers, and compares their pixels with the committed ones.
"""

import json
import re
from base64 import b64decode
from io import BytesIO
from unittest.mock import patch

import numpy as np
import pytest
from nbval.plugin import IPyNbCell

from notebooks import WIDGET_VIEW, widget_state

# Root mean square of the differences of red, green and blue, each from 0 to 255. The same versions
# draw the same pixels; one other digit in a label makes 1.5 or more, a bar one pixel higher 2.4.
LIMIT = 1.0


def pictures(content):
    """Return the PNG files that stand in base64 somewhere in a piece of JSON."""
    encoded = re.findall(r"iVBORw0KGgo(?:[\w+/=]|\\n)*", json.dumps(content))
    return [b64decode(text.replace("\\n", "")) for text in encoded]


def sent_pictures(messages):
    """Return the pictures in the messages of a kernel: those of the widgets, as they end, last."""
    shown, widgets = [], {}
    for message in messages:
        found = pictures(message["content"])
        if not message["msg_type"].startswith("comm"):
            shown += found
        elif found:
            widgets[message["content"]["comm_id"]] = found[-1]
    return [*shown, *widgets.values()]


def committed_pictures(cell, metadata):
    """Return the pictures in the outputs of a cell, then those in the state of its widgets."""
    data = [output.get("data", {}) for output in cell.outputs]
    found = pictures(data)
    state = widget_state(metadata)
    models = [view[WIDGET_VIEW]["model_id"] for view in data if WIDGET_VIEW in view]
    for model in models:  # which grows by the children
        text = json.dumps(state[model]["state"])
        models += re.findall(r"IPY_MODEL_([\w-]+)", text)
        found += pictures(text)
    return found


def difference(png_a, png_b):
    """Return the root mean square difference of two pictures; infinite if they differ in size."""
    from matplotlib.image import imread

    a, b = (255 * imread(BytesIO(png))[..., :3] for png in (png_a, png_b))  # without alpha
    return np.sqrt(np.mean((a - b) ** 2)) if a.shape == b.shape else np.inf


def compare(sent, committed):
    """Yield how the pictures of a cell differ from the committed ones."""
    if len(sent) != len(committed):
        yield f"{len(sent)} pictures are drawn, {len(committed)} are committed"
    for number, pair in enumerate(zip(sent, committed, strict=False), 1):
        if pair[0] != pair[1] and (size := difference(*pair)) > LIMIT:
            yield f"picture {number} differs from the committed one by {size:.2f} (RMS of 255)"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Compare the pictures of a cell after nbval has compared its text, if it does compare."""
    if not isinstance(item, IPyNbCell) or not item.options["check"]:
        return (yield)
    messages = []
    receive = item.parent.get_kernel_message

    def remember(*args, **kwargs):
        messages.append(receive(*args, **kwargs))
        return messages[-1]

    with patch.object(item.parent, "get_kernel_message", remember):
        result = yield
    committed = committed_pictures(item.cell, item.parent.nb.metadata)
    if problems := list(compare(sent_pictures(messages), committed)):
        item.raise_cell_error("\n".join([*problems, "make refresh draws the pictures anew"]))
    return result
