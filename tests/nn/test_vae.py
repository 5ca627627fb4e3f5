"""The variational auto-encoder: NumPy and SciPy referees, a model whose likelihood is known."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from scipy import stats

import kl_course as kc
from kl_course.nn.vae import VAE, Sampling

from ..test_validation import raises
from .backend import gradient

LATENTS, SIZE = 3, 4


@pytest.fixture
def rng():
    return np.random.default_rng(4321)


@pytest.fixture
def data(rng):
    """50 examples, so that batches of 16 leave a last one of 2."""
    return (rng.random((50, SIZE)) < [0.1, 0.3, 0.5, 0.9]).astype(np.float32)


def make_encoder(latents=LATENTS, log_vars=LATENTS, size=SIZE, **options):
    x = keras.Input((size,))
    return keras.Model(x, [layers.Dense(latents, **options)(x), layers.Dense(log_vars)(x)])


def make_decoder(latents=LATENTS, size=SIZE):
    return keras.Sequential([keras.Input((latents,)), layers.Dense(size)])


def make_vae(*, compiled=False, **options):
    keras.utils.set_random_seed(7)
    vae = VAE(make_encoder(), make_decoder(), **{"seed": 0, **options})
    if compiled:
        vae.compile(keras.optimizers.SGD(0.05, momentum=0.9))
    return vae


def make_outputs(rng, n=20, spread=1.0):
    """Return what a VAE might return, with z as `Sampling` makes it."""
    z_mean, z_log_var, noise = spread * rng.standard_normal((3, n, LATENTS))
    return {
        "z_mean": z_mean,
        "z_log_var": z_log_var,
        "z": z_mean + np.exp(z_log_var / 2) * noise,
        "decoded": spread * rng.standard_normal((n, SIZE)),
    }


def report(vae, x, outputs):
    """Return the loss of one batch, and the parts that are reported with it."""
    outputs = {name: ops.convert_to_tensor(a, dtype="float32") for name, a in outputs.items()}
    vae.reset_metrics()
    loss = vae.compute_loss(x=x, y_pred=outputs)
    parts = {tracker.name: float(tracker.result()) for tracker in vae.metrics}
    return {**parts, "loss": float(ops.convert_to_numpy(loss))}


def standard_normal_kl(z_mean, z_log_var):
    return kc.diag_normal_kl(mean_p=z_mean, std_p=np.exp(z_log_var / 2), mean_q=0, std_q=1)


class TestSampling:
    def test_mean_and_standard_deviation(self):
        z_mean, z_log_var = np.full((40_000, 2), [3.0, -1.0]), np.full((40_000, 2), [-2.0, 2.0])
        z = ops.convert_to_numpy(Sampling(seed=1)((z_mean, z_log_var)))
        std = np.exp([-1.0, 1.0])
        np.testing.assert_allclose((z.mean(axis=0) - [3, -1]) / std, 0, atol=4 / np.sqrt(40_000))
        np.testing.assert_allclose(z.std(axis=0) / std, 1, atol=4 / np.sqrt(80_000))
        assert abs(np.corrcoef(z.T)[0, 1]) < 4 / np.sqrt(40_000)

    def test_seeds_reproduce(self):
        inputs = np.zeros((2, 5), np.float32), np.zeros((2, 5), np.float32)
        first, second = Sampling(seed=1), Sampling(seed=1)
        a, b = ops.convert_to_numpy(first(inputs)), ops.convert_to_numpy(second(inputs))
        np.testing.assert_array_equal(a, b)
        assert not np.isclose(a, ops.convert_to_numpy(first(inputs))).any()
        assert not np.isclose(a, ops.convert_to_numpy(Sampling(seed=2)(inputs))).any()

    def test_configuration(self):
        layer = Sampling(seed=5, name="noise")
        copy = Sampling.from_config(layer.get_config())
        assert (copy.seed, copy.name) == (5, "noise")

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
    def test_half_precision_is_raised(self, dtype):
        inputs = [ops.full((100, 1), value, dtype=dtype) for value in (1.0, -20.0)]
        z = Sampling(seed=0, dtype=f"mixed_{dtype}")(inputs)
        assert keras.backend.standardize_dtype(z.dtype) == "float32"
        spread = ops.convert_to_numpy(z).std()  # half precision holds no numbers so near to 1
        assert spread == pytest.approx(np.exp(-10), rel=0.3)

    def test_shapes_must_agree(self):
        with raises("(2, 3)", "z_log_var", "(2, 1)"):
            Sampling()((np.zeros((2, 3)), np.zeros((2, 1))))


class TestParts:
    @pytest.mark.parametrize("spread", [1e-3, 1, 10])
    def test_rate_is_the_closed_form(self, rng, spread):
        outputs = make_outputs(rng, spread=spread)
        expected = standard_normal_kl(outputs["z_mean"], outputs["z_log_var"]).mean()
        rate = report(make_vae(), np.zeros((20, SIZE)), outputs)["rate"]
        assert rate == pytest.approx(expected, rel=1e-5 if spread >= 1 else 1e-3)

    @pytest.mark.parametrize("kl", ["closed", "sampled"])
    @pytest.mark.parametrize("log_var", [-50.0, 50.0])
    def test_extreme_log_variances(self, kl, log_var):
        vae = make_vae(kl=kl)
        n = 2000
        z_mean, z_log_var = np.full((n, LATENTS), 0.5), np.full((n, LATENTS), log_var)
        z = ops.convert_to_numpy(Sampling(seed=3)((z_mean, z_log_var)))
        outputs = {"z_mean": z_mean, "z_log_var": z_log_var, "z": z, "decoded": np.zeros((n, SIZE))}
        rate = report(vae, np.zeros((n, SIZE)), outputs)["rate"]
        # A z next to 0.5 that float32 holds leaves nothing of noise that small.
        rel = 1e-5 if kl == "closed" else 0.1
        assert rate == pytest.approx(standard_normal_kl(z_mean, z_log_var)[0], rel=rel)

    def test_sampled_rate_is_the_log_ratio(self, rng):
        outputs = make_outputs(rng)
        std = np.exp(outputs["z_log_var"] / 2)
        log_q = stats.norm.logpdf(outputs["z"], outputs["z_mean"], std)
        log_ratio = log_q - stats.norm.logpdf(outputs["z"])
        rate = report(make_vae(kl="sampled"), np.zeros((20, SIZE)), outputs)["rate"]
        assert rate == pytest.approx(log_ratio.sum(axis=1).mean(), rel=1e-5)

    def test_sampled_rate_is_unbiased(self, rng):
        row = rng.standard_normal((2, 1, LATENTS))
        z_mean, z_log_var = np.repeat(row, 20_000, axis=1)
        z = ops.convert_to_numpy(Sampling(seed=4)((z_mean, z_log_var)))
        outputs = {
            "z_mean": z_mean,
            "z_log_var": z_log_var,
            "z": z,
            "decoded": np.zeros((20_000, SIZE)),
        }
        rate = report(make_vae(kl="sampled"), np.zeros((20_000, SIZE)), outputs)["rate"]
        # Of one latent: the variance of (z² - noise²)/2 is ((v - 1)² + 2 v mean²) / 2, v = std².
        v = np.exp(row[1])
        stderr = np.sqrt((((v - 1) ** 2 + 2 * v * row[0] ** 2) / 2).sum() / 20_000)
        assert abs(rate - standard_normal_kl(*row)[0]) < 4 * stderr

    def test_bernoulli_distortion(self, rng):
        outputs, x = make_outputs(rng), rng.integers(0, 2, (20, SIZE))
        expected = -stats.bernoulli.logpmf(x, 1 / (1 + np.exp(-outputs["decoded"])))
        distortion = report(make_vae(), x, outputs)["distortion"]
        assert distortion == pytest.approx(expected.sum(axis=1).mean(), rel=1e-6)

    def test_saturated_logits(self, rng):
        outputs = make_outputs(rng)
        x = rng.integers(0, 2, (20, SIZE))
        logits = 1000.0 * rng.choice([-1, 1], (20, SIZE))
        wrong = (x == 1) != (logits > 0)
        outputs["decoded"] = logits
        distortion = report(make_vae(), x, outputs)["distortion"]
        assert distortion == pytest.approx(1000 * wrong.sum(axis=1).mean(), rel=1e-6)

    @pytest.mark.parametrize("options", [{}, {"std": 0.1}, {"std": 3}])
    def test_gaussian_distortion(self, rng, options):
        outputs, x = make_outputs(rng), rng.standard_normal((20, SIZE))
        expected = -stats.norm.logpdf(x, outputs["decoded"], options.get("std", 1))
        distortion = report(make_vae(likelihood="gaussian", **options), x, outputs)["distortion"]
        assert distortion == pytest.approx(expected.sum(axis=1).mean(), rel=1e-6)

    @pytest.mark.parametrize("kl", ["closed", "sampled"])
    @pytest.mark.parametrize("beta", [0, 0.3, 4.0])
    @pytest.mark.parametrize("free_bits", [0, 0.8])
    def test_they_add_up(self, rng, kl, beta, free_bits):
        vae = make_vae(kl=kl, beta=beta, free_bits=free_bits)
        parts = report(vae, rng.integers(0, 2, (20, SIZE)), make_outputs(rng))
        assert ("shortfall" in parts) == (free_bits > 0)
        in_loss = parts["rate"] + parts.get("shortfall", 0)
        assert parts["loss"] == pytest.approx(parts["distortion"] + beta * in_loss, rel=1e-6)

    def test_free_bits_are_a_floor_of_each_latents_batch_mean(self):
        # KL is mean²/2: 0 and 2 in the first latent, 0 in the second, 8 in the third.
        z_mean = np.array([[0.0, 0, 4], [2, 0, 4]])
        outputs = {"z_mean": z_mean, "z_log_var": np.zeros((2, 3)), "z": z_mean}
        outputs["decoded"] = np.zeros((2, SIZE))
        parts = report(make_vae(free_bits=0.5), np.zeros((2, SIZE)), outputs)
        assert parts["rate"] == pytest.approx(9.0)
        assert parts["shortfall"] == pytest.approx(0.5)

    def test_without_free_bits_a_negative_sampled_rate_stands(self):
        zeros = np.zeros((2, LATENTS))
        outputs = {"z_mean": zeros, "z_log_var": zeros + 1, "z": zeros, "decoded": zeros[:, :1]}
        outputs["decoded"] = np.zeros((2, SIZE))
        parts = report(make_vae(kl="sampled"), np.zeros((2, SIZE)), outputs)
        assert parts["rate"] == pytest.approx(-LATENTS / 2)
        assert parts["loss"] == pytest.approx(parts["distortion"] - LATENTS / 2)


def loss_of(vae, x, z_mean, z_log_var, z, decoded):
    outputs = {"z_mean": z_mean, "z_log_var": z_log_var, "z": z, "decoded": decoded}
    with keras.StatelessScope():  # the metrics must not keep what is being differentiated
        return vae.compute_loss(x=x, y_pred=outputs)


def reference_loss(x, noise, weights, latents, *, kl, likelihood, std, beta, free_bits):
    """Return the loss in float64, with z from fixed noise and a linear decoder."""
    z_mean, std_z = latents[:, :LATENTS], np.exp(latents[:, LATENTS:] / 2)
    z = z_mean + std_z * noise
    decoded = z @ weights
    if likelihood == "gaussian":
        distortion = -stats.norm.logpdf(x, decoded, std)
    else:
        distortion = np.logaddexp(0, decoded) - x * decoded
    if kl == "sampled":
        latent_kl = stats.norm.logpdf(noise) - np.log(std_z) - stats.norm.logpdf(z)
    else:
        latent_kl = kc.normal_kl(mean_p=z_mean, std_p=std_z, mean_q=0, std_q=1)
    rate = np.maximum(latent_kl.mean(axis=0), free_bits if free_bits else -np.inf).sum()
    return distortion.sum(axis=1).mean() + beta * rate


def finite_differences(function, array, step=1e-5):
    found = np.zeros(array.shape)
    for place in np.ndindex(array.shape):
        up, down = array.astype(np.float64), array.astype(np.float64)
        up[place] += step
        down[place] -= step
        found[place] = (function(up) - function(down)) / (2 * step)
    return found


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("kl", ["closed", "sampled"])
@pytest.mark.parametrize("free_bits", [0, 1.0])
def test_gradients(rng, likelihood, kl, free_bits):
    options = {"kl": kl, "likelihood": likelihood, "std": 0.7, "beta": 2, "free_bits": free_bits}
    vae = make_vae(**options)
    x = rng.integers(0, 2, (5, SIZE)).astype(np.float32)
    noise = rng.standard_normal((5, LATENTS)).astype(np.float32)
    weights = rng.standard_normal((LATENTS, SIZE)).astype(np.float32)
    z_mean, z_log_var = rng.standard_normal((5, LATENTS)), -rng.random((5, LATENTS))
    z_mean[:, 0] *= 0.1  # this latent is below the floor
    latents = np.hstack([z_mean, z_log_var]).astype(np.float32)

    noise_tensor, weights_tensor = map(ops.convert_to_tensor, (noise, weights))

    def loss(latents):
        z_mean, z_log_var = latents[:, :LATENTS], latents[:, LATENTS:]
        z = z_mean + ops.exp(z_log_var / 2) * noise_tensor
        return loss_of(vae, x, z_mean, z_log_var, z, ops.matmul(z, weights_tensor))

    expected = finite_differences(
        lambda moved: reference_loss(x, noise, weights, moved, **options), latents
    )
    np.testing.assert_allclose(gradient(loss, latents), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kl", ["closed", "sampled"])
def test_gradients_stay_finite_at_the_extremes(kl):
    vae = make_vae(kl=kl)
    row = [0.0] * LATENTS
    log_vars = [[-50.0] * LATENTS, [50.0] * LATENTS]
    logits = [1000.0, -1000.0] * (SIZE // 2)
    inputs = np.array([row + log_var + logits for log_var in log_vars], np.float32)

    def loss(inputs):
        z_mean, z_log_var = inputs[:, :LATENTS], inputs[:, LATENTS : 2 * LATENTS]
        z = z_mean + ops.exp(z_log_var / 2) * 0.5
        decoded = inputs[:, 2 * LATENTS :] + ops.sum(z, axis=1, keepdims=True)
        return loss_of(vae, np.ones((2, SIZE)), z_mean, z_log_var, z, decoded)

    found = gradient(loss, inputs)
    assert np.isfinite(found).all()
    expected = np.array([-1.0] * LATENTS + [-0.25] * LATENTS + [0, -0.5] * (SIZE // 2))
    np.testing.assert_allclose(found[0], expected, rtol=1e-5, atol=1e-6)


class TestLinearGaussian:
    """z ~ N(0, I), x|z ~ N(W z + b, std²): the likelihood and the posterior are known."""

    std = 0.5
    weights = np.array([[1.0, 0.5, 2.0, 0.0], [0.5, -1.0, 0.0, 2.0]])  # W transposed
    shift = np.array([0.3, -0.2, 0.1, 0.0])
    # The rows of the weights are orthogonal: the posterior's coordinates are independent.
    variance = 1 / (1 + np.square(weights).sum(axis=1) / std**2)

    def log_likelihood(self, x):
        cov = self.weights.T @ self.weights + self.std**2 * np.eye(SIZE)
        return stats.multivariate_normal.logpdf(x, self.shift, cov)

    def posterior_mean(self, x):
        return (x - self.shift) @ self.weights.T / self.std**2 * self.variance

    def make_vae(self, *, offset=0.0, spread=1.0, **options):
        """Return a VAE whose posterior is the true one, moved and with other variances."""
        x, z = keras.Input((SIZE,)), keras.Input((2,))
        encoder = keras.Model(x, [layers.Dense(2)(x), layers.Dense(2)(x)])
        decoder = keras.Model(z, layers.Dense(SIZE)(z))
        slope = self.weights.T / self.std**2 * self.variance
        log_variances = np.log(spread * self.variance)
        encoder.set_weights(
            [slope, offset - self.shift @ slope, np.zeros((SIZE, 2)), log_variances]
        )
        decoder.set_weights([self.weights, self.shift])
        return VAE(encoder, decoder, likelihood="gaussian", std=self.std, seed=0, **options)

    def test_with_the_true_posterior_the_bound_is_the_likelihood(self, rng):
        x = rng.standard_normal((30, SIZE))
        vae = self.make_vae(kl="sampled")
        loss = report(vae, x, vae(x))["loss"]
        # log p(x, z) - log q(z|x) is then log p(x) at every z: no sampling error is left.
        assert -loss == pytest.approx(self.log_likelihood(x).mean(), rel=1e-5)

    @pytest.mark.parametrize("kl", ["closed", "sampled"])
    @pytest.mark.parametrize(
        ("offset", "spread"), [([0.1, -0.2], 1.0), ([0.0, 0.0], [0.4, 2.5]), ([0.1, 0], 2.0)]
    )
    def test_the_gap_is_the_kl_to_the_true_posterior(self, rng, kl, offset, spread):
        n = 20_000
        x = np.repeat(rng.standard_normal((1, SIZE)), n, axis=0)
        vae = self.make_vae(offset=np.array(offset), spread=spread, kl=kl)
        loss = report(vae, x, vae(x))["loss"]
        mean = self.posterior_mean(x[0])
        gap = kc.mvn_kl(
            mean_p=mean + offset,
            cov_p=np.diag(spread * self.variance),
            mean_q=mean,
            cov_q=np.diag(self.variance),
        )
        assert gap > 0.1
        z = mean + offset + np.sqrt(spread * self.variance) * rng.standard_normal((n, 2))
        log_joint = stats.norm.logpdf(x, z @ self.weights + self.shift, self.std).sum(axis=1)
        stderr = log_joint.std() / np.sqrt(n)  # the sampled KL makes it smaller
        assert abs(self.log_likelihood(x[0]) + loss - gap) < 4 * stderr < gap / 3


def fit(vae, data, epochs=1, **options):
    options = {"batch_size": 16, "shuffle": False, "verbose": 0, **options}
    return vae.fit(data, epochs=epochs, **options).history


class TestTraining:
    def test_loss_falls_and_parts_add_up_over_unequal_batches(self, data):
        history = fit(
            make_vae(compiled=True, beta=0.1, free_bits=2.0), data, 15, validation_data=(data,)
        )
        for prefix in ("", "val_"):
            loss, distortion, rate, shortfall = (
                np.array(history[prefix + part])
                for part in ("loss", "distortion", "rate", "shortfall")
            )
            assert loss[-1] < 0.8 * loss[0]
            assert (shortfall > 0).all()
            np.testing.assert_allclose(loss, distortion + 0.1 * (rate + shortfall), rtol=1e-6)

    def test_every_example_counts_alike(self, data):
        vae = make_vae(compiled=True)
        outputs = vae.predict(data, verbose=0)
        rate = vae.evaluate(data, batch_size=16, verbose=0, return_dict=True)["rate"]
        expected = standard_normal_kl(outputs["z_mean"], outputs["z_log_var"])
        assert abs(expected[-2:].mean() - expected.mean()) > 0.01 * expected.mean()
        assert rate == pytest.approx(expected.mean(), rel=1e-5)

    def test_seeds_reproduce(self, data):
        first, second, other = (
            ops.convert_to_numpy(make_vae(seed=seed)(data)["z"]) for seed in (0, 0, 1)
        )
        np.testing.assert_array_equal(first, second)
        assert not np.isclose(first, other).all()

    def test_beta_can_be_annealed(self, data):
        vae = make_vae(compiled=True)
        betas = [0.0, 0.5, 1.0]

        def set_beta(epoch, logs=None):
            vae.beta = betas[epoch]

        callback = keras.callbacks.LambdaCallback(on_epoch_begin=set_beta)
        history = fit(vae, data, 3, callbacks=[callback])
        distortion, rate = np.array(history["distortion"]), np.array(history["rate"])
        np.testing.assert_allclose(history["loss"], distortion + betas * rate, rtol=1e-6)
        assert vae.beta == 1

    def test_penalties_of_layers_are_added(self, data):
        vae = VAE(make_encoder(kernel_regularizer="l2"), make_decoder())
        parts = report(vae, data, vae(data))
        penalty = 0.01 * np.square(vae.encoder.get_weights()[0]).sum()
        assert parts["loss"] - parts["distortion"] - parts["rate"] == pytest.approx(
            penalty, rel=1e-3
        )

    def test_predictions(self, data):
        outputs = make_vae().predict(data, verbose=0)
        assert outputs["z_mean"].shape == outputs["z"].shape == (50, LATENTS)
        logits, mean = outputs["decoded"], outputs["reconstruction"]
        np.testing.assert_allclose(mean, 1 / (1 + np.exp(-logits)), rtol=1e-5)
        outputs = make_vae(likelihood="gaussian")(data)
        assert outputs["reconstruction"] is outputs["decoded"]

    def test_images(self, rng):
        x, z = keras.Input((4, 4, 1)), keras.Input((2,))
        flat = layers.Flatten()(x)
        encoder = keras.Model(x, [layers.Dense(2)(flat), layers.Dense(2)(flat)])
        decoder = keras.Model(z, layers.Reshape((4, 4, 1))(layers.Dense(16)(z)))
        decoder.set_weights([np.zeros((2, 16)), np.zeros(16)])
        vae = VAE(encoder, decoder)
        images = rng.random((6, 4, 4, 1))
        parts = report(vae, images, vae(images))
        assert parts["distortion"] == pytest.approx(16 * np.log(2), rel=1e-6)

    @pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
    def test_mixed_precision(self, rng, policy):
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        try:
            vae = VAE(make_encoder(size=3000), make_decoder(size=3000), seed=0)
        finally:
            keras.config.set_dtype_policy(before)
        vae.decoder.set_weights([3000 * weight for weight in vae.decoder.get_weights()])
        vae.compile("sgd")
        x = rng.integers(0, 2, (20, 3000)).astype(np.float32)
        parts = {name: values[0] for name, values in fit(vae, x, batch_size=20).items()}
        assert parts["distortion"] > 2**16  # more than float16 holds
        assert parts["loss"] == pytest.approx(parts["distortion"] + parts["rate"], rel=1e-6)
        assert all(np.isfinite(weight).all() for weight in vae.get_weights())


class TestSaving:
    def test_resumed_training_gives_the_same_numbers(self, data, tmp_path):
        whole = make_vae(compiled=True, kl="sampled")
        expected = fit(whole, data, 2)["loss"][1]
        part = make_vae(compiled=True, kl="sampled")
        fit(part, data)
        part.save(tmp_path / "vae.keras")
        resumed = keras.saving.load_model(tmp_path / "vae.keras")
        assert fit(resumed, data)["loss"] == [expected]
        for weight, same in zip(resumed.get_weights(), whole.get_weights(), strict=True):
            np.testing.assert_array_equal(weight, same)

    def test_every_argument_is_kept(self):
        options = {"free_bits": 0.2, "kl": "sampled", "likelihood": "gaussian", "std": 0.3}
        original = make_vae(beta=0.5, seed=3, name="mine", **options)
        vae = VAE.from_config(original.get_config())
        assert (vae.beta, vae.sampling.seed, vae.name) == (0.5, 3, "mine")
        assert {name: getattr(vae, name) for name in options} == options
        assert vae.get_config() == original.get_config()

    def test_the_annealed_beta_is_kept(self, tmp_path):
        vae = make_vae()
        vae.beta = 0.25
        vae.save(tmp_path / "vae.keras")
        vae.save_weights(tmp_path / "vae.weights.h5")
        assert keras.saving.load_model(tmp_path / "vae.keras").beta == 0.25
        other = make_vae()
        other.load_weights(tmp_path / "vae.weights.h5")
        assert other.beta == 0.25


class TestErrors:
    @pytest.mark.parametrize("name", ["beta", "free_bits"])
    @pytest.mark.parametrize("value", [-0.1, np.inf, np.nan, "1", None])
    def test_number_from_zero(self, name, value):
        with raises(name, repr(value), "expected"):
            make_vae(**{name: value})

    def test_beta_set_later(self):
        vae = make_vae()
        with raises("beta", "-1", "expected"):
            vae.beta = -1
        assert vae.beta == 1

    @pytest.mark.parametrize("value", [0, -0.5, np.nan])
    def test_std(self, value):
        with raises("std", str(value), "expected"):
            make_vae(std=value, likelihood="gaussian")

    @pytest.mark.parametrize("name", ["kl", "likelihood"])
    def test_unknown_choice(self, name):
        with raises(name, "'exact'", "expected"):
            make_vae(**{name: "exact"})

    @pytest.mark.parametrize(
        ("encoder", "decoder", "fragments"),
        [
            ({"log_vars": 2}, {}, ["z_mean", "(None, 3)", "z_log_var", "(None, 2)"]),
            ({}, {"latents": 2}, ["decoder", "(None, 2)", "z_mean", "(None, 3)"]),
            ({}, {"size": 1}, ["encoder", "(None, 4)", "decoder", "(None, 1)"]),
        ],
    )
    def test_shapes(self, encoder, decoder, fragments):
        with raises(*fragments, "expected"):
            VAE(make_encoder(**encoder), make_decoder(**decoder))

    def test_one_output(self):
        with raises("encoder", "(None, 3)", "two", "z_log_var"):
            VAE(keras.Sequential([keras.Input((SIZE,)), layers.Dense(3)]), make_decoder())

    def test_unknown_shapes(self):
        with raises("decoder", "keras.Input"):
            VAE(make_encoder(), keras.Sequential([layers.Dense(SIZE)]))

    @pytest.mark.parametrize("value", [-0.5, 255, np.nan])
    def test_no_value_for_a_bernoulli(self, data, value):
        vae = make_vae(compiled=True)
        data[7, 2] = value
        for call in (vae.fit, vae.evaluate):
            with raises("x[7, 2]", str(float(value)), "gaussian"):
                call(data, verbose=0)

    def test_validation_data_are_looked_at_too(self, data):
        with raises("x[0, 0]", "3.0", "gaussian"):
            fit(make_vae(compiled=True), data / 2, validation_data=(data + 2,))

    def test_any_number_for_a_gaussian(self, data):
        make_vae(compiled=True, likelihood="gaussian").evaluate(10 * data - 5, verbose=0)

    def test_targets(self, data):
        vae = make_vae(compiled=True)
        with raises("targets", "fit(x)"):
            fit(vae, data, y=data)
        with raises("targets", "fit(x)"):  # as pairs in a dataset end here
            vae.compute_loss(x=data, y=data, y_pred=vae(data))

    def test_compiled_loss(self, data):
        vae = make_vae()
        vae.compile("sgd", loss="mse")
        with raises("compile(optimizer)"):
            fit(vae, data)
