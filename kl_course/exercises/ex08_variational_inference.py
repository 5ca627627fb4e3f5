"""The exercises of notebook 08_variational_inference."""

import numpy as np

from kl_course.exercises import Case, Exercise, Property

_SMALL = 1e-9  # rounding allowed when a property is tested


def elbo(x, weight, noise, mean, std):
    """Return the ELBO of x in nats; z ~ N(0, 1), x ~ N(weight z, noise^2), Q = N(mean, std^2)."""
    squared_error = (x - weight * mean) ** 2 + weight**2 * std**2  # its mean under q
    fit = -np.log(noise * np.sqrt(2 * np.pi)) - squared_error / (2 * noise**2)
    return fit - (mean**2 + std**2 - 1 - 2 * np.log(std)) / 2


def mean_field_variances(covariance):
    """Return the variances of the diagonal normal Q with the smallest KL(Q || N(m, covariance))."""
    return 1 / np.diag(np.linalg.inv(covariance))


def distortion(pixels, logits):
    """Return the mean over images of -log p(pixels | z), in nats, of independent 0/1 pixels."""
    costs = np.logaddexp(0, logits) - pixels * logits
    return costs.sum(axis=1).mean()


# 8.1 ---------------------------------------------------------------------------------------------


def _spread(x, weight, noise, mean, std):
    return weight**2 * std**2 / (2 * noise**2)


def _prior_kl(mean, std):
    return (mean**2 + std**2 - 1 - 2 * np.log(std)) / 2


def _predicted(weight, noise, std):  # the variance of x if z ~ Q
    return noise**2 + weight**2 * std**2


def _evidence(x, weight, noise):
    variance = weight**2 + noise**2
    return -(np.log(2 * np.pi * variance) + x**2 / variance) / 2


def _posterior(x, weight, noise):
    variance = 1 / (1 + weight**2 / noise**2)
    return variance * weight * x / noise**2, np.sqrt(variance)


