"""Tests of kl_course.nn.distillation, the same on every backend."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import kl_course as kc
from kl_course.nn import Distiller

from ..test_validation import raises
from .backend import BACKEND

CLASSES, TEMPERATURE = 3, 2.0


@pytest.fixture
def rng():
    return np.random.default_rng(1357)


@pytest.fixture
def data(rng):
    """50 examples and their labels, so that batches of 16 leave a last one of 2."""
    x = rng.standard_normal((50, 4)).astype(np.float32)
    x[-2:] *= 4
    return x, np.eye(CLASSES, dtype=np.float32)[rng.integers(0, CLASSES, 50)]


class Counter(layers.Layer):
    """Counts the examples that pass."""

    def build(self, shape):
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        self.count.assign_add(ops.cast(ops.shape(x)[0], "float32"))
        return x


def make_model(seed, hidden=6, last=(), **options):
    """Return an MLP with batch normalisation."""
    keras.utils.set_random_seed(seed)
    stack = [layers.Dense(hidden, activation="relu"), layers.BatchNormalization()]
    return keras.Sequential([keras.Input((4,)), *stack, layers.Dense(CLASSES, **options), *last])


def make_distiller(*, eager=True, student=None, teacher=None, metrics=None, **options):
    """Return a compiled distiller; with few data it is quicker without a compiled step."""
    options = {"temperature": TEMPERATURE, **options}
    distiller = Distiller(student or make_model(1), teacher or make_model(2, 20), **options)
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
    distiller.compile(optimizer, metrics=metrics, run_eagerly=eager)
    distiller.student.run_eagerly = distiller.teacher.run_eagerly = eager
    return distiller


def fit(distiller, x, y=None, epochs=1, **options):
    options = {"batch_size": 16, "shuffle": False, "verbose": 0, **options}
    return distiller.fit(x, y, epochs=epochs, **options).history


def evaluate(distiller, x, y=None, **options):
    options = {"batch_size": 16, "verbose": 0, **options}
    return distiller.evaluate(x, y, return_dict=True, **options)


class Batches(keras.utils.PyDataset):
    """Arrays in batches of 16, as a dataset that no backend has to itself."""

    def __init__(self, *arrays):
        super().__init__()
        self.arrays = arrays

    def __len__(self):
        return -(-len(keras.tree.flatten(self.arrays)[0]) // 16)

    def __getitem__(self, i):
        return keras.tree.map_structure(lambda a: a[16 * i : 16 * i + 16], self.arrays)


def rows(distiller, x, labels=None):
    """Return `kl` and `hard` of each example in float64, from the models' logits."""
    teacher, student = (
        model.predict(x, verbose=0).astype(np.float64)
        for model in (distiller.teacher, distiller.student)
    )
    kl = kc.kl_from_logits(teacher, student, temperature=distiller.temperature)
    if labels is None:
        return kl, np.zeros(len(kl))
    with np.errstate(divide="ignore"):
        return kl, kc.kl_from_logits(np.log(labels), student)


def assert_adds_up(history, alpha, temperature=TEMPERATURE, prefix=""):
    loss, kl, hard = (np.array(history.get(prefix + n, 0.0)) for n in ("loss", "kl", "hard"))
    np.testing.assert_allclose(loss, alpha * hard + (1 - alpha) * temperature**2 * kl, rtol=1e-5)


