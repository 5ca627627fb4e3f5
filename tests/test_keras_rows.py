"""Rows as a Keras model predicts them: a softmax in single precision, sums off by about 1e-7."""

import numpy as np
import pytest

import kl_course as kc

from . import reference
from .reference import by_row, relative_error

ONE_ROUNDING = 6.1e-8


@pytest.fixture(scope="module")
def predictions():
    """Predictions of a model, and those of one with slightly different logits."""
    keras = pytest.importorskip("keras")
    rng = np.random.default_rng(0)
    logits = 3 * rng.standard_normal((300, 10)).astype(np.float32)
    other = logits + 1e-2 * rng.standard_normal(logits.shape).astype(np.float32)
    return [keras.ops.convert_to_numpy(keras.ops.softmax(x)) for x in (logits, other)]


def test_the_rows_are_what_they_are_taken_for(predictions):
    for rows in predictions:
        assert rows.dtype == np.float32
        deviation = np.abs(rows.sum(axis=1, dtype=np.float64) - 1)
        assert np.mean(deviation > 1e-8) > 0.5
        assert deviation.max() < 1e-6


@pytest.mark.parametrize(
    ("function", "exact"),
    [
        (kc.kl_divergence, reference.kl),
        (kc.js_divergence, reference.js),
        (kc.jeffreys_divergence, reference.jeffreys),
        (kc.total_variation, reference.total_variation),
        (kc.cross_entropy, reference.cross_entropy),
    ],
    ids=lambda f: f.__name__,
)
def test_divergences_of_predictions(predictions, function, exact):
    values = function(*predictions)
    assert values.dtype == np.float32
    assert relative_error(values, by_row(exact, *predictions)) < ONE_ROUNDING


def test_entropy_of_predictions(predictions):
    values = kc.entropy(predictions[0])
    assert relative_error(values, by_row(reference.entropy, predictions[0])) < ONE_ROUNDING


def test_predictions_against_labels(predictions):
    labels = np.arange(300) % 10
    one_hot = np.eye(10, dtype=np.float32)[labels]
    expected = -np.log(predictions[0][np.arange(300), labels])
    np.testing.assert_allclose(kc.kl_divergence(one_hot, predictions[0]), expected, atol=1e-6)