_ELBO = Exercise(
    id="8.1",
    title="The ELBO of a linear model",
    minutes=8,
    stub='''\
def elbo(x, weight, noise, mean, std):
    """Return the ELBO of x in nats; z ~ N(0, 1), x ~ N(weight z, noise^2), Q = N(mean, std^2)."""
    ...
''',
    solution=elbo,
    cases=(
        Case(1.5, 1.0, 0.5, 1.0, 0.4),
        Case(-0.5, 2.0, 1.5, 0.3, 0.8, note="The weight is 2: z moves x by twice as much."),
        Case(0.7, -0.4, 2.0, -1.2, 0.3, note="A negative weight, and a Q far from the prior."),
        Case(
            2.0,
            0.0,
            0.7,
            0.0,
            1.0,
            note="The weight is 0: x says nothing about z, and Q is the prior.",
        ),
        Case(1.2, 3.0, 0.6, 0.1, 2.5, note="Q is wider than the prior."),
    ),
    properties=(
        Property(
            "The ELBO is never above log p(x).",
            lambda f, *args: f(*args) <= _evidence(*args[:3]) + _SMALL,
            inputs=(Case(1.5, 1.0, 0.5, 1.0, 0.4), Case(0.2, -1.0, 1.0, 2.0, 0.1)),
        ),
        Property(
            "With the true posterior for Q, the ELBO is log p(x).",
            lambda f, *args: abs(f(*args, *_posterior(*args)) - _evidence(*args)) < _SMALL,
            inputs=(Case(1.5, 1.0, 0.5), Case(-2.0, 0.3, 0.8)),
        ),
    ),
    misconceptions=(
        (
            lambda *args: elbo(*args) + _spread(*args),
            "Your fit is that of the mean of Q alone. z varies under Q, and with it the error: "
            "what is the mean of the square of a sum of a constant and noise?",
        ),
        (
            lambda *args: elbo(*args) + _prior_kl(*args[3:]),
            "Your answer is the fit alone, the mean of log p(x | z). The price of moving Q away "
            "from the prior is missing.",
        ),
        (
            lambda *args: elbo(*args) + 2 * _prior_kl(*args[3:]),
            "You add the KL from the prior where it is to be subtracted. Moving away from the "
            "prior is a price, not a gain.",
        ),
        (
            lambda *args: -elbo(*args),
            "Your answer has the opposite sign: it is the loss that a program minimises. The "
            "ELBO itself is maximised.",
        ),
        (
            lambda x, weight, noise, mean, std: (
                elbo(x, weight, noise, mean, std)
                + _prior_kl(mean, std)
                - ((1 + mean**2) / std**2 - 1 + 2 * np.log(std)) / 2
            ),
            "Your KL is that of the prior from Q. In the ELBO the mean is taken under Q, so Q "
            "stands first.",
        ),
        (
            lambda x, weight, noise, mean, std: (
                elbo(x, weight, noise, mean, std) + np.log(2 * np.pi) / 2
            ),
            "The constant log(2π)/2 of the normal density is missing. Without it the result is "
            "not the ELBO, and may exceed log p(x).",
        ),
        (
            lambda x, weight, noise, mean, std: (
                elbo(x, weight, noise, mean, std) + np.log(noise * np.sqrt(2 * np.pi))
            ),
            "Your fit has the squared error only. The normal density also has a factor before "
            "its exponential, and its logarithm belongs to the fit.",
        ),
        (
            lambda x, weight, noise, mean, std: (
                elbo(x, weight, noise, mean, std) - (std - std**2) * weight**2 / (2 * noise**2)
            ),
            "The spread of Q enters your fit as the standard deviation. The mean of a squared "
            "error holds its square.",
        ),
        (
            lambda x, weight, noise, mean, std: (
                elbo(x, weight, noise, mean, std) - (weight - weight**2) * std**2 / (2 * noise**2)
            ),
            "The weight multiplies z, so it multiplies the standard deviation of the error. "
            "What does that do to the variance?",
        ),
        (
            lambda x, weight, noise, mean, std: (
                elbo(x, weight, noise, mean, std) - (1 - weight**2) * std**2 / (2 * noise**2)
            ),
            "The variance of Q enters your fit without the weight. The decoder sees weight times "
            "z: by how much does that vary?",
        ),
        (
            lambda x, weight, noise, mean, std: (
                elbo(x, weight, noise, mean, std)
                - (1 / noise - 1 / noise**2) * ((x - weight * mean) ** 2 + weight**2 * std**2) / 2
            ),
            "You divide the squared error by the noise's standard deviation. It is measured in "
            "units of the variance.",
        ),
        (
            lambda x, weight, noise, mean, std: elbo(x, weight, noise, mean, std) / np.log(2),
            "Your answer is in bits. The task asks for nats: nothing is to be divided by the "
            "logarithm of 2.",
        ),
        (
            lambda *args: elbo(*args) - np.log(args[4]) / 2,
            "Your KL has log(std) where the log-variance belongs. How much is log(std²)?",
        ),
        (
            lambda x, weight, noise, mean, std: elbo(x, weight, noise, mean, np.sqrt(std)),
            "Your answer takes std for the variance. Q = N(mean, std²).",
        ),
        (
            lambda x, weight, noise, mean, std: (
                -np.log(2 * np.pi * _predicted(weight, noise, std)) / 2
                - (x - weight * mean) ** 2 / (2 * _predicted(weight, noise, std))
                - _prior_kl(mean, std)
            ),
            "Your fit is the logarithm of the mean of p(x | z). The ELBO has the mean of the "
            "logarithm, which is smaller.",
        ),
        (
            lambda x, weight, noise, mean, std: _evidence(x, weight, noise),
            "Your answer is log p(x) itself. It does not depend on Q: the ELBO lies below it, by "
            "KL of Q from the posterior.",
        ),
    ),
)

# 8.2 ---------------------------------------------------------------------------------------------

_COVARIANCES = (
    Case(np.array([[1.0, 0.8], [0.8, 1.0]])),
    Case(np.array([[2.0, 0.3, 0.1], [0.3, 1.0, -0.4], [0.1, -0.4, 0.5]])),
)

