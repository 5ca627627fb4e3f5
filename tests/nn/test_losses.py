"""Tests of kl_course.nn.losses, the same on every backend."""

import keras
import numpy as np
import pytest
from keras import ops

import kl_course as kc
from kl_course.nn import (
    ConfidencePenalty,
    ConsistencyLoss,
    DistillationLoss,
    KLFromLogits,
    check_targets,
)

from .backend import BACKEND, gradient

# JAX computes in float32 unless it is told otherwise for the whole process.
DTYPES = ["float32"] if BACKEND == "jax" else ["float32", "float64"]
TEMPERATURES = [0.1, 1.0, 4.0, 100.0]


def value(loss, targets, logits, **keywords):
    return ops.convert_to_numpy(loss(targets, logits, **keywords))


def softmax(logits, temperature=1.0):
    weights = np.exp((logits - logits.max(axis=-1, keepdims=True)) / temperature)
    return weights / weights.sum(axis=-1, keepdims=True)


def pairs(scale=3.0, dtype="float32", rows=200, classes=10):
    """Return targets, some with zeros and some one-hot, and logits."""
    rng = np.random.default_rng(0)
    targets = rng.dirichlet(np.full(classes, 0.5), size=rows)
    targets[::3, : classes // 3] = 0
    targets[::5] = np.eye(classes)[np.arange(rows)[::5] % classes]
    targets /= targets.sum(axis=-1, keepdims=True)
    return targets.astype(dtype), (scale * rng.standard_normal((rows, classes))).astype(dtype)


def logit_pairs(scale=3.0, dtype="float32"):
    """Return clean and perturbed logits."""
    rng = np.random.default_rng(5)
    clean = scale * rng.standard_normal((200, 10))
    return clean.astype(dtype), (clean + scale / 3 * rng.standard_normal(clean.shape)).astype(dtype)


def exact(targets, logits, temperature=1.0):
    """Return KL of each target from softmax(logits / T), in float64."""
    with np.errstate(divide="ignore"):
        log_p = np.log(targets.astype(np.float64))
    return kc.kl_from_logits(log_p, logits.astype(np.float64) / temperature)


def triples(scale=3.0, dtype="float32"):
    """Return labels as probabilities, the teacher's logits and the student's."""
    teacher, student = logit_pairs(scale, dtype)
    return pairs(dtype=dtype)[0], teacher, student


def stacked(labels, teacher):
    return np.stack([labels, teacher], axis=-2)


def distilled(labels, teacher, student, temperature, alpha):
    """Return the loss of each row, in float64."""
    teacher, student = teacher.astype(np.float64), student.astype(np.float64)
    soft = kc.kl_from_logits(teacher, student, temperature=temperature)
    return alpha * exact(labels, student) + (1 - alpha) * temperature**2 * soft


# Values


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [1.0, 30.0, 1000.0])
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_values_are_those_of_the_numpy_core(dtype, scale, temperature):
    targets, logits = pairs(scale, dtype)
    loss = KLFromLogits(temperature, reduction=None, dtype=dtype)
    values = value(loss, targets, logits)
    assert values.shape == (200,)
    assert values.dtype == dtype
    expected = exact(targets, logits, temperature)
    np.testing.assert_allclose(values, expected, rtol=20 * np.finfo(dtype).eps, atol=1e-35)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("delta", [1e-1, 1e-2, 1e-3, 1e-4])
def test_digits_near_equality(dtype, delta):
    rng = np.random.default_rng(1)
    logits = (2 * rng.standard_normal((200, 10))).astype(dtype)
    noise = delta * rng.standard_normal(logits.shape)
    targets = softmax(logits + noise).astype(dtype)
    values = value(KLFromLogits(reduction=None, dtype=dtype), targets, logits)
    assert values.min() > 0
    # KL is about delta^2 / 2: an error of a few eps in log p - log q is one of eps / delta in KL.
    tolerance = 20 * np.finfo(dtype).eps / delta
    np.testing.assert_allclose(values, exact(targets, logits), rtol=tolerance)


