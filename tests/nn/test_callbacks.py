"""Tests of kl_course.nn.callbacks, the same on every backend."""

import keras
import numpy as np
import pytest
from keras import layers

from kl_course.nn import Distiller, KLFromLogits, StopAtKL

from ..test_validation import raises


@pytest.fixture
def data():
    return np.random.default_rng(6).standard_normal((48, 4)).astype(np.float32)


def linear(seed):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((4,)), layers.Dense(3)])


def make_distiller():
    distiller = Distiller(linear(1), linear(2), temperature=2.0)
    distiller.compile(keras.optimizers.SGD(0.5), run_eagerly=True)
    distiller.teacher.run_eagerly = True
    return distiller


def fit(model, data, callback, epochs=8, **options):
    return model.fit(data, epochs=epochs, verbose=0, callbacks=[callback], **options).history


def test_training_stops_at_the_end_of_the_first_epoch_at_the_threshold(data):
    undisturbed = fit(make_distiller(), data, keras.callbacks.Callback())["kl"]
    assert np.all(np.diff(undisturbed) < 0)
    between = (undisturbed[3] + undisturbed[4]) / 2
    callback = StopAtKL(between)
    history = fit(make_distiller(), data, callback)["kl"]
    np.testing.assert_allclose(history, undisturbed[:5], rtol=1e-5)
    assert callback.stopped_epoch == 4


def test_a_threshold_met_at_once_leaves_one_epoch(data):
    callback = StopAtKL(100)
    assert len(fit(make_distiller(), data, callback)["kl"]) == 1
    assert callback.stopped_epoch == 0


def test_a_threshold_never_met_leaves_all_epochs_and_a_second_fit_starts_afresh(data):
    distiller, callback = make_distiller(), StopAtKL(1e-12)
    assert len(fit(distiller, data, callback, 3)["kl"]) == 3
    assert callback.stopped_epoch is None
    callback.threshold = 100.0
    fit(distiller, data, callback, 3)
    assert callback.stopped_epoch == 0
    callback.threshold = 1e-12
    assert len(fit(distiller, data, callback, 2)["kl"]) == 2
    assert callback.stopped_epoch is None


def test_the_metric_of_the_validation_data_can_be_watched(data):
    callback = StopAtKL(1e-12, monitor="val_kl")
    options = {"validation_data": (data[:16] / 10,)}
    history = fit(make_distiller(), data, callback, **options)
    threshold = min(history["val_kl"]) * (1 + 1e-6)
    assert threshold < min(history["kl"])  # only one of the two is low enough
    first = next(i for i, value in enumerate(history["val_kl"]) if value <= threshold)
    callback = StopAtKL(threshold, monitor="val_kl")
    assert len(fit(make_distiller(), data, callback, **options)["kl"]) == first + 1
    assert callback.stopped_epoch == first


def test_the_loss_of_a_model_with_a_kl_as_its_loss_can_be_watched(data):
    targets = np.tile(np.array([0.5, 0.3, 0.2], np.float32), (48, 1))
    model = linear(1)
    model.compile(keras.optimizers.SGD(0.5), KLFromLogits(), run_eagerly=True)
    callback = StopAtKL(0.1, monitor="loss")
    losses = model.fit(data, targets, epochs=50, verbose=0, callbacks=[callback]).history["loss"]
    assert losses[-1] <= 0.1 < losses[-2]
    assert callback.stopped_epoch == len(losses) - 1


def test_a_kl_that_is_nan_does_not_stop(data):
    callback = StopAtKL(1.0)
    assert len(fit(make_distiller(), np.full_like(data, np.nan), callback, 2)["kl"]) == 2
    assert callback.stopped_epoch is None


def test_equality_stops():
    callback = StopAtKL(0.25)
    callback.set_model(linear(1))
    callback.model.stop_training = False
    callback.on_epoch_end(3, {"kl": 0.25})
    assert (callback.stopped_epoch, callback.model.stop_training) == (3, True)


def test_an_unknown_metric_names_those_that_are_reported(data):
    with raises("'val_kl'", "kl", "loss"):
        fit(make_distiller(), data, StopAtKL(0.1, monitor="val_kl"), 1)


@pytest.mark.parametrize("threshold", [0, -1.0, np.nan, np.inf, "1", None, [0.1, 0.2]])
def test_an_invalid_threshold_is_refused(threshold):
    with raises("threshold", "expected"):
        StopAtKL(threshold)
