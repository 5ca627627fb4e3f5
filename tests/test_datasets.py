import hashlib
import re
import subprocess
import sys
from importlib import resources

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.datasets import load_digits

from kl_course.datasets import (
    LANGUAGES,
    digits,
    english_text,
    letter_frequencies,
    letters_only,
    manual,
)

DATA = resources.files("kl_course") / "data"
ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def test_files_are_frozen():
    listed = re.findall(r"^([0-9a-f]{64})  (\S+)$", (DATA / "README.md").read_text("utf-8"), re.M)
    actual = [
        (hashlib.sha256(file.read_bytes()).hexdigest(), file.name)
        for file in sorted(DATA.iterdir(), key=lambda file: file.name)
        if file.name.endswith((".csv", ".json", ".txt"))
    ]
    assert listed == actual


def test_table_has_a_row_per_letter_and_a_column_per_language_that_sums_to_a_billion():
    header, *rows = (DATA / "letters.csv").read_text("utf-8").splitlines()
    assert header.split(",") == ["letter", *LANGUAGES]
    assert "".join(row[0] for row in rows) == ALPHABET
    columns = zip(*(map(int, row.split(",")[1:]) for row in rows), strict=True)
    assert [sum(column) for column in columns] == [10**9] * 10


@pytest.mark.parametrize("language", LANGUAGES)
def test_frequencies_are_probabilities(language):
    letters, p = letter_frequencies(language)
    assert letters == ALPHABET
    assert p.shape == (26,)
    assert p.dtype == np.float64
    assert p.min() > 0
    assert p.sum() == pytest.approx(1, abs=1e-15)


# Facts that do not come from the source of the table: e leads most European languages; Polish,
# Finnish and Turkish differ; k and w are rare in Romance languages; q in Turkish is foreign.
@pytest.mark.parametrize(
    ("language", "most_frequent"),
    [("German", "e"), ("French", "e"), ("Dutch", "e"), ("Finnish", "a"), ("Turkish", "i")],
)
def test_most_frequent_letter(language, most_frequent):
    letters, p = letter_frequencies(language)
    assert letters[p.argmax()] == most_frequent


@pytest.mark.parametrize(
    ("language", "letter"), [("French", "w"), ("Italian", "k"), ("Polish", "q"), ("Turkish", "q")]
)
def test_rare_letters(language, letter):
    letters, p = letter_frequencies(language)
    assert 0 < p[letters.index(letter)] < 1e-3


def test_english_is_the_default_and_its_facts_are_the_known_ones():
    letters, p = letter_frequencies()
    np.testing.assert_array_equal(p, letter_frequencies("English")[1])
    assert "".join(letters[i] for i in p.argsort()[:-7:-1]) == "etaoin"
    assert 4.1 < entropy(p, base=2) < 4.2


def test_frequencies_can_be_changed_without_harm():
    letter_frequencies("Dutch")[1][:] = 0
    assert letter_frequencies("Dutch")[1].sum() > 0


@pytest.mark.parametrize("language", ["Klingon", "english", "", None])
def test_unknown_language(language):
    message = f"language={language!r} has no letter frequencies; choose one of English, German, "
    with pytest.raises(ValueError, match=re.escape(message)):
        letter_frequencies(language)


def test_text_is_the_whole_story_and_nothing_else():
    text = english_text()
    assert text.startswith("CHAPTER I\n\n                      Down the Rabbit-Hole\n")
    assert text.endswith("the happy summer days.\n\n                             THE END\n")
    assert text.count("CHAPTER ") == 12
    assert text.isascii()
    assert not re.search(r"[\r\x1a]|fulcrum|gutenberg|copyright", text, re.I)


def test_text_has_as_many_letters_as_measured():
    text = english_text()
    letters = letters_only(text)
    assert len(text) == 148_303
    assert len(letters) == sum(text.lower().count(letter) for letter in ALPHABET) == 107_600
    assert letters[:20] == "chapteridowntherabbi"


def test_text_and_table_agree_about_english():
    text = letters_only(english_text())
    p_text = np.array([text.count(letter) for letter in ALPHABET]) / len(text)
    distance = {
        language: np.abs(p_text - letter_frequencies(language)[1]).sum() / 2
        for language in LANGUAGES
    }
    assert min(distance, key=distance.get) == "English"
    assert distance["English"] < 0.06


