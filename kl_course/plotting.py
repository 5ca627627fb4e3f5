"""How the course's figures look, and how they reach a reader who cannot see them."""

import html
import io
from base64 import b64encode
from importlib import resources

import matplotlib.pyplot as plt

# Okabe-Ito colours; each goes with a second cue (line style, marker or hatch).
P_COLOR = "#0072B2"  # data, target, teacher: solid, circle
Q_COLOR = "#D55E00"  # model, student: dashed, square
R_COLOR = "#009E73"  # mixture, reference, prior: dash-dot, triangle
AREA_COLOR = "#595959"  # divergence or integrand


def use_style():
    """Make the course's style the default of this session's figures."""
    plt.style.use(resources.files("kl_course") / "kl.mplstyle")


def show(figure, alt):
    """Display `figure` with `alt`, the sentence that stands for it where it cannot be seen.

    The text goes into the notebook's output, from where nbconvert and the site take it.
    """
    from IPython.display import display

    _check_alt(alt)
    display(figure, metadata={"image/png": {"alt": alt}})
    plt.close(figure)


def explorer(draw, **sliders):
    """Show sliders and the figure that draw(**values) returns together with its alt text.

    Each slider is given as name=(lowest, highest, step, start). The arrow keys move the slider in
    focus by one step; the picture and its alt text follow.
    """
    import ipywidgets

    handles = {
        name: ipywidgets.FloatSlider(value=start, min=low, max=high, step=step, description=name)
        for name, (low, high, step, start) in sliders.items()
    }
    picture = ipywidgets.HTML()

    def redraw():
        figure, alt = draw(**{name: handle.value for name, handle in handles.items()})
        picture.value = _image(figure, alt)
        plt.close(figure)

    for handle in handles.values():
        handle.observe(lambda change: _on_main_thread(redraw), names="value")
    redraw()
    return ipywidgets.VBox([*handles.values(), picture])


def _on_main_thread(function):
    """Call a function between cells: JupyterLab moves sliders in a thread, unsafe for pyplot."""
    from IPython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is None:
        function()
    else:
        kernel.io_loop.add_callback(function)


def _image(figure, alt):
    _check_alt(alt)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    data = b64encode(buffer.getvalue()).decode()
    return f'<img src="data:image/png;base64,{data}" alt="{html.escape(alt)}">'


def _check_alt(alt):
    if len(alt.split()) < 4:
        raise ValueError(f"alt is {alt!r}; expected a sentence that says what the figure shows")
