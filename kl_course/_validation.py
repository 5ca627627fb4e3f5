"""The checks of arguments and their messages: bad input is named and refused, never repaired."""

import math
import operator

import numpy as np


def real_array(name, values):
    """Return `values` as an array of real numbers with at least one entry."""
    try:
        array = np.asarray(values)
    except ValueError:
        raise ValueError(f"{name} is a ragged list; expected rows of equal length") from None
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} has dtype {array.dtype}; expected real numbers")
    if array.size == 0:
        raise ValueError(f"{name} is empty (shape {array.shape}); expected at least one number")
    return array


def check_number(name, value, expected):
    """Refuse what is not a single real number."""
    if np.ndim(value) != 0 or np.asarray(value).dtype.kind not in "iuf":
        raise ValueError(f"{name} is {value!r}; expected {expected}")


def log_base(base):
    """Return the number of nats in one unit of `base`: 1 for nats, log(2) for bits."""
    if base is None:
        return 1.0
    check_number("base", base, "None for nats, or a number such as 2 for bits")
    if not (0 < base < math.inf and base != 1):
        raise ValueError(f"base is {base}; expected a finite number above 0 other than 1")
    return math.log(base)


def positive_number(name, value):
    """Return `value` as a float; refuse what is not one finite number above 0."""
    check_number(name, value, "one positive number")
    if not 0 < value < math.inf:
        raise ValueError(f"{name} is {value}; expected a finite number above 0")
    return float(value)


def number_from_zero(name, value):
    """Return `value` as a float; refuse what is not one finite number from 0."""
    check_number(name, value, "one number from 0")
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} is {value}; expected a finite number from 0")
    return float(value)


def fraction(name, value):
    """Return `value` as a float; refuse what is not one number from 0 to 1."""
    check_number(name, value, "one number from 0 to 1")
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is {value}; expected a number from 0 to 1")
    return float(value)


def result_dtype(*arrays):
    """Return float32 if all inputs are float32 (or float16), else float64."""
    single = all(a.dtype.kind == "f" and a.dtype.itemsize <= 4 for a in arrays)
    return np.float32 if single else np.float64


def broadcast(**arrays):
    """Broadcast the named arrays against each other, without copying."""
    try:
        return np.broadcast_arrays(*arrays.values())
    except ValueError:
        refuse_shapes(**arrays)


def refuse_shapes(**arrays):
    """Say that the named arrays do not broadcast."""
    shapes = " and ".join(f"{name} of shape {a.shape}" for name, a in arrays.items())
    raise ValueError(f"{shapes} do not broadcast; expected equal shapes, or sizes of 1") from None


def symbol_axis(axis, **arrays):
    """Return the axis of the symbols, counted from the end, where all alphabets agree in size."""
    ndim = max(a.ndim for a in arrays.values())
    if ndim == 0:
        name, number = next(iter(arrays.items()))
        raise ValueError(f"{name} is {number}, a single number; expected a vector")
    try:
        number = operator.index(axis)
    except TypeError:
        raise ValueError(f"axis is {axis!r}; expected an integer") from None
    if not -ndim <= number < ndim:
        raise ValueError(f"axis is {axis}; expected {-ndim} to {ndim - 1} for {ndim} dimensions")
    number = number % ndim - ndim
    sizes = [a.shape[number] if a.ndim >= -number else None for a in arrays.values()]
    if len(set(sizes)) > 1 or None in sizes:
        shapes = ", ".join(f"{name} has shape {a.shape}" for name, a in arrays.items())
        raise ValueError(
            f"the alphabets differ along axis {axis}: {shapes}; "
            "expected as many symbols on both sides, in the same order"
        )
    return number


def sums_to_one(array, total):
    """Return whether the sums are 1 up to rounding: 1e-6, or 1e-5 for float32. NaN is not."""
    tolerance = 1e-5 if result_dtype(array) is np.float32 else 1e-6
    return bool(total.min() >= 1 - tolerance and total.max() <= 1 + tolerance)


def refuse_distribution(name, array, axes):
    """Say what keeps `array` from being probabilities over `axes`, counted from the end.

    Called once a block has failed, so that good input does not pay for the search.
    """
    refuse_values(name, array, low=0)
    with np.errstate(over="ignore"):
        sums = np.sum(array, axis=axes, keepdims=True, dtype=np.float64)
    worst = np.unravel_index(np.argmax(np.abs(sums - 1)), sums.shape)
    place = [":" if i - array.ndim in axes else str(k) for i, k in enumerate(worst)]
    raise ValueError(
        f"{_place(name, place)} sums to {sums[worst]:.9g}; expected 1: "
        "divide by its sum if these are counts"
    )


def refuse_values(name, array, *, low=-math.inf, high=math.inf, allowed=math.nan):
    """Refuse the first entry that is NaN, infinite or outside [low, high]; `allowed` passes."""
    valid = np.isfinite(array) & (array >= low) & (array <= high) | (array == allowed)
    expected = "a probability from 0 to 1" if low == 0 else "a finite number, or -inf"
    refuse_where(name, array, ~valid, f"{expected}: mask or repair it before the call")


def refuse_where(name, array, bad, expected):
    """Refuse the first entry where `bad` is true, and say what was expected, with a remedy."""
    if bad.any():
        index = np.unravel_index(np.argmax(bad), bad.shape)
        raise ValueError(f"{_place(name, index)} is {array[index]}; expected {expected}")


