"""KL divergence in neural networks: losses, models and a callback for Keras 3.

The code is written in `keras.ops`, so that TensorFlow (the default), JAX and PyTorch run it alike:
the environment variable KERAS_BACKEND chooses among them before the import.
"""

import os
import sys
from contextlib import contextmanager


@contextmanager
def _quiet_stderr():
    """Send what native code writes to the file descriptor of stderr to the null device.

    TensorFlow's first lines come before its logger has read TF_CPP_MIN_LOG_LEVEL: the variable
    alone does not stop them.
    """
    try:
        kept = os.dup(2)
    except OSError:  # no stderr at all, as under pythonw on Windows
        yield
        return
    before = os.environ.get("TF_CPP_MIN_LOG_LEVEL")
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = before or "3"
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        if before is None:
            del os.environ["TF_CPP_MIN_LOG_LEVEL"]


if "keras" not in sys.modules:
    try:
        with _quiet_stderr():
            import keras  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"kl_course.nn needs Keras and its backend, but there is no {error.name}: "
            "pip install 'kl_course[nn]' installs Keras and TensorFlow",
            name=error.name,
        ) from error

from kl_course.nn.callbacks import StopAtKL  # noqa: E402
from kl_course.nn.distillation import Distiller  # noqa: E402
from kl_course.nn.losses import (  # noqa: E402
    ConfidencePenalty,
    ConsistencyLoss,
    DistillationLoss,
    KLFromLogits,
    check_targets,
)
from kl_course.nn.vae import VAE, Sampling  # noqa: E402

__all__ = [
    "VAE",
    "ConfidencePenalty",
    "ConsistencyLoss",
    "DistillationLoss",
    "Distiller",
    "KLFromLogits",
    "Sampling",
    "StopAtKL",
    "check_targets",
]
