"""The comparison of pictures that runs with nbval."""

from base64 import b64encode
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
import rendering
from matplotlib.image import imsave
from nbformat.v4 import new_code_cell, new_output
from nbval.plugin import IPyNbCell, NbCellError

from notebooks import WIDGET_STATE, WIDGET_VIEW


def png(grey, shape=(20, 30)):
    buffer = BytesIO()
    imsave(buffer, np.full((*shape, 3), grey, dtype=np.uint8), format="png")
    return buffer.getvalue()


def encoded(picture):
    return b64encode(picture).decode()


def as_html(picture):
    return f'<img src="data:image/png;base64,{encoded(picture)}" alt="A grey area.">'


COMMITTED, NEAR, FAR = png(100), png(101), png(102)
METADATA = {
    "widgets": {
        WIDGET_STATE: {
            "state": {
                "box": {"state": {"children": ["IPY_MODEL_slider", "IPY_MODEL_picture"]}},
                "slider": {"state": {"value": 0.5}},
                "picture": {"state": {"value": as_html(COMMITTED)}},
            }
        }
    }
}
FIGURE = {"image/png": encoded(COMMITTED) + "\n", "text/plain": "<Figure>"}  # as nbformat stores it
EXPLORER = {WIDGET_VIEW: {"model_id": "box"}, "text/plain": "VBox()"}


def figure_message(picture):
    return {"msg_type": "display_data", "content": {"data": {"image/png": encoded(picture)}}}


def widget_message(picture):
    content = {"comm_id": "1", "data": {"state": {"value": as_html(picture)}}}
    return {"msg_type": "comm_msg", "content": content}


def run_cell(data, messages, check=True):
    """Run the plugin around a cell of nbval that has the committed data and receives messages."""
    item = IPyNbCell.__new__(IPyNbCell)
    item.options, item.cell_num = {"check": check}, 0
    item.cell = new_code_cell("draw()", outputs=[new_output("display_data", data)])
    remaining = iter(messages)
    item.parent = SimpleNamespace(
        nb=SimpleNamespace(metadata=METADATA), get_kernel_message=lambda: next(remaining)
    )
    hook = rendering.pytest_runtest_call(item)
    next(hook)
    for _ in messages:
        item.parent.get_kernel_message()
    with pytest.raises(StopIteration):
        hook.send(None)


def test_difference_is_in_units_of_pixel_values():
    np.testing.assert_allclose(rendering.difference(COMMITTED, FAR), 2, rtol=1e-5)
    assert rendering.difference(COMMITTED, png(100, shape=(20, 31))) == np.inf


@pytest.mark.parametrize("picture", [COMMITTED, NEAR], ids=["same", "near"])
def test_picture_as_committed_passes(picture):
    run_cell(FIGURE, [figure_message(picture)])
    run_cell(EXPLORER, [widget_message(FAR), widget_message(picture)])  # the last one stays


@pytest.mark.parametrize("picture", [FAR, png(100, shape=(20, 31))], ids=["colour", "size"])
def test_other_picture_fails(picture):
    with pytest.raises(NbCellError, match="picture 1 differs from the committed one by"):
        run_cell(FIGURE, [figure_message(picture)])
    with pytest.raises(NbCellError, match="picture 1 differs from the committed one by"):
        run_cell(EXPLORER, [widget_message(picture)])


def test_missing_picture_fails():
    with pytest.raises(NbCellError, match="0 pictures are drawn, 1 are committed"):
        run_cell(FIGURE, [])
    with pytest.raises(NbCellError, match="1 pictures are drawn, 0 are committed"):
        run_cell({"text/plain": "1"}, [figure_message(COMMITTED)])


def test_cell_that_is_not_compared_passes():
    run_cell(FIGURE, [figure_message(FAR)], check=False)