_MEAN_FIELD = Exercise(
    id="8.2",
    title="The variances of mean field",
    minutes=4,
    stub='''\
def mean_field_variances(covariance):
    """Return the variances of the diagonal normal Q with the least KL(Q || N(m, covariance))."""
    ...
''',
    solution=mean_field_variances,
    cases=(
        Case(np.array([[1.0, 0.9], [0.9, 1.0]]), note="Correlation 0.9, variances 1."),
        Case(np.array([[4.0, 1.0], [1.0, 0.5]])),
        Case(np.array([[4.0, 0.0], [0.0, 0.25]]), note="Nothing is correlated."),
        Case(np.array([[2.0, 0.5, 0.2], [0.5, 1.0, -0.3], [0.2, -0.3, 3.0]])),
    ),
    properties=(
        Property(
            "No variance is larger than that of the posterior.",
            lambda f, cov: np.all(f(cov) <= np.diag(cov) + _SMALL),
            inputs=_COVARIANCES,
        ),
        Property(
            "In units half as large, all variances are four times as large.",
            lambda f, cov: np.allclose(f(4 * cov), 4 * mean_field_variances(cov), rtol=1e-9),
            inputs=_COVARIANCES,
        ),
    ),
    misconceptions=(
        (
            np.diag,
            "Your answer is the variances of the posterior. These minimise the KL of the "
            "posterior from Q; mean field minimises the KL of Q from the posterior.",
        ),
        (
            lambda cov: 1 / np.diag(cov),
            "You invert the diagonal of the covariance matrix. Correlations then play no part: "
            "invert the whole matrix first, then take the diagonal.",
        ),
        (
            lambda cov: np.diag(np.linalg.inv(cov)),
            "Your answer is the diagonal of the precision matrix. A precision is the inverse of "
            "a variance: one step is left.",
        ),
        (
            lambda cov: np.sqrt(mean_field_variances(cov)),
            "Your answer is the standard deviations. The task asks for variances: nothing needs "
            "a square root.",
        ),
        (
            lambda cov: np.sqrt(np.diag(cov)),
            "Your answer is the standard deviations of the posterior. The task asks for "
            "variances, and those of mean field are smaller where coordinates are correlated.",
        ),
        (
            lambda cov: np.linalg.inv(np.diag(np.diag(np.linalg.inv(cov)))),
            "Your answer is a matrix with the right diagonal. Return the diagonal alone: one "
            "variance for each coordinate.",
        ),
        (
            np.linalg.eigvalsh,
            "Your answer is the eigenvalues: variances along the tilted axes of the posterior. "
            "The axes of a mean-field Q are the coordinates.",
        ),
        (
            lambda cov: np.full(len(cov), np.linalg.det(cov) ** (1 / len(cov))),
            "Your variances are all equal, with the volume of the posterior. A diagonal Q may "
            "choose each variance by itself.",
        ),
    ),
)

# 8.3 ---------------------------------------------------------------------------------------------

_PIXELS = np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
_LOGITS = np.array([[2.0, -1.0, 0.5], [0.5, -3.0, -1.0]])


def _costs(pixels, logits):
    return np.logaddexp(0, logits) - pixels * logits


def _sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def _by_probabilities(pixels, probabilities):
    costs = -pixels * np.log(probabilities) - (1 - pixels) * np.log(1 - probabilities)
    return costs.sum(axis=1).mean()


