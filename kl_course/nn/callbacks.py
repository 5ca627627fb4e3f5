"""Callbacks for training with a KL divergence."""

import keras

from kl_course import _validation as validation


class StopAtKL(keras.callbacks.Callback):
    """Stop training at the end of the first epoch whose KL is at or below a threshold.

    The number of epochs given to `fit` is the limit if the threshold is not reached. Keras reports
    a mean over the epoch, while the weights move; that of validation data belongs to the weights at
    the end. `stopped_epoch` is the index of the last epoch, or None if the threshold was not
    reached.

    Parameters
    ----------
    threshold : float
        In the unit of the metric, nats for those of this package; above 0.
    monitor : str
        The name of the metric: "kl" and "val_kl" for `Distiller`, "loss" and "val_loss" for a model
        trained with `KLFromLogits`.

    Raises
    ------
    ValueError
        If `threshold` is not a positive finite number or, when training, an epoch reports no such
        metric.

    Examples
    --------
    >>> callback = StopAtKL(0.05, monitor="val_kl")
    >>> callback.on_train_begin()
    >>> callback.on_epoch_end(0, {"kl": 0.04, "val_kl": 0.06})
    >>> callback.stopped_epoch is None
    True
    """

    def __init__(self, threshold, monitor="kl"):
        super().__init__()
        self.threshold = validation.positive_number("threshold", threshold)
        self.monitor = monitor
        self.stopped_epoch = None

    def on_train_begin(self, logs=None):
        """Forget the last training."""
        self.stopped_epoch = None

    def on_epoch_end(self, epoch, logs=None):
        """Stop if the metric of this epoch is low enough."""
        if self.monitor not in (logs or {}):
            raise ValueError(
                f"monitor is {self.monitor!r}, which no metric reports; expected one of "
                f"{', '.join(logs or {})}"
            )
        if logs[self.monitor] <= self.threshold:
            self.stopped_epoch = epoch
            self.model.stop_training = True