def refuse_logits(name, array, axis):
    """Say which logit is NaN or +inf, or which vector of logits leaves no symbol possible."""
    refuse_values(name, array, allowed=-math.inf)
    dead = np.isneginf(array).all(axis=axis, keepdims=True)
    place = [str(k) for k in np.unravel_index(np.argmax(dead), dead.shape)]
    place[axis] = ":"
    raise ValueError(
        f"{_place(name, place)} is -inf for all symbols; expected at least one finite logit"
    )


def finite(name, values):
    """Return `values` as an array of finite numbers."""
    array = real_array(name, values)
    if not (np.isfinite(array.min()) and np.isfinite(array.max())):
        expected = "a finite number: mask or repair it before the call"
        refuse_where(name, array, ~np.isfinite(array), expected)
    return array


def standard_deviation(name, values):
    """Return `values` as an array of positive finite numbers."""
    array = finite(name, values)
    if not array.min() > 0:
        expected = "a standard deviation above 0: np.exp makes one of its logarithm"
        refuse_where(name, array, array <= 0, expected)
    return array


def covariance(name, values):
    """Return `values` as symmetric matrices, with their lower Cholesky factors in float64."""
    array = finite(name, values)
    if array.ndim < 2 or array.shape[-1] != array.shape[-2]:
        raise ValueError(
            f"{name} has shape {array.shape}; expected square matrices, (..., d, d): "
            "np.diag makes one of d variances"
        )
    flipped = np.swapaxes(array, -1, -2)
    variances = np.abs(np.diagonal(array, axis1=-2, axis2=-1).astype(np.float64))
    if not np.array_equal(array, flipped):
        refuse_asymmetric(name, array, flipped, np.sqrt(variances))
        array = array / 2 + flipped / 2
    try:
        factors = np.linalg.cholesky(array.astype(np.float64, copy=False))
    except np.linalg.LinAlgError:
        refuse_indefinite(name, array)
    pivots = np.square(np.diagonal(factors, axis1=-2, axis2=-1))
    if not (pivots > array.shape[-1] * np.finfo(np.float64).eps * variances).all():
        refuse_indefinite(name, array)  # what is left of such a pivot is rounding
    return array, factors


def refuse_asymmetric(name, array, flipped, scale):
    """Say which entry differs from its mirror image, and by how much, if that is no rounding."""
    tolerance = 1e-5 if result_dtype(array) is np.float32 else 1e-8
    apart = np.abs(np.subtract(array, flipped, dtype=np.float64))
    excess = apart - tolerance * scale[..., :, None] * scale[..., None, :]
    if excess.max() > 0:
        index = np.unravel_index(np.argmax(excess), excess.shape)
        mirror = *index[:-2], index[-1], index[-2]
        raise ValueError(
            f"{_place(name, index)} is {array[index]}, but {_place(name, mirror)} is "
            f"{array[mirror]} ({apart[index]:.3g} apart); expected a symmetric matrix: if the "
            "difference is rounding, average the matrix with its transpose"
        )


def refuse_indefinite(name, array):
    """Say which matrix is not positive definite, or so nearly not that rounding hides it.

    The correlations tell which: they are free of the units, which make eigenvalues small or large.
    """
    array = array.astype(np.float64, copy=False)
    scale = np.sqrt(np.abs(np.diagonal(array, axis1=-2, axis2=-1)))
    scale = np.where(scale > 0, scale, 1.0)
    correlations = array / scale[..., :, None] / scale[..., None, :]
    smallest = np.linalg.eigvalsh(correlations)[..., 0]
    index = np.unravel_index(np.argmin(smallest), smallest.shape)
    raise ValueError(
        f"{_place(name, index)} is not positive definite: its smallest eigenvalue is "
        f"{np.linalg.eigvalsh(array[index])[0]:.3g}; expected it to be above 0 by more than "
        "rounding: drop coordinates that depend on others, use more samples than coordinates, or "
        "add a small multiple of the identity"
    ) from None


def same_dimension(**arrays):
    """Return d, the size of the last axis that all arrays share; single numbers fit any d."""
    sizes = {a.shape[-1] for a in arrays.values() if a.ndim}
    if len(sizes) == 1:
        return sizes.pop()
    shapes = ", ".join(f"{name} has shape {a.shape}" for name, a in arrays.items())
    raise ValueError(
        f"{shapes}; expected vectors with equally many coordinates on the last axis: "
        "np.broadcast_to repeats a coordinate"
    )


def counts(name, values):
    """Return `values` as whole numbers from 0, with some that are positive on each last axis."""
    array = finite(name, values)
    expected = "a whole number from 0: for probabilities there is entropy()"
    refuse_where(name, array, (array < 0) | (array != np.floor(array)), expected)
    if array.ndim == 0:
        raise ValueError(f"{name} is {array}, a single number; expected a count for each symbol")
    empty = ~array.any(axis=-1)
    if empty.any():
        index = np.unravel_index(np.argmax(empty), empty.shape)
        raise ValueError(f"{_place(name, index)} has no counts but zeros; expected at least one")
    return array


def sample_matrix(name, values):
    """Return `values` as finite samples in float64, of shape (n, d)."""
    array = finite(name, values)
    if array.ndim != 2:
        raise ValueError(
            f"{name} has shape {array.shape}; expected (n, d), a row for each sample: "
            "samples[:, None] makes it of n numbers"
        )
    return array.astype(np.float64, copy=False)


def _place(name, index):
    # p[2] for a row of p, p[:, 2] for a column, p for the one vector there is
    index = [str(i) for i in index]
    while index and index[-1] == ":":
        index.pop()
    return f"{name}[{', '.join(index)}]" if index else name
