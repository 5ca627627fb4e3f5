"""The exercise of notebook 00_start_here: a first check cell."""

import numpy as np

from kl_course.exercises import Case, Exercise, Property


def bits(nats):
    """Convert an amount of information from nats to bits."""
    return nats / np.log(2)


EXERCISES = (
    Exercise(
        id="0.1",
        title="From nats to bits",
        minutes=2,
        stub='''\
def bits(nats):
    """Convert an amount of information from nats to bits."""
    ...
''',
        solution=bits,
        cases=(
            Case(np.log(2), note="One flip of a fair coin: ln 2 nats, which is one bit."),
            Case(1.0),
            Case(2.5),
            Case(0.0, note="No information is none in any unit."),
        ),
        properties=(
            Property(
                "Twice the nats are twice the bits.",
                lambda f, nats: np.isclose(f(2 * nats), 2 * f(nats), rtol=1e-9),
                inputs=(Case(0.01), Case(40.0)),
            ),
        ),
        misconceptions=(
            (
                lambda nats: nats,
                "Your answer is the number of nats, unchanged. A fair coin flip carries ln 2 nats "
                "and one bit: what turns the first number into the second?",
            ),
            (
                lambda nats: nats * np.log(2),
                "Your answer is the number of nats times ln 2, about 0.693. A bit is the smaller "
                "unit, it holds 0.693 nats. So should the number grow or shrink?",
            ),
            (
                lambda nats: nats / np.log(10),
                "Your answer counts decimal digits: it uses the logarithm of 10. A digit tells "
                "ten outcomes apart. How many does a bit tell apart?",
            ),
            (
                lambda nats: nats / np.log10(2),
                "Your answer uses 0.301, the decimal logarithm of 2. Nats belong to the natural "
                "logarithm: which function of NumPy computes that one?",
            ),
            (
                lambda nats: nats / 0.693,
                "Your answer divides by 0.693, which is ln 2 rounded: it is off from the fourth "
                "digit on. NumPy knows ln 2 to all its digits.",
            ),
            (
                lambda nats: np.log2(nats),
                "Your answer is a logarithm of the number of nats. Nats are a logarithm already: "
                "another unit only rescales them.",
            ),
        ),
    ),
)