def test_a_kl_of_zero_is_never_negative():
    logits = pairs(5.0, rows=2000)[1]
    values = value(KLFromLogits(reduction=None), softmax(logits), logits)
    assert values.min() >= 0
    assert values.max() < 1e-11


def test_a_tiny_target_costs_no_digits():
    logits = pairs(3.0, classes=2)[1]
    targets = np.tile(np.array([1.0, 1e-30], "float32"), (200, 1))
    gradients = gradient(lambda z: KLFromLogits(reduction=None)(targets, z), logits)
    prediction = softmax(logits.astype(np.float64))
    np.testing.assert_allclose(gradients[:, 1], prediction[:, 1], rtol=1e-6)


def test_a_common_shift_of_the_logits_costs_no_digits():
    targets, logits = pairs()
    logits = logits + np.float32(4096)
    values = value(KLFromLogits(0.3, reduction=None), targets, logits)
    shifted = logits.astype(np.float64) - 4096
    np.testing.assert_allclose(values, exact(targets, shifted, 0.3), rtol=3e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_confidence_penalty_is_the_sum_of_two_divergences(dtype):
    targets, logits = pairs(dtype=dtype)
    q = softmax(logits.astype(np.float64))
    penalty = kc.kl_divergence(q, np.full(10, 0.1))
    values = value(ConfidencePenalty(0.7, reduction=None, dtype=dtype), targets, logits)
    assert values.dtype == dtype
    expected = exact(targets, logits) + 0.7 * penalty
    np.testing.assert_allclose(values, expected, rtol=20 * np.finfo(dtype).eps)


def test_confidence_penalty_differs_from_the_published_form_by_constants():
    targets, logits = pairs()
    q = softmax(logits.astype(np.float64))
    published = kc.cross_entropy(targets, q) - 0.7 * kc.entropy(q)
    constants = kc.entropy(targets) - 0.7 * np.log(10)
    values = value(ConfidencePenalty(0.7, reduction=None), targets, logits)
    np.testing.assert_allclose(values, published - constants, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [1.0, 30.0, 1000.0])
def test_consistency_is_the_kl_of_the_clean_prediction_from_the_perturbed_one(dtype, scale):
    clean, perturbed = logit_pairs(scale, dtype)
    values = value(ConsistencyLoss(reduction=None, dtype=dtype), clean, perturbed)
    assert values.dtype == dtype
    expected = kc.kl_from_logits(clean.astype(np.float64), perturbed.astype(np.float64))
    # The logarithms have an error of some eps of their size.
    tolerance = 20 * max(scale, 1) * np.finfo(dtype).eps
    np.testing.assert_allclose(values, expected, rtol=tolerance, atol=1e-35)


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_consistency_mse_is_the_mean_over_the_classes(scale):
    clean, perturbed = logit_pairs(scale)
    p, q = (softmax(z.astype(np.float64)) for z in (clean, perturbed))
    values = value(ConsistencyLoss("mse", reduction=None), clean, perturbed)
    np.testing.assert_allclose(values, np.mean((p - q) ** 2, axis=-1), atol=1e-7)


@pytest.mark.parametrize("kind", ["kl", "mse"])
def test_an_unmoved_prediction_is_consistent(kind):
    logits = logit_pairs(30.0)[0]
    shifted = logits + np.float32(64)  # the same probabilities
    for same in (logits, shifted):
        values = value(ConsistencyLoss(kind, reduction=None), logits, same)
        assert values.min() >= 0
        assert values.max() < 1e-9


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [1.0, 30.0, 1000.0])
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_distillation_is_the_kl_of_the_teacher_from_the_student(dtype, scale, temperature):
    labels, teacher, student = triples(scale, dtype)
    values = value(DistillationLoss(temperature, reduction=None, dtype=dtype), teacher, student)
    assert values.shape == (200,)
    assert values.dtype == dtype
    expected = distilled(labels, teacher, student, temperature, 0.0)
    # The logarithms have an error of some eps of their size, and are nearly equal when T is large.
    tolerance = 20 * max(scale / temperature, temperature / scale, 1) * np.finfo(dtype).eps
    # Probabilities below the smallest normal float32, 1e-38, count as 0.
    np.testing.assert_allclose(values, expected, rtol=tolerance, atol=1e-33)


