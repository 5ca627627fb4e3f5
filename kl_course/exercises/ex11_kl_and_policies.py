"""The exercises of notebook 11_kl_and_policies."""

import numpy as np

from kl_course.exercises import Case, Exercise, Property

_SMALL = 1e-9  # rounding allowed when a property is tested


def best_policy_near(reference, reward, beta):
    """Return the policy that maximises the mean reward minus beta KL(policy || reference)."""
    top = reward[reference > 0].max()  # a common factor cancels
    weights = reference * np.exp(np.minimum(reward - top, 0) / beta)
    return weights / weights.sum()


def best_value(reference, reward, beta):
    """Return the largest mean reward minus beta KL(policy || reference) of any policy."""
    top = reward[reference > 0].max()
    weights = reference * np.exp(np.minimum(reward - top, 0) / beta)
    return top + beta * np.log(weights.sum())


_CASES = (
    Case(np.array([0.5, 0.3, 0.2]), np.array([0.0, 1.0, 2.0]), 0.5),
    Case(np.array([0.7, 0.1, 0.1, 0.1]), np.array([1.0, 0.5, -0.5, 2.0]), 2.0),
    Case(
        np.array([0.6, 0.3, 0.1]),
        np.array([-1.0, 0.5, 0.8]),
        100.0,
        note="Straying is dear: the best policy stays near the reference.",
    ),
    Case(
        np.array([0.6, 0.4, 0.0]),
        np.array([0.2, 0.6, 1.0]),
        0.4,
        note="The reference never takes the third action: any use of it costs infinitely much.",
    ),
    Case(
        np.array([0.6, 0.4, 0.0]),
        np.array([0.0, 1.0, 5000.0]),
        1.0,
        note="The highest reward is that of an action the reference never takes.",
    ),
    Case(
        np.array([0.9, 0.1]),
        np.array([3.0, 3.0]),
        0.5,
        note="Equal rewards are no reason to stray.",
    ),
    Case(
        np.array([0.4, 0.35, 0.25]),
        np.array([2000.0, 2001.0, 1990.0]),
        0.8,
        note="Rewards in the thousands: exp(2000) is too large for a floating-point number.",
    ),
)
_PROBLEMS = tuple(
    Case(*arguments)
    for arguments in (
        (np.array([0.2, 0.3, 0.5]), np.array([1.0, 0.0, 0.4]), 0.7),
        (np.array([0.25, 0.25, 0.25, 0.25]), np.array([0.1, 0.9, 0.2, 0.5]), 0.3),
    )
)


def _top(reference, reward):
    return reward[reference > 0].max()


def _softmax(x):
    weights = np.exp(x - np.max(x))
    return weights / weights.sum()


def _normalised(weights):
    return weights / weights.sum()


def _log(p):
    with np.errstate(divide="ignore"):
        return np.log(p)


# 11.1 --------------------------------------------------------------------------------------------

