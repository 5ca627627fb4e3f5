from kl_course import environment


def test_all_is_here(capsys):
    environment.check_environment()
    assert capsys.readouterr().out == "Everything is here.\n"


def test_what_is_missing_or_too_old_is_named():
    wanted = [
        "numpy>=1.0",
        "numpy>=99",
        "no-such-package>=2 ; extra == 'course'",
        "no-such-package>=3 ; extra == 'nn'",
        "no-such-package>=4 ; extra == 'docs'",
        "kl_course[nn] ; extra == 'course'",
    ]
    found = environment.missing_packages(wanted)
    assert found == ["numpy >=99", "no-such-package >=2", "no-such-package >=3"]


def test_the_remedy_is_printed(capsys, monkeypatch):
    monkeypatch.setattr(environment, "requires", lambda name: ["numpy>=99"])
    environment.check_environment()
    report = capsys.readouterr().out
    assert "Missing or too old: numpy >=99" in report
    assert "pip install -c constraints.txt" in report