@pytest.mark.parametrize("temperature", [0.5, 4.0])
@pytest.mark.parametrize("alpha", [0.25, 0.9, 1.0])
def test_distillation_weighs_the_labels_at_temperature_one(temperature, alpha):
    labels, teacher, student = triples()
    loss = DistillationLoss(temperature, alpha, reduction=None)
    values = value(loss, stacked(labels, teacher), student)
    expected = distilled(labels, teacher, student, temperature, alpha)
    np.testing.assert_allclose(values, expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_at_a_high_temperature_distillation_matches_logits(dtype):
    _, teacher, student = triples(1.0, dtype)
    values = value(DistillationLoss(1000.0, reduction=None, dtype=dtype), teacher, student)
    apart = (student - teacher).astype(np.float64)
    squares = np.square(apart - apart.mean(axis=-1, keepdims=True)).sum(axis=-1)
    np.testing.assert_allclose(values, squares / (2 * 10), rtol=5e-3)
    loss = DistillationLoss(1000.0, reduction=None, dtype=dtype)
    gradients = gradient(lambda z: loss(teacher, z), student)
    expected = (apart - apart.mean(axis=-1, keepdims=True)) / 10
    np.testing.assert_allclose(gradients, expected, atol=5e-3 * np.abs(expected).max())


def test_a_student_that_is_the_teacher_has_nothing_to_learn():
    teacher = triples(30.0)[1]
    loss = DistillationLoss(reduction=None)
    for same in (teacher, teacher + np.float32(64)):  # the same probabilities
        values = value(loss, teacher, same)
        assert values.min() >= 0
        assert values.max() < 1e-9


def test_distillation_keeps_the_axes_before_the_last():
    labels, teacher, student = triples()
    loss = DistillationLoss(3.0, 0.5, reduction=None)
    expected = value(loss, stacked(labels, teacher), student)
    cube = [x.reshape(20, 10, 10) for x in (labels, teacher, student)]
    values = value(loss, stacked(*cube[:2]), cube[2])
    assert values.shape == (20, 10)
    np.testing.assert_allclose(values.ravel(), expected, rtol=1e-6)


@pytest.mark.parametrize("loss", [KLFromLogits, ConsistencyLoss, DistillationLoss])
def test_axes_before_the_last_are_kept(loss):
    targets, logits = pairs()
    loss = loss(reduction=None)
    values = value(loss, targets.reshape(20, 10, 10), logits.reshape(20, 10, 10))
    assert values.shape == (20, 10)
    np.testing.assert_allclose(values.ravel(), value(loss, targets, logits), rtol=1e-6)


# Gradients


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_gradient_is_prediction_minus_target(dtype, temperature):
    for scale in (1.0, 30.0, 1000.0):
        targets, logits = pairs(scale, dtype)
        loss = KLFromLogits(temperature, reduction=None, dtype=dtype)
        gradients = gradient(lambda z, p=targets, f=loss: f(p, z), logits)
        prediction = softmax(logits.astype(np.float64), temperature)
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(
            gradients * temperature, prediction - targets, rtol=20 * eps, atol=4 * eps
        )


def test_the_gradient_keeps_its_digits_near_equality():
    logits = pairs()[1]
    step = 1e-4 * np.random.default_rng(2).standard_normal(logits.shape)
    targets = softmax(logits + step).astype(np.float32)
    gradients = gradient(lambda z: KLFromLogits(reduction=None)(targets, z), logits)
    expected = softmax(logits.astype(np.float64)) - targets
    np.testing.assert_allclose(gradients, expected, atol=4e-7 * targets.max())
    assert np.abs(expected).max() > 2e-5


def kl_to_target(p, z):
    return exact(p, z, 2.0)


def penalised(p, z):
    return exact(p, z) + 0.7 * kc.kl_divergence(softmax(z), np.full(z.shape[-1], 1 / z.shape[-1]))


@pytest.mark.parametrize(
    ("loss", "function"), [(KLFromLogits(2.0), kl_to_target), (ConfidencePenalty(0.7), penalised)]
)
def test_gradients_are_finite_differences_of_the_value(loss, function):
    targets, logits = pairs(rows=30, classes=4)
    h = 1e-5
    expected = np.empty(logits.shape)
    for k in range(4):
        up, down = logits.astype(np.float64), logits.astype(np.float64)
        up[:, k] += h
        down[:, k] -= h
        expected[:, k] = (function(targets, up) - function(targets, down)) / (2 * h)
    gradients = 30 * gradient(lambda z: loss(targets, z), logits)  # the mean over 30 rows
    np.testing.assert_allclose(gradients, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["kl", "mse"])
def test_the_gradient_of_consistency_pulls_the_perturbed_side_alone(kind, dtype):
    clean, perturbed = logit_pairs(dtype=dtype)
    loss = ConsistencyLoss(kind, reduction=None, dtype=dtype)
    p, q = (softmax(z.astype(np.float64)) for z in (clean, perturbed))
    apart = q - p
    chained = 2 / 10 * q * (apart - np.sum(apart * q, axis=-1, keepdims=True))
    expected = {"kl": apart, "mse": chained}[kind]
    eps = np.finfo(dtype).eps
    gradients = gradient(lambda z: loss(clean, z), perturbed)
    np.testing.assert_allclose(gradients, expected, rtol=50 * eps, atol=8 * eps)
    # In a network both sides depend on the weights: only the perturbed one may count.
    step = ops.convert_to_tensor(perturbed - clean)
    shared = gradient(lambda z: loss(z, z + step), clean)
    np.testing.assert_allclose(shared, expected, rtol=50 * eps, atol=8 * eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_the_gradient_of_distillation(dtype, temperature, alpha):
    labels, teacher, student = triples(dtype=dtype)
    y_true = stacked(labels, teacher) if alpha else teacher
    loss = DistillationLoss(temperature, alpha, reduction=None, dtype=dtype)
    gradients = gradient(lambda z: loss(y_true, z), student)
    p, s = (softmax(z.astype(np.float64), temperature) for z in (teacher, student))
    hard = softmax(student.astype(np.float64)) - labels
    expected = alpha * hard + (1 - alpha) * temperature * (s - p)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(
        gradients, expected, rtol=50 * eps, atol=8 * max(temperature, 1) * eps
    )


def test_the_gradient_of_distillation_is_the_finite_difference_of_the_value():
    teacher, student = (x[:30, :4] for x in logit_pairs())
    labels = pairs(rows=30, classes=4)[0]
    loss = DistillationLoss(2.0, 0.4)
    gradients = 30 * gradient(lambda z: loss(stacked(labels, teacher), z), student)
    h, expected = 1e-5, np.empty(student.shape)
    for k in range(4):
        step = h * np.eye(4)[k]
        up, down = (
            distilled(labels, teacher, student.astype(np.float64) + sign * step, 2.0, 0.4)
            for sign in (1, -1)
        )
        expected[:, k] = (up - down) / (2 * h)
    np.testing.assert_allclose(gradients, expected, rtol=1e-5, atol=1e-6)


def test_the_factor_keeps_the_size_of_the_gradient_when_the_temperature_grows():
    _, teacher, student = triples(1.0)
    sizes = []
    for temperature in (1.0, 10.0, 100.0, 1000.0):
        loss = DistillationLoss(temperature, reduction=None)
        gradients = gradient(lambda z, f=loss: f(teacher, z), student)
        sizes.append(np.linalg.norm(gradients))
    assert max(sizes) < 1.5 * min(sizes)
    assert sizes[3] == pytest.approx(sizes[2], rel=0.05)


@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_no_gradient_reaches_the_teacher(alpha):
    labels, teacher, student = map(ops.convert_to_tensor, triples())
    loss = DistillationLoss(3.0, alpha, reduction=None)

    def of_teacher(z):
        return loss(ops.stack([labels, z], axis=-2) if alpha else z, student)

    def of_both(z):  # as in a network on whose weights both sides depend
        step = student - teacher
        return loss(ops.stack([labels, z], axis=-2) if alpha else z, z + step)

    # PyTorch has no gradient at all where nothing depends on z.
    zeros = gradient(lambda z: of_teacher(z) + 0 * ops.sum(z), triples()[1])
    assert np.abs(zeros).max() == 0
    y_true = ops.stack([labels, teacher], axis=-2) if alpha else teacher
    alone = gradient(lambda z: loss(y_true, z), triples()[2])
    np.testing.assert_allclose(gradient(of_both, triples()[1]), alone, atol=1e-5)


def test_extreme_distillation_has_finite_values_and_gradients():
    teacher = np.array([[1e3, -1e3, 0.0], [0.0, 0.0, -np.inf], [0.0, 0.0, 0.0]], "float32")
    student = np.array([[-1e3, 1e3, 0.0], [1.0, 0.0, -1e3], [1e3, 1e3, -1e3]], "float32")
    labels = np.eye(3, dtype="float32")
    for alpha in (0.0, 0.5):
        y_true = stacked(labels, teacher) if alpha else teacher
        loss = DistillationLoss(4.0, alpha, reduction=None)
        values = value(loss, y_true, student)
        assert np.isfinite(values).all()
        assert values.min() > 0
        assert np.isfinite(gradient(lambda z, y=y_true, f=loss: f(y, z), student)).all()
    # KL is 2000 / T; T^2 makes it 8000.
    first = value(DistillationLoss(4.0, reduction=None), teacher, student)[0]
    assert first == pytest.approx(8000)


def test_extreme_consistency_has_finite_values_and_gradients():
    clean = np.array([[1e3, -1e3, 0.0], [0.0, 0.0, -np.inf], [0.0, 0.0, 0.0]], "float32")
    perturbed = np.array([[-1e3, 1e3, 0.0], [1.0, 0.0, -1e3], [1e3, 1e3, -1e3]], "float32")
    for kind in ("kl", "mse"):
        loss = ConsistencyLoss(kind, reduction=None)
        values = value(loss, clean, perturbed)
        assert np.isfinite(values).all()
        assert values.min() > 0
        assert np.isfinite(gradient(lambda z, f=loss: f(clean, z), perturbed)).all()
    assert value(ConsistencyLoss(reduction=None), clean, perturbed)[0] == pytest.approx(2000)


@pytest.mark.parametrize("loss", [KLFromLogits(0.1), KLFromLogits(100.0), ConfidencePenalty(1.0)])
def test_extremes_have_finite_values_and_gradients(loss):
    logits = np.array([[1e3, -1e3, 0.0], [-1e3, 1e3, 1e3], [0.0, 0.0, -np.inf]], "float32")
    targets = np.array([[0.0, 1.0, 0.0], [1.0, 1e-38, 1e-41], [1.0, 0.0, 0.0]], "float32")
    values = ops.convert_to_numpy(loss.call(*map(ops.convert_to_tensor, (targets, logits))))
    assert np.isfinite(values).all()
    assert values.min() >= 0
    for by_target in (False, True):
        f = (lambda p: loss(p, logits[:2])) if by_target else (lambda z: loss(targets, z))
        assert np.isfinite(gradient(f, targets[:2] if by_target else logits)).all()


def test_a_saturated_wrong_answer_keeps_its_gradient_and_an_impossible_one_is_infinite():
    wrong, right = np.array([[0.0, 1000.0]], "float32"), np.array([[1.0, 0.0]], "float32")
    np.testing.assert_allclose(
        gradient(lambda z: KLFromLogits()(right, z), wrong), [[-1.0, 1.0]], rtol=1e-6
    )
    impossible = np.array([[-np.inf, 0.0]], "float32")
    assert value(KLFromLogits(), right, impossible) == np.inf


# Reductions and sample weights


@pytest.mark.parametrize(
    "loss_class", [KLFromLogits, ConfidencePenalty, ConsistencyLoss, DistillationLoss]
)
def test_reductions_and_sample_weights(loss_class):
    targets, logits = pairs()
    rows = value(loss_class(reduction=None), targets, logits)
    weights = np.linspace(0, 2, 200, dtype="float32")
    np.testing.assert_allclose(value(loss_class(), targets, logits), rows.mean(), rtol=1e-6)
    total = value(loss_class(reduction="sum"), targets, logits, sample_weight=weights)
    np.testing.assert_allclose(total, (weights * rows).sum(), rtol=1e-6)
    mean = value(
        loss_class(reduction="mean_with_sample_weight"), targets, logits, sample_weight=weights
    )
    np.testing.assert_allclose(mean, np.average(rows, weights=weights), rtol=1e-6)


# Training


@pytest.fixture
def data():
    rng = np.random.default_rng(3)
    inputs = rng.standard_normal((64, 5)).astype("float32")
    return inputs, softmax(inputs @ rng.standard_normal((5, 3))).astype("float32")


def classifier(loss):
    keras.utils.set_random_seed(4)
    hidden = keras.layers.Dense(8, activation="tanh")
    model = keras.Sequential([keras.Input((5,)), hidden, keras.layers.Dense(3)])
    model.compile(keras.optimizers.SGD(0.5), loss)
    return model


def test_training_is_that_of_cross_entropy(data):
    inputs, targets = data
    before = classifier("mse").get_weights()
    curves, weights = [], []
    for loss in (KLFromLogits(), keras.losses.CategoricalCrossentropy(from_logits=True)):
        model = classifier(loss)  # from the same seed, which also shuffles the data
        curves.append(model.fit(inputs, targets, epochs=5, verbose=0).history["loss"])
        weights.append(model.get_weights())
    constant = kc.entropy(targets).mean(dtype=np.float64)
    np.testing.assert_allclose(curves[0], np.subtract(curves[1], constant), atol=1e-6)
    for start, a, b in zip(before, *weights, strict=True):
        assert np.abs(a - start).max() > 1e-2
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize(
    "loss",
    [
        KLFromLogits(3.0, name="t"),
        ConfidencePenalty(0.3, "sum"),
        ConsistencyLoss("mse", name="c"),
        DistillationLoss(3.0, name="d"),
    ],
)
def test_a_compiled_model_is_saved_and_loaded(loss, data, tmp_path):
    model = classifier(loss)
    expected = model.evaluate(*data, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.loss.get_config() == loss.get_config()
    assert loaded.evaluate(*data, verbose=0) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_a_compiled_student_learns_from_a_teacher(alpha, data, tmp_path):
    inputs, targets = data
    teacher = np.log(targets) + np.float32(3)
    y_true = stacked(np.eye(3, dtype="float32")[targets.argmax(axis=-1)], teacher)
    student = classifier(DistillationLoss(4.0, alpha))
    losses = student.fit(inputs, y_true if alpha else teacher, epochs=10, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]
    student.save(tmp_path / "model.keras")
    loss = keras.saving.load_model(tmp_path / "model.keras").loss
    assert (loss.temperature, loss.alpha) == (4.0, alpha)


def test_configurations_hold_every_argument():
    arguments = {"reduction": "sum", "name": "n", "dtype": "float64"}
    for loss_class, own in ((KLFromLogits, "temperature"), (ConfidencePenalty, "weight")):
        config = loss_class(np.float32(2), **arguments).get_config()
        assert config == arguments | {own: 2.0}
        assert type(config[own]) is float  # JSON knows no NumPy
        assert loss_class.from_config(config).get_config() == config
    config = ConsistencyLoss("mse", **arguments).get_config()
    assert config == arguments | {"kind": "mse"}
    assert ConsistencyLoss.from_config(config).get_config() == config
    config = DistillationLoss(np.float32(2), np.float32(0.25), **arguments).get_config()
    assert config == arguments | {"temperature": 2.0, "alpha": 0.25}
    assert {type(config[own]) for own in ("temperature", "alpha")} == {float}
    assert DistillationLoss.from_config(config).get_config() == config
    assert KLFromLogits().name == "kl_from_logits"
    assert ConfidencePenalty().name == "confidence_penalty"
    assert ConsistencyLoss().name == "consistency"
    assert DistillationLoss().name == "distillation"
    assert (DistillationLoss().temperature, DistillationLoss().alpha) == (4.0, 0.0)


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_single(half):
    targets, logits = (ops.cast(x, half) for x in pairs(5.0))
    rounded = [ops.convert_to_numpy(ops.cast(x, "float32")) for x in (targets, logits)]
    losses = KLFromLogits(0.1), ConfidencePenalty(), ConsistencyLoss("kl"), ConsistencyLoss("mse")
    for loss in (*losses, DistillationLoss(20.0)):
        single = ops.convert_to_numpy(loss.call(*map(ops.convert_to_tensor, rounded)))
        values = ops.convert_to_numpy(loss.call(targets, logits))
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, single, rtol=1e-6)


def test_a_model_trains_under_mixed_precision(data):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = classifier(KLFromLogits())
    finally:
        keras.config.set_dtype_policy(policy)
    assert model.compute_dtype == "float16"
    losses = model.fit(*data, epochs=10, verbose=0).history["loss"]
    assert 0 < losses[-1] < 0.8 * losses[0]


# Errors


@pytest.mark.parametrize("temperature", [0, -1.0, np.nan, np.inf, "1", [1.0, 2.0]])
def test_an_invalid_temperature_is_refused(temperature):
    with pytest.raises(ValueError, match=r"temperature is .*; expected .* (above 0|positive)"):
        KLFromLogits(temperature)
    with pytest.raises(ValueError, match=r"temperature is .*; expected .* (above 0|positive)"):
        DistillationLoss(temperature)


@pytest.mark.parametrize("weight", [-0.1, np.nan, np.inf, "1", [1.0, 2.0]])
def test_an_invalid_weight_is_refused(weight):
    with pytest.raises(ValueError, match=r"weight is .*; expected .* number from 0"):
        ConfidencePenalty(weight)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, np.nan, np.inf, "1", None, [0.5, 0.5]])