_DISTORTION = Exercise(
    id="8.3",
    title="The distortion of binary pixels",
    minutes=7,
    stub='''\
def distortion(pixels, logits):
    """Return the mean over images of -log p(pixels | z), in nats; both are (images, pixels)."""
    ...
''',
    solution=distortion,
    cases=(
        Case(_PIXELS, _LOGITS, note="Two images of three pixels."),
        Case(np.array([[1.0, 0.0]]), np.zeros((1, 2)), note="The decoder knows nothing: two bits."),
        Case(
            np.array([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]]),
            np.array([[1.0, 0.3], [-0.5, 2.0], [-1.5, 0.7]]),
            note="Three images of two pixels.",
        ),
        Case(np.array([[1.0, 0.0]]), np.array([[0.25, 0.5]])),
        Case(
            np.array([[1.0, 0.0, 1.0, 0.0]]),
            np.array([[-800.0, 800.0, 40.0, -1.0]]),
            note="Two confident mistakes, 800 nats each; a float holds no probability so small.",
        ),
    ),
    properties=(
        Property(
            "The distortion of 0/1 pixels is never negative.",
            lambda f, pixels, logits: f(pixels, logits) >= 0,
            inputs=(Case(_PIXELS, _LOGITS),),
        ),
        Property(
            "Black and white exchanged, with the opposite logits, cost the same.",
            lambda f, pixels, logits: np.isclose(
                f(1 - pixels, -logits), distortion(pixels, logits)
            ),
            inputs=(Case(_PIXELS, _LOGITS),),
        ),
    ),
    misconceptions=(
        (
            lambda pixels, logits: _costs(pixels, logits).mean(),
            "Your answer is the mean over pixels as well. An image costs what all its pixels cost "
            "together; otherwise the KL beside it weighs too much.",
        ),
        (
            lambda pixels, logits: _costs(pixels, logits).sum(),
            "Your answer is the sum over the images. The distortion is given per image: which "
            "axis is summed, and which averaged?",
        ),
        (
            lambda pixels, logits: _costs(pixels, logits).sum(axis=1),
            "Your answer holds one number for each image. The last step is missing: their mean.",
        ),
        (
            lambda pixels, logits: _costs(pixels, logits).sum(axis=0).mean(),
            "You sum over the images and average over the pixels. It is the other way round: "
            "axis 1 holds the pixels of an image.",
        ),
        (
            lambda pixels, logits: -distortion(pixels, logits),
            "Your answer is the log-likelihood. The distortion is a cost: it has the opposite "
            "sign and is not negative.",
        ),
        (
            lambda pixels, logits: distortion(1 - pixels, logits),
            "Your pixels are exchanged: a large logit stands for a pixel that is probably 1. "
            "Which of the two logarithms does a pixel of 1 choose?",
        ),
        (
            lambda pixels, logits: distortion(pixels, logits) / np.log(2),
            "Your answer is in bits. The task asks for nats: nothing is to be divided by the "
            "logarithm of 2.",
        ),
        (
            lambda pixels, logits: -np.sum(pixels * np.log(_sigmoid(logits)), axis=1).mean(),
            "Only the pixels that are 1 enter your answer. A decoder that paints all pixels "
            "white would cost nothing: what does a pixel of 0 pay?",
        ),
        (
            lambda pixels, logits: np.sum((pixels - _sigmoid(logits)) ** 2, axis=1).mean(),
            "Your answer is the squared error of the probabilities. The pixels are 0 or 1, drawn "
            "with these probabilities: what is the log-likelihood of a coin?",
        ),
        (
            lambda pixels, logits: _by_probabilities(
                pixels, np.clip(_sigmoid(logits), 1e-7, 1 - 1e-7)
            ),
            "Your probabilities are clipped at 1e-7, so a confident mistake costs 16 nats at "
            "most. Stay with the logits: log(1 + exp(z)) is `np.logaddexp(0, z)`.",
        ),
        (
            lambda pixels, logits: (np.logaddexp(0, -logits) - pixels * logits).sum(1).mean(),
            "Your first term is -log p, the cost of a pixel of 1. The term pixels · logit then "
            "has to go the other way: try a pixel of 0 and one of 1.",
        ),
        (
            lambda pixels, logits: (np.log(1 + np.exp(logits)) - pixels * logits).sum(1).mean(),
            "Your answer is infinite for a confident mistake: a large exponential overflows, or a "
            "small probability becomes 0. `np.logaddexp(0, z)` is log(1 + exp(z)) for every z.",
        ),
        (
            _by_probabilities,  # of the logits themselves
            "You take the logarithm of the logits. A logit may be any number, and a negative one "
            "has no logarithm: which function makes a probability of it?",
        ),
        (
            lambda pixels, logits: _by_probabilities(pixels, _sigmoid(logits)),
            "Your formula is right on paper. For large logits the probability becomes exactly 0 "
            "or 1, and its logarithm breaks down: simplify on paper first.",
        ),
    ),
)

EXERCISES = (_ELBO, _MEAN_FIELD, _DISTORTION)