def test_manual_has_the_same_paragraphs_in_every_language():
    manuals = [manual(language).split("\n\n") for language in LANGUAGES]
    assert {len(paragraphs) for paragraphs in manuals} == {198}
    assert all(len(set(versions)) == 10 for versions in zip(*manuals, strict=True))


def test_manual_is_prose_in_its_own_spelling():
    for language in LANGUAGES:
        text = manual(language)
        assert not re.search(r"  |[^.\n]\n|[<\t\r\ufffd]", text), language
        assert 23_000 < len(letters_only(text)) < 30_000, language
    assert "Größe" in manual("German")
    assert "página" in manual("Spanish")
    assert "może" in manual("Polish")
    assert "için" in manual("Turkish")
    assert not any(re.search(r"\bthe\b", manual(language)) for language in LANGUAGES[1:])


@pytest.mark.parametrize("language", LANGUAGES)
def test_nearest_table_of_the_manual_is_its_own(language):
    text = letters_only(manual(language))
    p_text = np.array([text.count(letter) for letter in ALPHABET]) / len(text)
    bits = {other: entropy(p_text, letter_frequencies(other)[1], base=2) for other in LANGUAGES}
    assert min(bits, key=bits.get) == language


def test_manual_is_english_by_default():
    assert manual() == manual("English")
    assert manual().startswith("LibreOffice can automatically apply numbering")


def test_manual_of_an_unknown_language():
    message = "language='Latin' has no manual; choose one of English, German, "
    with pytest.raises(ValueError, match=re.escape(message)):
        manual("Latin")


def test_digits_are_split_without_loss():
    x_train, y_train, x_test, y_test = digits(seed=0)
    assert (x_train.shape, x_test.shape) == ((1000, 64), (797, 64))
    x, y = np.concatenate([x_train, x_test]), np.concatenate([y_train, y_test])
    everything, labels = load_digits(return_X_y=True)
    rows = sorted(map(tuple, np.column_stack([16 * x, y])))
    assert rows == sorted(map(tuple, np.column_stack([everything, labels])))
    assert x.dtype == np.float32
    assert (x.min(), x.max()) == (0, 1)


def test_digits_keep_their_labels():
    x_train, y_train, x_test, y_test = digits(seed=3)
    means = np.stack([x_train[y_train == digit].mean(axis=0) for digit in range(10)])
    nearest = ((x_test[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == y_test).mean() > 0.85


def test_digits_depend_on_the_seed_alone():
    first, again, other = digits(seed=1), digits(seed=1), digits(seed=2)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first[1], other[1])
    np.testing.assert_array_equal(digits(seed=1, train=50)[0], first[0][:50])


@pytest.mark.parametrize("train", [0, -1, 1797, 2000])
def test_digits_need_an_image_on_either_side(train):
    message = f"train is {train}; expected a whole number from 1 to 1796"
    with pytest.raises(ValueError, match=re.escape(message)):
        digits(seed=0, train=train)


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("To be, or not to be?", "tobeornottobe"),
        ("Straße", "strasse"),
        ("GROẞ", "gross"),
        ("Łódź", "lodz"),
        ("ışık İstanbul", "isikistanbul"),  # noqa: RUF001
        ("Åsa A\u030asa \u212bsa", "asaasaasa"),  # one letter, letter and mark, ångström sign
        ("déjà vu, señor Müller", "dejavusenormuller"),
        ("Ærø œuvre", "aerooeuvre"),
        ("Đorđe, Það", "dordethad"),
        ("ﬁn 1ª", "fina"),  # ligature, ordinal
        ("naïve 1865 λόγος слово", "naive"),
        ("", ""),
    ],
)
def test_letters_only(text, letters):
    assert letters_only(text) == letters


@pytest.mark.parametrize(("text", "name"), [(b"abc", "bytes"), (["a"], "list"), (None, "NoneType")])
def test_letters_only_of_something_else(text, name):
    with pytest.raises(TypeError, match=f"text is of type {name}; expected a str: decode bytes"):
        letters_only(text)


def test_offline_from_any_folder_with_numpy_alone(tmp_path):
    code = """
import sys
def refuse(event, args):
    assert not event.startswith("socket."), event
sys.addaudithook(refuse)
from kl_course.datasets import english_text, letter_frequencies, manual
english_text(), letter_frequencies("Polish"), manual("Polish")
heavy = {"matplotlib", "pandas", "scipy", "sklearn", "tensorflow", "keras"} & set(sys.modules)
assert not heavy, heavy
"""
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