def test_an_invalid_alpha_is_refused(alpha):
    with pytest.raises(ValueError, match=r"alpha is .*; expected .* number from 0 to 1"):
        DistillationLoss(alpha=alpha)


@pytest.mark.parametrize(
    ("alpha", "y_true", "remedy"),
    [
        (0.0, (8, 2, 3), "the teacher's logits, alone"),
        (0.0, (8, 4), "the teacher's logits, alone"),
        (0.0, (8,), "the teacher's logits, alone"),
        (0.5, (8, 3), r"alpha is 0\.5.*np\.stack"),
        (0.5, (8, 3, 2), r"alpha is 0\.5.*np\.stack"),
        (0.5, (2, 8, 3), r"alpha is 0\.5.*np\.stack"),
        (0.5, (8, 2, 4), r"to_categorical"),
        (0.5, (7, 2, 3), r"to_categorical"),
    ],
)
def test_distillation_refuses_shapes_that_do_not_fit(alpha, y_true, remedy):
    message = rf"y_true has shape \(.*\) and y_pred \(8, 3\); .*{remedy}"
    with pytest.raises(ValueError, match=message):
        DistillationLoss(alpha=alpha)(np.ones(y_true, "float32"), np.zeros((8, 3), "float32"))


@pytest.mark.parametrize("kind", ["l2", "KL", None, 1])
def test_an_unknown_kind_of_consistency_is_refused(kind):
    with pytest.raises(ValueError, match=r"kind is .*; expected 'kl' or 'mse'"):
        ConsistencyLoss(kind)