_BEST_POLICY = Exercise(
    id="11.1",
    title="The best policy near a reference",
    minutes=6,
    stub='''\
def best_policy_near(reference, reward, beta):
    """Return the policy that maximises the mean reward minus beta KL(policy || reference)."""
    ...
''',
    solution=best_policy_near,
    cases=_CASES,
    properties=(
        Property(
            "The probabilities sum to 1.",
            lambda f, *args: abs(np.sum(f(*args)) - 1) < _SMALL,
            inputs=_PROBLEMS,
        ),
        Property(
            "The same bonus for every action does not change the policy.",
            lambda f, reference, reward, beta: np.allclose(
                f(reference, reward + 5, beta), best_policy_near(reference, reward, beta), rtol=1e-9
            ),
            inputs=_PROBLEMS,
        ),
    ),
    misconceptions=(
        (
            lambda reference, reward, beta: _normalised(reference * np.exp(reward * beta)),
            "Your answer multiplies the reward by beta. The dearer it is to stray, the nearer the "
            "policy should stay: what should a large beta do to the exponent?",
        ),
        (
            lambda reference, reward, beta: best_policy_near(reference, reward, 1 / beta),
            "You multiply by beta. A high price of straying should keep the policy near the "
            "reference: which way does beta push?",
        ),
        (
            lambda reference, reward, beta: _normalised(
                reference * np.exp((reward - reward.max()) / beta)
            ),
            "Your answer breaks down where an action that the reference never takes has the "
            "highest reward. If you take that reward out, all other exponentials become 0; if "
            "not, its own may overflow, and 0 · inf is nan. Leave that action out.",
        ),
        (
            lambda reference, reward, beta: _softmax(reward / beta),
            "Your answer is a softmax of the rewards: the reference plays no part in it. With "
            "equal rewards, which policy should come out?",
        ),
        (
            lambda reference, reward, beta: _softmax(reward * beta),
            "Your answer is a softmax of reward times beta. The reference is missing, and a large "
            "beta should weaken the reward, not strengthen it.",
        ),
        (
            lambda reference, reward, beta: _softmax(reward),
            "Your answer knows neither the reference nor beta. What is the price of straying, and "
            "from what?",
        ),
        (
            lambda reference, reward, beta: reference * np.exp(reward / beta),
            "Your weights are right, but they do not sum to 1. What turns weights into "
            "probabilities?",
        ),
        (
            lambda reference, reward, beta: (
                reference * np.exp(np.minimum(reward - _top(reference, reward), 0) / beta)
            ),
            "Your weights are safe from overflow, but they do not sum to 1. What turns weights "
            "into probabilities?",
        ),
        (
            lambda reference, reward, beta: best_policy_near(reference, -reward, beta),
            "Your answer favours the worst actions. The reward is to be maximised: look at its "
            "sign in the exponent.",
        ),
        (
            lambda reference, reward, beta: best_policy_near(reference, reward, 1.0),
            "Your answer does not depend on beta. Where in the exponent does the price of a nat "
            "belong?",
        ),
        (
            lambda reference, reward, beta: _normalised(reference * np.exp(reward / beta)),
            "Your answer is right for small rewards. For large ones the exponential overflows, and "
            "inf / inf is nan. Which common factor may you take out of all weights?",
        ),
        (
            lambda reference, reward, beta: np.eye(len(reward))[np.argmax(reward)],
            "Your answer always takes the action with the highest reward. That is the limit of a "
            "price that tends to 0; here straying costs beta a nat.",
        ),
        (
            lambda reference, reward, beta: _softmax(reference + reward / beta),
            "Your answer adds probabilities to rewards inside the exponential. Which function of "
            "the reference belongs there, so that it comes out as a factor?",
        ),
        (
            lambda reference, reward, beta: (reference + _softmax(reward / beta)) / 2,
            "Your answer is the mean of the reference and a softmax. The two are to be multiplied: "
            "what the reference never does must stay at 0.",
        ),
        (
            lambda reference, reward, beta: reference * _softmax(reward / beta),
            "You multiply the reference by a softmax. The product of two probability vectors "
            "in general does not sum to 1: one division at the end is enough.",
        ),
        (
            lambda reference, reward, beta: _normalised(reference * reward / beta),
            "Your answer multiplies the reference by the reward itself. A negative reward would "
            "give a negative probability; which function is missing?",
        ),
        (
            lambda reference, reward, beta: _normalised(reference * (1 + reward / beta)),
            "Your answer takes 1 + r/beta for the exponential, its first two terms. That serves "
            "for small r/beta only, and can turn negative.",
        ),
        (
            lambda reference, reward, beta: best_policy_near(reference, reward * np.log(2), beta),
            "Your answer uses powers of 2. KL is in nats here, and so the base of the exponential "
            "is e.",
        ),
        (
            lambda reference, reward, beta: _log(best_policy_near(reference, reward, beta)),
            "Your answer holds the logarithms of the probabilities. They are the better way to "
            "compute; what is left to do at the end?",
        ),
        (
            lambda reference, reward, beta: _log(reference) + reward / beta,
            "Your answer holds logits. Which function makes probabilities of them?",
        ),
    ),
)

# 11.2 --------------------------------------------------------------------------------------------