class TestValues:
    @pytest.mark.parametrize("temperature", [0.5, 1.0, 20.0])
    @pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
    def test_metrics_are_the_divergences_of_all_examples(self, data, temperature, alpha):
        x, y = data
        distiller = make_distiller(temperature=temperature, alpha=alpha)
        parts = evaluate(distiller, x, y)
        kl, hard = rows(distiller, x, y)
        assert abs(kl[-2:].mean() - kl.mean()) > 0.1 * kl.mean()  # the small batch is another
        assert parts["kl"] == pytest.approx(kl.mean(), rel=1e-4)
        assert ("hard" in parts) == (alpha > 0)
        if alpha:
            assert parts["hard"] == pytest.approx(hard.mean(), rel=1e-5)
        expected = alpha * hard + (1 - alpha) * temperature**2 * kl
        assert parts["loss"] == pytest.approx(expected.mean(), rel=1e-4)

    def test_the_teacher_comes_first(self, data):
        models = make_model(2, 20), make_model(1)
        distiller = make_distiller(student=models[1], teacher=models[0], temperature=1.0)
        teacher, student = (model.predict(data[0], verbose=0) for model in models)
        np.testing.assert_array_equal(distiller.predict(data[0], verbose=0), student)
        right, swapped = (
            kc.kl_from_logits(*pair).mean() for pair in ((teacher, student), (student, teacher))
        )
        assert abs(right - swapped) > 0.01 * right
        assert evaluate(distiller, data[0])["kl"] == pytest.approx(right, rel=1e-4)

    def test_the_teacher_is_called_as_in_inference(self, data):
        x, _ = data
        stack = keras.Input((4,)), layers.Dropout(0.8), layers.Dense(CLASSES)
        distiller = make_distiller(teacher=keras.Sequential(stack))
        kl = rows(distiller, x)[0].mean()
        for batches in (x, Batches(x)):
            parts = evaluate(distiller, batches, batch_size=None if batches is not x else 16)
            assert parts["kl"] == pytest.approx(kl, rel=1e-5)

    def test_sample_weights(self, data, rng):
        x, y = data
        weights = rng.random(50).astype(np.float32)
        distiller = make_distiller(alpha=0.4)
        distiller.compile("sgd", weighted_metrics=["accuracy"], run_eagerly=True)
        kl, hard = rows(distiller, x, y)
        right = distiller.predict(x, verbose=0).argmax(axis=-1) == y.argmax(axis=-1)
        for parts in (
            evaluate(distiller, x, y, sample_weight=weights),
            evaluate(distiller, Batches(x, y, weights), batch_size=None),
        ):
            assert parts["kl"] == pytest.approx((weights * kl).mean(), rel=1e-4)
            assert parts["hard"] == pytest.approx((weights * hard).mean(), rel=1e-5)
            assert parts["accuracy"] == pytest.approx(np.average(right, weights=weights), rel=1e-5)
            assert_adds_up(parts, 0.4)

    @pytest.mark.parametrize("alpha", [0.0, 0.3])
    def test_parts_add_up_over_unequal_batches(self, data, rng, alpha):
        x, y = data
        y = y if alpha else None
        weights = rng.random(50).astype(np.float32)
        validation = (x[:21] / 2, None if y is None else y[:21], weights[:21])
        distiller = make_distiller(alpha=alpha, eager=False)
        history = fit(distiller, x, y, 6, sample_weight=weights, validation_data=validation)
        assert history["loss"][-1] < 0.7 * history["loss"][0]
        for prefix in ("", "val_"):
            assert_adds_up(history, alpha, prefix=prefix)
        last = evaluate(distiller, *validation[:2], sample_weight=weights[:21])
        assert history["val_kl"][-1] == pytest.approx(last["kl"], rel=1e-5)

    def test_penalties_of_the_student_count_and_those_of_the_teacher_do_not(self, data):
        x, _ = data
        penalties = {"kernel_regularizer": "l2", "activity_regularizer": keras.regularizers.L2(0.5)}
        distiller = make_distiller(
            student=make_model(1, **penalties), teacher=make_model(2, **penalties), eager=False
        )
        distiller.student(x[:16])
        expected = sum(float(ops.convert_to_numpy(loss)) for loss in distiller.student.losses)
        assert expected > 0.1
        for batch in (x[:16], Batches(x[:16])):  # the teacher is called before, or within a step
            parts = evaluate(distiller, batch, batch_size=None)
            penalty = parts["loss"] - TEMPERATURE**2 * parts["kl"]
            assert penalty == pytest.approx(expected, rel=1e-4)

    def test_penalties_move_the_student(self, data):
        x, _ = data
        penalty = {"activity_regularizer": keras.regularizers.L2(0.5)}
        plain, penalised = make_distiller(), make_distiller(student=make_model(1, **penalty))
        for distiller in (plain, penalised):
            # Keras 3.12 sums the penalty over a batch: too steep for gradient descent.
            distiller.compile(keras.optimizers.Adam(0.05), run_eagerly=True)
            fit(distiller, x, epochs=3)
        sizes = [np.square(d.predict(x, verbose=0)).mean() for d in (plain, penalised)]
        assert sizes[1] < 0.9 * sizes[0]

    def test_sequences(self, rng):
        def make(seed):
            keras.utils.set_random_seed(seed)
            return keras.Sequential([keras.Input((None, 4)), layers.Dense(CLASSES)])

        x = rng.standard_normal((20, 5, 4)).astype(np.float32)
        y = np.eye(CLASSES, dtype=np.float32)[rng.integers(0, CLASSES, (20, 5))]
        distiller = make_distiller(student=make(1), teacher=make(2), alpha=0.5)
        parts = evaluate(distiller, x, y)
        kl, hard = rows(distiller, x, y)
        assert kl.shape == (20, 5)
        assert parts["kl"] == pytest.approx(kl.mean(), rel=1e-5)
        assert parts["hard"] == pytest.approx(hard.mean(), rel=1e-5)
        assert distiller.predict(x, verbose=0).shape == (20, 5, CLASSES)

    def test_an_ensemble_is_the_mean_of_its_members_logits(self, data):
        x, _ = data
        members = [make_model(seed) for seed in (2, 3, 4)]
        inputs = keras.Input((4,))
        teacher = keras.Model(inputs, layers.Average()([member(inputs) for member in members]))
        distiller = make_distiller(teacher=teacher)
        mean = np.mean([member.predict(x, verbose=0) for member in members], axis=0)
        student = distiller.predict(x, verbose=0)
        expected = kc.kl_from_logits(mean, student, temperature=TEMPERATURE).mean()
        assert evaluate(distiller, x)["kl"] == pytest.approx(expected, rel=1e-5)
        before = teacher.get_weights()
        fit(distiller, x)
        for a, b in zip(before, teacher.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)

    @pytest.mark.parametrize("structure", [dict, list])
    def test_several_inputs(self, data, structure):
        x, y = data

        def make(seed):
            keras.utils.set_random_seed(seed)
            a, b = keras.Input((4,), name="a"), keras.Input((2,), name="b")
            logits = layers.Dense(CLASSES)(layers.Concatenate()([a, b]))
            return keras.Model([a, b] if structure is list else {"a": a, "b": b}, logits)

        inputs = [x, x[:, :2] ** 2] if structure is list else {"a": x, "b": x[:, :2] ** 2}
        distiller = make_distiller(student=make(1), teacher=make(2), alpha=0.5)
        kl, hard = rows(distiller, inputs, y)
        parts = evaluate(distiller, inputs, y)
        assert parts["kl"] == pytest.approx(kl.mean(), rel=1e-5)
        assert parts["hard"] == pytest.approx(hard.mean(), rel=1e-5)
        history = fit(distiller, inputs, y, validation_data=(inputs, y))
        for prefix in ("", "val_"):
            assert_adds_up(history, 0.5, prefix=prefix)

    @pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
    def test_mixed_precision(self, data, policy):
        x, y = data
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        try:
            distiller = make_distiller(alpha=0.5, temperature=20.0, eager=False)
        finally:
            keras.config.set_dtype_policy(before)
        assert keras.backend.standardize_dtype(distiller.student(x).dtype) == policy[6:]
        parts = evaluate(distiller, x, y)
        kl, _ = rows(distiller, x, y)  # of the logits in half precision
        assert parts["kl"] == pytest.approx(kl.mean(), rel=1e-3)
        history = fit(distiller, x, y, 4)
        assert history["loss"][-1] < history["loss"][0]
        assert_adds_up(history, 0.5, 20.0)