def test_consistency_refuses_shapes_that_differ_in_its_own_words():
    message = r"y_true has shape \(8, 1\) and y_pred \(8, 3\); .*clean logits and perturbed logits"
    with pytest.raises(ValueError, match=message):
        ConsistencyLoss()(np.zeros((8, 1), "float32"), np.zeros((8, 3), "float32"))


@pytest.mark.parametrize("shape", [(8,), (8, 1), (8, 4), (1, 3), (8, 1, 3)])
@pytest.mark.parametrize("loss", [KLFromLogits(), ConfidencePenalty()])
def test_shapes_that_differ_are_refused(shape, loss):
    with pytest.raises(ValueError, match=r"y_true has shape \(.*\) and y_pred \(8, 3\); .*to_cat"):
        loss(np.ones(shape, "float32"), np.zeros((8, 3), "float32"))


def test_sizes_that_a_graph_does_not_know_may_be_equal():
    loss, logits = KLFromLogits(reduction=None), keras.KerasTensor((8, 3))
    assert loss.call(keras.KerasTensor((None, 3)), logits).shape == (8,)
    for shape in ((None, 4), (None,)):
        with pytest.raises(ValueError, match="expected equal shapes"):
            loss.call(keras.KerasTensor(shape), logits)


def test_fit_refuses_class_labels(data):
    inputs, targets = data
    with pytest.raises(ValueError, match=r"y_true has shape .*keras\.utils\.to_categorical"):
        classifier(KLFromLogits()).fit(inputs, targets.argmax(axis=-1), verbose=0)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0, 2, 1], r"^y has shape \(3,\); expected \(n, K\), .*keras\.utils\.to_categorical"),
        ([[0], [2]], r"^y has shape \(2, 1\); expected \(n, K\), .*keras\.utils\.to_categorical"),
        ([[0.5, 0.5], [0.6, 0.5]], r"^y\[1\] sums to 1\.1; expected 1: divide by its sum"),
        ([[[0.5, 0.5], [1, 1]]], r"^y\[0, 1\] sums to 2; expected 1: divide by its sum"),
        ([[0.5, 0.5], [1.5, -0.5]], r"^y\[1, 1\] is -0\.5; expected a probability"),
        ([[0.5, np.nan]], r"^y\[0, 1\] is nan; expected a probability"),
        ([[0.5, 0.5], [1.0]], r"^y is a ragged list"),
        (np.empty((0, 3)), r"^y is empty"),
    ],
)
def test_targets_that_are_no_distributions_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        check_targets(y)


