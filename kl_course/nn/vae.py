r"""The variational auto-encoder, on any Keras backend.

An encoder gives q(z|x) = N(z_mean, diag(exp(z_log_var))), a decoder p(x|z), and the prior is
p(z) = N(0, I). The loss has two parts, both in nats: the distortion (what is lost in the
reconstruction) and the rate (what z costs beyond the prior; on average at least what it tells about
x). With beta 1 its mean is the negative ELBO, an upper bound on the mean of -log p(x).
"""

import math

import keras
from keras import ops

from kl_course import _validation as validation
from kl_course.nn._models import refuse_unknown_shapes, revive
from kl_course.nn.losses import full_precision


@keras.saving.register_keras_serializable(package="kl_course")
class Sampling(keras.layers.Layer):
    r"""Draw z from N(z_mean, diag(exp(z_log_var))), so that gradients reach both inputs.

    .. math:: z = \mu + e^{\frac12 \log \sigma^2} \epsilon, \qquad \epsilon \sim N(0, I)

    The noise comes from a generator of the layer's own, whose state is saved with the weights. In
    mixed precision, z is computed and returned in float32.

    Parameters
    ----------
    seed : int, optional
        Seed of the generator; None for one drawn at random.
    **kwargs
        Passed on to `keras.layers.Layer`, such as `name`.

    Raises
    ------
    ValueError
        When called, if the shapes of `z_mean` and `z_log_var` differ.

    References
    ----------
    Kingma and Welling (2013), "Auto-Encoding Variational Bayes", section 2.4.
    Rezende, Mohamed and Wierstra (2014), "Stochastic Backpropagation and Approximate Inference in
    Deep Generative Models".

    Examples
    --------
    >>> from keras import ops
    >>> z = Sampling(seed=0)((ops.full((1, 3), 5.0), ops.full((1, 3), -100.0)))
    >>> ops.convert_to_numpy(z)
    array([[5., 5., 5.]], dtype=float32)
    """

    def __init__(self, seed=None, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True  # there are no weights whose shapes an input would tell

    def call(self, inputs):
        """Return one z for each pair in `(z_mean, z_log_var)`."""
        z_mean, z_log_var = full_precision(*inputs)
        shapes = tuple(z_mean.shape), tuple(z_log_var.shape)
        if shapes[0] != shapes[1]:
            raise ValueError(f"z_mean and z_log_var have shapes {shapes}; expected equal ones")
        noise = keras.random.normal(ops.shape(z_mean), dtype=z_mean.dtype, seed=self.seed_generator)
        return z_mean + ops.exp(z_log_var / 2) * noise

    def get_config(self):
        """Return the arguments that make an equal layer."""
        return {**super().get_config(), "seed": self.seed}

    def save_own_variables(self, store):
        """Store the generator's state, which Keras leaves out; resumed training needs it."""
        store["seed_state"] = ops.convert_to_numpy(self.seed_generator.state)

    def load_own_variables(self, store):
        """Take over the stored state of the generator."""
        self.seed_generator.state.assign(store["seed_state"])


@keras.saving.register_keras_serializable(package="kl_course")
class VAE(keras.Model):
    r"""Variational auto-encoder with a standard normal prior.

    .. math:: \mathrm{loss} = \underbrace{\mathbb{E}_{q(z|x)}[-\log p(x|z)]}_{\text{distortion}}
              + \beta\, \underbrace{\mathrm{KL}(q(z|x) \| p(z))}_{\text{rate}}

    Both parts are in nats per example: summed over the entries of x and over the latents, averaged
    over the batch. The expectation is estimated by one sample z for each x. With beta 1, no free
    bits and no penalties, the loss estimates the negative ELBO. Train with `fit(x)`, after
    `compile(optimizer)` without a loss. Penalties of the encoder's and decoder's layers, such as
    weight regularisers, are added to the loss.

    With free bits, each latent's KL, averaged over the batch, counts as no less than `free_bits`
    in the loss, so that nothing is gained by switching the latent off. The rate stays the KL as
    it is; `shortfall` is what the floor adds to it: loss = distortion + beta (rate + shortfall).

    `fit` and `evaluate` report `loss`, `distortion`, `rate` and, with free bits, `shortfall`, each
    averaged over the examples, so that they add up also where the last batch is smaller.

    Calling the model, or `predict`, gives a dictionary: `z_mean` and `z_log_var`; `z`, one sample
    for each x; `decoded`, the decoder's output for z; `reconstruction`, the mean of p(x|z). Each
    call draws new noise, evaluation included: for what does not vary, decode `z_mean`.

    Parameters
    ----------
    encoder : keras.Model
        From x to two outputs of equal shape: z_mean and z_log_var, the logarithm of the variance.
        Functional, so that its shapes are known; z_log_var should be a layer's plain output.
    decoder : keras.Model
        From z to an output with the shape of x: logits for "bernoulli", means for "gaussian".
        Functional, or Sequential starting with `keras.Input`.
    beta : float
        Weight of the rate, from 0. It can be set between epochs, as a callback does that anneals
        it: `LambdaCallback(on_epoch_begin=lambda epoch, logs: setattr(vae, "beta", epoch / 10))`.
    free_bits : float
        Nats that each latent may use for free; 0 for no floor.
    kl : {"closed", "sampled"}
        The closed form, or log q(z|x) - log p(z) at the sampled z: noisier, and without free bits
        the same on average.
    likelihood : {"bernoulli", "gaussian"}
        The distribution of each entry of x given z. For "bernoulli", x is 0 or 1; values between
        are accepted, and the distortion is then a cross-entropy, not a log-likelihood.
    std : float
        Standard deviation of p(x|z) for "gaussian", above 0; without effect for "bernoulli".
    seed : int, optional
        Seed of the noise in z; None for one drawn at random.
    **kwargs
        Passed on to `keras.Model`, such as `name`.

    Raises
    ------
    ValueError
        If `beta`, `free_bits` or `std` is out of range, `kl` or `likelihood` is unknown, or the
        shapes of encoder and decoder do not fit. When fitted: if there are targets or a compiled
        loss. For "bernoulli", if an array passed to `fit` or `evaluate` has a value outside
        [0, 1]; data from generators and datasets is not looked at, to keep steps fast.

    References
    ----------
    Kingma and Welling (2013), "Auto-Encoding Variational Bayes".
    Rezende, Mohamed and Wierstra (2014), "Stochastic Backpropagation and Approximate Inference in
    Deep Generative Models".
    Higgins et al. (2017), "beta-VAE: Learning Basic Visual Concepts with a Constrained Variational
    Framework".
    Kingma et al. (2016), "Improved Variational Inference with Inverse Autoregressive Flow", for
    free bits.

    Examples
    --------
    >>> import keras, numpy as np
    >>> x, z = keras.Input((4,)), keras.Input((2,))
    >>> encoder = keras.Model(x, [keras.layers.Dense(2)(x), keras.layers.Dense(2)(x)])
    >>> vae = VAE(encoder, keras.Model(z, keras.layers.Dense(4)(z)), beta=0.5, seed=0)
    >>> vae.compile("adam")
    >>> data = np.eye(4)[[0, 1, 2, 3] * 8]
    >>> history = vae.fit(data, verbose=0)
    >>> parts = vae.evaluate(data, verbose=0, return_dict=True)
    >>> bool(np.isclose(parts["loss"], parts["distortion"] + 0.5 * parts["rate"]))
    True
    """

    def __init__(
        self,
        encoder,
        decoder,
        *,
        beta=1.0,
        free_bits=0.0,
        kl="closed",
        likelihood="bernoulli",
        std=1.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        _check_shapes(encoder, decoder)
        self.encoder = encoder
        self.decoder = decoder
        self.free_bits = validation.number_from_zero("free_bits", free_bits)
        self.kl = _one_of("kl", kl, "closed", "sampled")
        self.likelihood = _one_of("likelihood", likelihood, "bernoulli", "gaussian")
        self.std = float(validation.standard_deviation("std", std))
        self.sampling = Sampling(seed)
        # A variable, since a compiled training step would freeze a plain number.
        initial = keras.initializers.Constant(validation.number_from_zero("beta", beta))
        self._beta = self.add_weight((), initial, trainable=False, name="beta")
        names = ["distortion", "rate", "shortfall"] if self.free_bits else ["distortion", "rate"]
        self._trackers = [keras.metrics.Mean(name=name) for name in names]
        self.build(encoder.input_shape)

    @property
    def beta(self):
        """The weight of the rate."""
        return float(ops.convert_to_numpy(self._beta))

    @beta.setter
    def beta(self, value):
        self._beta.assign(validation.number_from_zero("beta", value))

    def call(self, x, training=None):
        """Return the dictionary that the class describes."""
        z_mean, z_log_var = full_precision(*self.encoder(x, training=training))
        z = self.sampling((z_mean, z_log_var))
        (decoded,) = full_precision(self.decoder(z, training=training))
        outputs = {"z_mean": z_mean, "z_log_var": z_log_var, "z": z, "decoded": decoded}
        mean = ops.sigmoid(decoded) if self.likelihood == "bernoulli" else decoded
        return {**outputs, "reconstruction": mean}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Return the loss of one batch, and count its parts in the metrics."""
        self._check_objective(y)
        x = ops.cast(x, y_pred["decoded"].dtype)
        latent_kl = ops.mean(self._kl_terms(y_pred), axis=0)
        parts = {
            "distortion": ops.sum(ops.mean(self._distortion_terms(x, y_pred["decoded"]), axis=0)),
            "rate": ops.sum(latent_kl),
            "shortfall": ops.sum(ops.relu(self.free_bits - latent_kl)) if self.free_bits else 0.0,
        }
        for tracker in self._trackers:
            tracker.update_state(parts[tracker.name], sample_weight=ops.shape(x)[0])
        rate_in_loss = parts["rate"] + parts["shortfall"]
        return parts["distortion"] + self._beta * rate_in_loss + sum(self.losses)

    def _distortion_terms(self, x, decoded):
        if self.likelihood == "bernoulli":
            return ops.binary_crossentropy(x, decoded, from_logits=True)
        constant = math.log(self.std) + math.log(2 * math.pi) / 2
        return ops.square((x - decoded) / self.std) / 2 + constant

    def _kl_terms(self, outputs):
        z_mean, z_log_var, z = outputs["z_mean"], outputs["z_log_var"], outputs["z"]
        if self.kl == "closed":
            return (ops.square(z_mean) + ops.expm1(z_log_var) - z_log_var) / 2
        # The noise is held fixed: gradients reach the parameters through z alone, without the
        # cancelling terms of size 1/std that z - z_mean would bring.
        noise = ops.stop_gradient((z - z_mean) * ops.exp(-z_log_var / 2))
        return (ops.square(z) - ops.square(noise) - z_log_var) / 2

    def fit(self, x=None, y=None, *args, **kwargs):
        """Train on x, as `keras.Model.fit` does."""
        self._check_data(x, y)
        return super().fit(x, y, *args, **kwargs)

    def evaluate(self, x=None, y=None, *args, **kwargs):
        """Return the loss and its parts on x, as `keras.Model.evaluate` does."""
        self._check_data(x, y)
        return super().evaluate(x, y, *args, **kwargs)

    def _check_data(self, x, y):
        self._check_objective(y)  # on JAX, an error within a step loses the weights
        if self.likelihood == "bernoulli" and hasattr(x, "__array__"):
            x = ops.convert_to_numpy(x)
            expected = 'a value from 0 to 1: rescale the data, or use likelihood="gaussian"'
            validation.refuse_where("x", x, ~((x >= 0) & (x <= 1)), expected)

    def _check_objective(self, y):
        if not (y is None and self.loss is None):
            raise ValueError(
                "a VAE has its own loss, of x alone; expected fit(x) without targets, and "
                "compile(optimizer) without a loss"
            )

    def get_config(self):
        """Return the arguments that make an equal model, with beta as it is now."""
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "decoder": keras.saving.serialize_keras_object(self.decoder),
            "beta": self.beta,
            "free_bits": self.free_bits,
            "kl": self.kl,
            "likelihood": self.likelihood,
            "std": self.std,
            "seed": self.sampling.seed,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Make the model of a configuration."""
        return cls(**revive(config, custom_objects, "encoder", "decoder"))


def _one_of(name, value, *choices):
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; expected {' or '.join(map(repr, choices))}")
    return value


def _check_shapes(encoder, decoder):
    refuse_unknown_shapes(encoder=encoder, decoder=decoder)
    x_shape, latents, z_shape = encoder.input_shape, encoder.output_shape, decoder.input_shape
    if latents != [z_shape, z_shape] or decoder.output_shape != x_shape:
        raise ValueError(
            f"encoder turns x of shape {x_shape} into {latents}, decoder turns {z_shape} into "
            f"{decoder.output_shape}; expected two outputs of encoder, z_mean and z_log_var, each "
            "of the shape that decoder takes, and from decoder the shape of x"
        )
