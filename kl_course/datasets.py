"""Real data that ships with the course: nothing is downloaded, nothing changes.

Sources, licences and checksums are in ``data/README.md``.
"""

import json
import re
import string
import unicodedata
from importlib import resources

import numpy as np

LANGUAGES = (
    "English",
    "German",
    "French",
    "Spanish",
    "Italian",
    "Portuguese",
    "Dutch",
    "Polish",
    "Finnish",
    "Turkish",
)

# Letters that Unicode does not decompose into a base letter and a mark.
_WITHOUT_DECOMPOSITION = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "ı": "i", "đ": "d", "ð": "d", "þ": "th"}  # noqa: RUF001
)


def letter_frequencies(language="English"):
    """Return the 26 letters and how often each occurs in a language.

    Each word counts as often as it is used. Diacritics are removed as in `letters_only`,
    so that all languages share one alphabet and can be compared.

    Parameters
    ----------
    language : str
        One of `LANGUAGES`.

    Returns
    -------
    letters : str
        ``"abcdefghijklmnopqrstuvwxyz"``.
    p : ndarray, shape (26,)
        Probabilities in the order of `letters`: multiples of 1e-9 that sum to 1.

    Raises
    ------
    ValueError
        If there is no table for `language`.

    Notes
    -----
    Derived from wordfreq 3.1.1 (Robyn Speer, 2022, doi:10.5281/zenodo.7199437), CC BY-SA 4.0.

    Examples
    --------
    >>> letters, p = letter_frequencies("English")
    >>> letters[p.argmax()]
    'e'
    """
    _check_language(language, "letter frequencies")
    header, *rows = _read("letters.csv").splitlines()
    column = header.split(",").index(language)
    billionths = np.loadtxt(rows, delimiter=",", usecols=column)
    return string.ascii_lowercase, billionths / 1e9


def english_text():
    r"""Return "Alice's Adventures in Wonderland" (Lewis Carroll, 1865; public domain).

    The twelve chapters in plain ASCII, with their headings, lines ended by ``"\n"``.

    Examples
    --------
    >>> english_text().split()[:2]
    ['CHAPTER', 'I']
    """
    return _read("alice.txt")


def manual(language="English"):
    r"""Return a part of the manual of LibreOffice Writer: real prose in each of ten languages.

    The same paragraphs in every language (a parallel text), in its own spelling, separated by a
    blank line. `letters_only` makes it comparable with `letter_frequencies`.

    Parameters
    ----------
    language : str
        One of `LANGUAGES`.

    Raises
    ------
    ValueError
        If there is no manual in `language`.

    Notes
    -----
    From the help of LibreOffice 7.4.7, by its contributors, MPL 2.0.

    Examples
    --------
    >>> manual("Dutch").split()[:3]
    ['LibreOffice', 'kan', 'automatisch']
    """
    _check_language(language, "manual")
    return "\n\n".join(json.loads(_read("manual.json"))[language])


def digits(seed, train=1000):
    """Return a random split of 1797 images of handwritten digits, 8 x 8 pixels each.

    Parameters
    ----------
    seed : int
        The split: the same seed gives the same images for training.
    train : int
        How many images are for training; the rest is for the test.

    Returns
    -------
    x_train, x_test : ndarray, shape (images, 64)
        Share of inked pixels in a 4 x 4 block, block by block: multiples of 1/16, in float32.
    y_train, y_test : ndarray, shape (images,)
        The digits, integers from 0 to 9.

    They come in the order ``x_train, y_train, x_test, y_test``.

    Raises
    ------
    ValueError
        If `train` does not leave at least one image on either side.

    Notes
    -----
    From scikit-learn: the test set of E. Alpaydin and C. Kaynak (1998), "Optical Recognition of
    Handwritten Digits", doi:10.24432/C50P49, CC BY 4.0. Digits of its 13 writers are on both
    sides of a split.

    Examples
    --------
    >>> x_train, y_train, x_test, y_test = digits(seed=0)
    >>> x_train.shape, x_test.shape
    ((1000, 64), (797, 64))
    """
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    if not 0 < train < len(x):
        raise ValueError(f"train is {train!r}; expected a whole number from 1 to {len(x) - 1}")
    x = (x / 16).astype(np.float32)
    order = np.random.default_rng(seed).permutation(len(x))
    return x[order[:train]], y[order[:train]], x[order[train:]], y[order[train:]]


def letters_only(text):
    """Return the letters of a text as lower-case a-z, and nothing else.

    Diacritics are removed by Unicode decomposition (NFKD: é → e, ü → u, Å → a). Letters without
    one are replaced: ß → ss, æ → ae, œ → oe, ø → o, ł → l, ı → i, đ and ð → d, þ → th. Every other
    character (space, digit, punctuation, another alphabet) is dropped.

    Raises
    ------
    TypeError
        If `text` is not a string.

    Examples
    --------
    >>> letters_only("Smørrebrød, 2 Straßen!")
    'smorrebrodstrassen'
    """
    if not isinstance(text, str):
        raise TypeError(
            f"text is of type {type(text).__name__}; expected a str: decode bytes, join a list"
        )
    folded = unicodedata.normalize("NFKD", text).casefold().translate(_WITHOUT_DECOMPOSITION)
    return re.sub("[^a-z]", "", folded)


def _check_language(language, content):
    if language not in LANGUAGES:
        raise ValueError(
            f"language={language!r} has no {content}; choose one of {', '.join(LANGUAGES)}"
        )


def _read(name):
    return (resources.files(__package__) / "data" / name).read_text(encoding="utf-8")