def test_distributions_pass_as_targets():
    targets, logits = pairs()
    check_targets(targets)
    check_targets(ops.softmax(logits))
    check_targets(keras.utils.to_categorical([0, 2, 1]))
    check_targets(np.eye(3, dtype=int))


# What the course says about Keras' own losses. If one of these fails, Keras has changed: then the
# notebooks that show it need another look.


def test_keras_kl_divergence_clips_and_its_gradient_dies():
    right, wrong = np.array([[1.0, 0.0]], "float32"), np.array([[0.0, 18.0]], "float32")
    keras_kl = keras.losses.KLDivergence()
    assert value(keras_kl, right, np.array([[0.0, 1.0]])) == pytest.approx(np.log(1e7), rel=1e-6)
    dead = gradient(lambda z: keras_kl(right, ops.softmax(z)), wrong)
    alive = gradient(lambda z: KLFromLogits()(right, z), wrong)
    assert np.abs(dead).max() < 1e-6
    assert np.abs(alive).max() > 0.99


def test_keras_logits_distillation_skips_the_softmax_by_default():
    teacher, student = (
        np.array([[2.0, 0.0, -1.0]], "float32"),
        np.array([[0.0, 1.0, 0.0]], "float32"),
    )

    def distil(**loss):
        distillation = keras.distillation.LogitsDistillation(temperature=3.0, **loss)
        return ops.convert_to_numpy(distillation.compute_loss(teacher, student))

    right = 9 * kc.kl_from_logits(teacher, student, temperature=3.0)[0]
    assert value(DistillationLoss(3.0), teacher, student) == pytest.approx(right, rel=1e-6)
    assert distil(loss=keras.losses.KLDivergence()) == pytest.approx(right, rel=1e-5)
    assert distil() == pytest.approx(10.475, rel=1e-4)