_BEST_VALUE = Exercise(
    id="11.2",
    title="The value of the best policy",
    minutes=6,
    stub='''\
def best_value(reference, reward, beta):
    """Return the largest mean reward minus beta KL(policy || reference) of any policy."""
    ...
''',
    solution=best_value,
    cases=_CASES,
    properties=(
        Property(
            "It lies between the reference's mean reward and the highest reward.",
            lambda f, reference, reward, beta: (
                reference @ reward - _SMALL <= f(reference, reward, beta) <= reward.max() + _SMALL
            ),
            inputs=_PROBLEMS,
        ),
        Property(
            "A bonus of 1 for every action adds 1.",
            lambda f, reference, reward, beta: np.isclose(
                f(reference, reward + 1, beta), best_value(reference, reward, beta) + 1, rtol=1e-9
            ),
            inputs=_PROBLEMS,
        ),
    ),
    misconceptions=(
        (
            lambda reference, reward, beta: np.log(np.sum(reference * np.exp(reward / beta))),
            "Your answer is log Z: the factor beta in front is missing. Rewards enter divided by "
            "beta; what brings the value back to their unit?",
        ),
        (
            lambda reference, reward, beta: best_value(reference, reward, beta) / beta,
            "Your answer is log Z: the factor beta in front is missing. Rewards enter divided by "
            "beta; what brings the value back to their own unit?",
        ),
        (
            lambda reference, reward, beta: np.max(reward),
            "Your answer is the highest reward. Whoever always takes that action has strayed, and "
            "pays for it: the value is lower.",
        ),
        (
            lambda reference, reward, beta: reference @ reward,
            "Your answer is the mean reward of the reference itself. It pays nothing for straying, "
            "but some straying is worth its price.",
        ),
        (
            lambda reference, reward, beta: best_policy_near(reference, reward, beta) @ reward,
            "Your answer is the mean reward of the best policy. What it has paid for its KL is "
            "still to be taken off.",
        ),
        (
            lambda reference, reward, beta: (
                reward.max() + beta * np.log(np.sum(np.exp((reward - reward.max()) / beta)))
            ),
            "Your sum gives every action the same weight: the reference is missing. Today's rare "
            "actions are dear.",
        ),
        (
            lambda reference, reward, beta: (
                reward.max() + beta * np.log(np.mean(np.exp((reward - reward.max()) / beta)))
            ),
            "Your answer takes a plain mean of the exponentials, as if the reference were uniform. "
            "Whose probabilities are the weights?",
        ),
        (
            lambda reference, reward, beta: -best_value(reference, reward, beta),
            "Your answer has the right size and the opposite sign. Z grows with the "
            "rewards: should the value fall?",
        ),
        (
            lambda reference, reward, beta: (
                beta * np.log(np.sum(reference * np.exp(reward / beta)))
            ),
            "Your answer is right for small rewards. For large ones the exponential overflows. "
            "Which factor may you take out of the sum, and what does its logarithm add?",
        ),
        (
            lambda reference, reward, beta: (
                best_value(reference, reward, beta) - _top(reference, reward)
            ),
            "You have taken the largest term out of the sum and not put it back: the value has to "
            "rise by what you subtracted from the rewards.",
        ),
        (
            lambda reference, reward, beta: (
                best_value(reference, reward, beta) + _top(reference, reward) * (1 / beta - 1)
            ),
            "What you took out of the sum was exp(top/beta). In the value it counts with beta "
            "times its logarithm: how much is that?",
        ),
        (
            lambda reference, reward, beta: (
                reward.max()
                + beta * np.log(np.sum(reference * np.exp((reward - reward.max()) / beta)))
            ),
            "You take out the highest reward, although the reference never earns it: all other "
            "exponentials may become 0. The highest of which actions is safe?",
        ),
        (
            lambda reference, reward, beta: (
                np.log(np.sum(reference * np.exp(reward * beta))) / beta
            ),
            "Your answer swaps beta and 1/beta. A dear price should keep the value near the "
            "reference's mean reward.",
        ),
        (
            lambda reference, reward, beta: (
                np.log(np.sum(reference * np.exp(reward * beta))) * beta
            ),
            "Your exponent multiplies the reward by beta. By how much should a reward count, if "
            "straying is dear?",
        ),
        (
            lambda reference, reward, beta: best_value(reference, reward, 1.0),
            "Your answer does not depend on beta. The price of a nat belongs in the exponent, and "
            "before the logarithm.",
        ),
        (
            lambda reference, reward, beta: (
                _top(reference, reward)
                + (best_value(reference, reward, beta) - _top(reference, reward)) / np.log(2)
            ),
            "Your answer takes the logarithm to base 2, but the exponential to base e. In nats "
            "both are natural.",
        ),
        (
            lambda reference, reward, beta: (
                _top(reference, reward)
                + (best_value(reference, reward, beta) - _top(reference, reward)) / beta
            ),
            "You put back what you took out, but the logarithm of the rest lacks its factor beta: "
            "what does (11.4) multiply log Z with?",
        ),
        (
            lambda reference, reward, beta: (
                _top(reference, reward)
                + beta
                * np.log(np.sum(reference * np.exp((reward - _top(reference, reward)) / beta)))
            ),
            "Your answer is nan where an action that the reference never takes has by far the "
            "highest reward: its exponential overflows, and 0 · inf is nan. Leave such actions "
            "out.",
        ),
        (
            lambda reference, reward, beta: np.sum(reference * np.exp(reward / beta)),
            "Your answer is the sum Z itself, not yet the value. Look at (11.4): what is done with "
            "Z?",
        ),
    ),
)

EXERCISES = (_BEST_POLICY, _BEST_VALUE)