class TestTraining:
    def test_only_the_student_moves(self, data):
        distiller = make_distiller()
        before = [model.get_weights() for model in (distiller.student, distiller.teacher)]
        fit(distiller, data[0])
        fit(distiller, Batches(data[0]))  # which calls the teacher in each step
        for a, b in zip(before[0], distiller.student.get_weights(), strict=True):
            assert np.abs(a - b).max() > 1e-4  # the statistics of its batches, too
        for a, b in zip(before[1], distiller.teacher.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        assert not distiller.teacher.trainable
        assert len(distiller.optimizer.variables) > 2
        assert len(distiller.trainable_variables) == len(distiller.student.trainable_variables)

    def test_the_teacher_is_asked_once_for_an_array(self, data):
        x, _ = data
        counter = Counter()
        teacher = keras.Sequential([keras.Input((4,)), counter, layers.Dense(CLASSES)])
        distiller = make_distiller(teacher=teacher, eager=False)

        def asked(*arguments, **options):
            before = float(ops.convert_to_numpy(counter.count))
            fit(distiller, *arguments, epochs=3, **options)
            return float(ops.convert_to_numpy(counter.count)) - before

        assert asked(x) == 50
        assert asked(x, validation_data=(x[:20],)) == 70
        assert asked(Batches(x)) == 150
        logits = {"teacher_logits": np.zeros((50, CLASSES), np.float32)}
        assert asked(x, logits) == asked(Batches(x, logits)) == 0

    @pytest.mark.parametrize("alpha", [0.0, 0.3])
    def test_arrays_and_datasets_give_the_same(self, data, alpha):
        x, y = data
        logits = make_distiller().teacher.predict(x, verbose=0)
        asked = {"teacher_logits": logits, "labels": y}
        if not alpha:
            y = None
            del asked["labels"]
        batches = Batches(x) if y is None else Batches(x, y)
        histories, weights = [], []
        for arguments in ((x, y), (batches,), (x, asked), (Batches(x, asked),)):
            distiller = make_distiller(alpha=alpha, eager=False)
            options = {} if len(arguments) == 2 else {"batch_size": None}
            histories.append(fit(distiller, *arguments, epochs=2, **options))
            weights.append(distiller.student.get_weights())
        for history, weight in zip(histories[1:], weights[1:], strict=True):
            assert history.keys() == histories[0].keys()
            for name, values in history.items():
                np.testing.assert_allclose(values, histories[0][name], rtol=1e-5)
            for a, b in zip(weight, weights[0], strict=True):
                np.testing.assert_allclose(a, b, atol=1e-6)

    def test_the_teacher_given_in_y_is_followed(self, data):
        x, y = data
        distiller = make_distiller(alpha=0.5)
        given = {"teacher_logits": 5 * y, "labels": y}
        student = distiller.predict(x, verbose=0)
        expected = kc.kl_from_logits(5 * y, student, temperature=TEMPERATURE).mean()
        assert evaluate(distiller, x, given)["kl"] == pytest.approx(expected, rel=1e-5)

    def test_metrics_compare_labels_with_logits(self, data):
        x, y = data
        distiller = make_distiller(metrics=["accuracy"])
        student = distiller.predict(x, verbose=0)
        expected = np.mean(student.argmax(axis=-1) == y.argmax(axis=-1))
        for batch in ((x, y), (Batches(x, y),)):
            options = {} if len(batch) == 2 else {"batch_size": None}
            assert evaluate(distiller, *batch, **options)["accuracy"] == pytest.approx(expected)

    def test_class_labels_do_for_metrics(self, data):
        x, y = data
        distiller = make_distiller(metrics=["sparse_categorical_accuracy"])
        student = distiller.predict(x, verbose=0)
        expected = np.mean(student.argmax(axis=-1) == y.argmax(axis=-1))
        parts = evaluate(distiller, x, y.argmax(axis=-1))
        assert parts["sparse_categorical_accuracy"] == pytest.approx(expected)

    def test_labels_without_weight_change_nothing(self, data):
        x, y = data
        histories = [fit(make_distiller(), x, labels) for labels in (None, y)]
        assert histories[0] == histories[1]

    def test_predictions_are_the_students_logits(self, data):
        distiller = make_distiller()
        expected = distiller.student.predict(data[0], verbose=0)
        np.testing.assert_array_equal(distiller.predict(data[0], verbose=0), expected)
        assert np.abs(expected.sum(axis=-1) - 1).max() > 0.1

    def test_validation_split(self, data):
        x, y = data
        history = fit(make_distiller(alpha=0.5), x, y, validation_split=0.4)
        expected = evaluate(make_distiller(alpha=0.5), x[:30], y[:30])
        assert history["val_hard"][0] > 0
        assert history["kl"][0] != pytest.approx(expected["kl"])

    def test_models_that_take_inputs_of_any_size(self, rng):
        def make(seed):
            keras.utils.set_random_seed(seed)
            images = layers.Conv2D(4, 3), layers.MaxPooling2D(), layers.GlobalAveragePooling2D()
            return keras.Sequential([keras.Input((None, None, 1)), *images, layers.Dense(CLASSES)])

        x = rng.random((20, 8, 8, 1)).astype(np.float32)
        distiller = make_distiller(student=make(1), teacher=make(2))
        kl, _ = rows(distiller, x)
        assert evaluate(distiller, x)["kl"] == pytest.approx(kl.mean(), rel=1e-4)

    @pytest.mark.skipif(BACKEND != "tensorflow", reason="needs tf.data")
    def test_datasets_of_unknown_shape(self, data):
        import tensorflow as tf

        signature = tf.TensorSpec((None, 4)), tf.TensorSpec((None, None))
        dataset = tf.data.Dataset.from_generator(lambda: [data], output_signature=signature)
        distiller = make_distiller(alpha=0.5, eager=False)
        parts = distiller.evaluate(dataset, verbose=0, return_dict=True)
        assert parts["hard"] == pytest.approx(rows(distiller, *data)[1].mean(), rel=1e-5)


class TestSaving:
    def test_resumed_training_gives_the_same_numbers(self, data, tmp_path):
        whole = make_distiller(alpha=0.5)
        expected = fit(whole, *data, 2)
        part = make_distiller(alpha=0.5)
        fit(part, *data)
        part.save(tmp_path / "distiller.keras")
        resumed = keras.saving.load_model(tmp_path / "distiller.keras")
        for name, values in fit(resumed, *data).items():
            assert values == pytest.approx([expected[name][1]], rel=1e-6)
        for weight, same in zip(resumed.get_weights(), whole.get_weights(), strict=True):
            np.testing.assert_allclose(weight, same, rtol=1e-6)
        assert not resumed.teacher.trainable

    def test_every_argument_is_kept(self):
        original = make_distiller(alpha=0.25, temperature=3, name="mine")
        distiller = Distiller.from_config(original.get_config())
        assert (distiller.temperature, distiller.alpha, distiller.name) == (3.0, 0.25, "mine")
        assert distiller.get_config() == original.get_config()
        assert distiller.student.count_params() < distiller.teacher.count_params()

    def test_the_student_is_saved_alone(self, data, tmp_path):
        distiller = make_distiller()
        distiller.student.save(tmp_path / "student.keras")
        student = keras.saving.load_model(tmp_path / "student.keras")
        np.testing.assert_allclose(
            student.predict(data[0], verbose=0), distiller.predict(data[0], verbose=0), rtol=1e-6
        )


class TestErrors:
    def test_different_classes(self):
        student = keras.Sequential([keras.Input((4,)), layers.Dense(4)])
        with raises("student", "(None, 4)", "teacher", "(None, 3)", "same classes"):
            make_distiller(student=student)

    def test_two_outputs(self):
        x = keras.Input((4,))
        models = [keras.Model(x, [layers.Dense(3)(x), layers.Dense(3)(x)]) for _ in range(2)]
        with raises("student", "teacher", "one output"):
            Distiller(*models)

    def test_the_settings_cannot_be_changed_later(self):
        distiller = make_distiller(temperature=3.0, alpha=0.5)
        for name in ("temperature", "alpha"):
            with pytest.raises(AttributeError):
                setattr(distiller, name, 1.0)

    @pytest.mark.parametrize("name", ["student", "teacher"])
    @pytest.mark.parametrize("way", ["activation", "layer", "half"])
    def test_probabilities(self, name, way):
        options = {
            "activation": {"activation": "softmax"},
            "layer": {"last": [layers.Softmax()]},
            "half": {"activation": "softmax", "dtype": "mixed_bfloat16"},
        }
        with raises(name, "probabilities", "logits"):
            make_distiller(**{name: make_model(3, **options[way])})

    def test_probabilities_in_a_sequence(self):
        def make(**options):
            return keras.Sequential([keras.Input((5, 4)), layers.Dense(CLASSES, **options)])

        with raises("student", "probabilities", "logits"):
            Distiller(make(activation="softmax"), make())

    def test_logits_that_are_never_negative(self, data):
        assert evaluate(make_distiller(student=make_model(1, activation="relu")), data[0])["kl"] > 0

    def test_log_probabilities_are_logits(self, data):
        student = make_model(1, activation="log_softmax")
        assert evaluate(make_distiller(student=student), data[0])["kl"] > 0

    def test_shared_weights(self):
        teacher = make_model(2)
        with raises("share", "weights", "keras.models.clone_model"):
            make_distiller(student=teacher, teacher=teacher)
        x = keras.Input((4,))
        shared = keras.Model(x, layers.Dense(CLASSES)(teacher.layers[0](x)))
        with raises("share", "weights", "keras.models.clone_model"):
            make_distiller(student=shared, teacher=teacher)

    @pytest.mark.parametrize("name", ["student", "teacher"])
    def test_unknown_shapes(self, name):
        with raises(name, "keras.Input"):
            make_distiller(**{name: keras.Sequential([layers.Dense(CLASSES)])})

    @pytest.mark.parametrize("value", [0, -1.0, np.nan, np.inf, "1"])
    def test_temperature(self, value):
        with raises("temperature", "expected"):
            make_distiller(temperature=value)

    @pytest.mark.parametrize("value", [-0.1, 1.1, np.nan, "1"])
    def test_alpha(self, value):
        with raises("alpha", "expected"):
            make_distiller(alpha=value)

    def test_compiled_loss(self, data):
        distiller = make_distiller()
        distiller.compile("sgd", loss="mse")
        for call in (fit, evaluate):
            with raises("compile(optimizer)"):
                call(distiller, data[0])

    # On JAX, the weights would be lost if the step itself raised the error.
    @pytest.mark.parametrize("call", [fit, evaluate])
    def test_labels_that_are_missing_or_not_probabilities(self, data, call):
        x, y = data
        distiller = make_distiller(alpha=0.5)
        before = distiller.student.get_weights()
        logits = {"teacher_logits": y}
        for labels in (None, logits):
            with raises("alpha is 0.5", "no labels", "fit(x, y)"):
                call(distiller, x, labels)
        classes = y.argmax(axis=-1)
        for labels in (classes, {"labels": classes}, logits | {"labels": classes}):
            with raises("y has shape (50,)", "keras.utils.to_categorical"):
                call(distiller, x, labels)
        with raises("y[0] sums to 5", "expected 1"):
            call(distiller, x, 5 * y)
        with raises("y has shape (50, 4)", "logits (50, 3)"):
            call(distiller, x, np.pad(y, [(0, 0), (0, 1)]))
        for a, b in zip(before, distiller.student.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)

    def test_validation_data_without_labels(self, data):
        x, y = data
        distiller = make_distiller(alpha=0.5)
        with raises("alpha is 0.5", "no labels"):
            fit(distiller, x, y, validation_data=(x,))
        assert np.isfinite(distiller.student.get_weights()[0]).all()

    def test_a_dataset_without_labels(self, data):
        x, y = data
        for batches in (Batches(x), Batches(x, {"teacher_logits": y})):
            with raises("alpha is 0.5", "no labels"):
                fit(make_distiller(alpha=0.5), batches, batch_size=None)
        with raises("keras.utils.to_categorical"):
            fit(make_distiller(alpha=0.5), Batches(x, y.argmax(axis=-1)), batch_size=None)

    def test_metrics_without_labels(self, data):
        distiller = make_distiller(metrics=["accuracy"])
        with raises("metrics", "no labels", "fit(x, y)"):
            fit(distiller, data[0])
