"""The teaching guide tells of the lessons as they are: sections, minutes, hints and numbers."""

import json
import re
from collections import Counter

import nbformat
import pytest
import workshop

import notebooks

from .gates import EXERCISES, NOTEBOOKS, STANDARD_SECTIONS, headings, prose, tags

GUIDE = notebooks.GUIDE.read_text(encoding="utf-8")
HANDOUT = notebooks.GUIDE.with_name("handout.md").read_text(encoding="utf-8")
LESSONS = {path: nbformat.read(path, as_version=4) for path in NOTEBOOKS}
_, *PIECES = re.split(r"^## (.+)\n", GUIDE, flags=re.M)
PARTS = dict(zip(PIECES[::2], PIECES[1::2], strict=True))
ANNOUNCED = {"In 90 minutes": 90, "In half a day": 240, "Day 1": 420, "Day 2": 420}
OPTIONAL_EXERCISES = {"6.3"}


def exercises_of(path):
    """Return the exercises of a lesson, by number."""
    return {name: e for name, e in EXERCISES.items() if name.startswith(f"{int(path.name[:2])}.")}


def sections(path):
    """Return the titles of the sections with something to discuss."""
    titles = [title for level, title in headings(LESSONS[path]) if level == 2]
    return [title for title in titles if title not in STANDARD_SECTIONS]


def source(path):
    """Return the text of a lesson's Markdown cells."""
    return "\n\n".join(cell.source for cell in prose(LESSONS[path]))


def core_sections(path):
    """Return the titles of the sections that are not optional."""
    return [t for t in sections(path) if f"## {t}\n\n*Optional" not in source(path)]


def section_minutes(path):
    """Return the minutes of each section: its share of those that the lesson announces.

    It goes by length. Folded code is not read, exercises have minutes of their own, and optional
    sections come on top.
    """
    lengths, title = Counter(), None
    for cell in LESSONS[path].cells:
        if {"exercise-task", "exercise", "check", "solution", "hide-input"} & set(tags(cell)):
            continue
        first, *rest = re.split(r"^## (.+)$", cell.source, flags=re.M)
        lengths[title] += len(first)
        for title, text in zip(rest[::2], rest[1::2], strict=True):
            lengths[title] += len(text)
    total = sum(lengths[title] for title in core_sections(path))
    minutes = notebooks.announced_minutes(LESSONS[path])
    if "exercises included" in LESSONS[path].cells[0].source:
        minutes -= sum(e.minutes for e in exercises_of(path).values())
    return {title: minutes * lengths[title] / total for title in sections(path)}


def flat(text):
    """Return a text without its line breaks."""
    return " ".join(text.split())


# Schedules


def schedules():
    """Return the rows of each schedule, a row being a list of cells."""
    found = {}
    for line in PARTS["Schedules"].splitlines():
        if title := re.fullmatch(r"### (.+)|\*\*(.+)\*\*", line):
            rows = found.setdefault(title[1] or title[2], [])
        elif re.match(r"\| \d", line):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return {name: rows for name, rows in found.items() if rows}


def planned(plan):
    """Return the lesson of a block, its sections and its exercises."""
    path = notebooks.NOTEBOOKS / re.search(r"\(notebooks/(.+?)\)", plan)[1]
    titles = sections(path)
    chosen = []
    for first, last in re.findall("“([^”]+)”(?: to “([^”]+)”)?", plan):
        start, end = titles.index(first), titles.index(last or first)
        assert start <= end, plan
        chosen += titles[start : end + 1]
    return path, chosen, re.findall(r"\b\d+\.\d\b", plan)


def blocks(*names):
    """Yield (row, lesson, sections, exercises) for each block that works with a lesson."""
    for name in names:
        for row in schedules()[name]:
            if "](notebooks/" in row[2]:
                yield row, *planned(row[2])


def test_the_schedules_are_those_announced():
    assert list(schedules()) == list(ANNOUNCED)


@pytest.mark.parametrize("name", ANNOUNCED)
def test_schedules_add_up(name):
    clock = 0
    for start, minutes, *_ in schedules()[name]:
        assert start == f"{clock // 60}:{clock % 60:02}", f"{name}: {start}"
        clock += int(minutes)
    assert clock == ANNOUNCED[name]


@pytest.mark.parametrize("name", ANNOUNCED)
def test_blocks_have_the_time_they_need_and_a_goal(name):
    for (start, minutes, _, goal, drop), path, chosen, exercises in blocks(name):
        known, each = exercises_of(path), section_minutes(path)
        need = sum(each[title] for title in chosen) + sum(known[e].minutes for e in exercises)
        assert int(minutes) > 1.05 * need, f"{name}, {start}: {need:.1f} minutes, and time to talk"
        assert goal, f"{name}, {start}"
        assert set(re.findall("“([^”]+)”", drop)) <= set(chosen), f"{name}, {start}: {drop}"
        assert set(re.findall(r"exercise (\d+\.\d)", drop)) <= set(exercises), f"{name}, {start}"


def test_two_days_hold_the_core_path():
    given = list(blocks("Day 1", "Day 2"))
    for path in core_path():
        mine = [(chosen, done) for _, lesson, chosen, done in given if lesson == path]
        assert [title for chosen, _ in mine for title in chosen] == core_sections(path), path.name
        done = {number for _, numbers in mine for number in numbers}
        assert done == exercises_of(path).keys() - OPTIONAL_EXERCISES, path.name


def core_path():
    """Return the lessons that notebook 00 marks with a star, and 00 itself."""
    names = re.findall(r"\((\S+\.ipynb)\) ★", source(NOTEBOOKS[0]))
    return [path for path in NOTEBOOKS if path == NOTEBOOKS[0] or path.name in names]


# Lessons


def lesson_part(path):
    """Return what the guide says about a lesson."""
    title = source(path).partition("\n")[0].removeprefix("# ").partition(":")[0]
    heading = f"### {path.name[:2]} {title}\n\n[Lesson {path.name[:2]}](notebooks/{path.name})."
    _, found, text = PARTS["Lesson by lesson"].partition(heading)
    assert found, f"{heading!r} is not in the guide"
    return re.split(r"^### ", text, maxsplit=1, flags=re.M)[0]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_section_has_its_question(path):
    text = lesson_part(path).partition("**To discuss**")[2]
    entry = r"^- \*\*(.+?)\*\*\s(.+?)\\\n  \*A good answer:\*\s(.+?)(?=\n- |\n*\Z)"
    found = re.findall(entry, text, flags=re.M | re.S)
    assert [flat(title) for title, *_ in found] == sections(path)
    for title, question, answer in found:
        assert question.endswith("?"), title
        assert len(answer.split()) > 8, title


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_hints_are_those_of_the_checker(path):
    told = re.findall(r"^- (\d+\.\d) (.+?)(?=\n- |\n\n)", lesson_part(path), flags=re.M | re.S)
    assert [number for number, _ in told] == list(exercises_of(path))
    for number, text in told:
        hints = [flat(hint) for _, hint in EXERCISES[number].misconceptions]
        quotes = re.findall("“([^”]+)”", flat(text))
        assert quotes, number
        for quote in quotes:
            assert any(quote in hint for hint in hints), f"{number}: no hint says {quote!r}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_numbers_are_those_of_the_lesson(path):
    numbers = re.findall(r"\d+\.\d+%?|\d+%", lesson_part(path))
    lesson = json.dumps(LESSONS[path]["cells"])
    assert not [number for number in numbers if number not in lesson]


def test_questions_in_quotation_marks_are_titles_or_hints():
    titles = {title for path in NOTEBOOKS for title in sections(path)}
    hints = [flat(hint) for e in EXERCISES.values() for _, hint in e.misconceptions]
    for text in re.findall(r"“([A-Z][^”]+\?)”", flat(GUIDE)):
        assert text in titles or any(text in hint for hint in hints), text


# Time and memory


def test_the_table_shows_the_measurement():
    measured = json.loads((notebooks.GUIDE.parent / "_static" / "course.json").read_text())
    assert list(measured["notebooks"]) == [path.stem for path in NOTEBOOKS]
    shown = GUIDE.partition(notebooks.MARKS[0])[2].partition(notebooks.MARKS[1])[0]
    assert shown == notebooks.teaching_table(measured)


def test_the_table_has_the_minutes_of_lessons_and_exercises():
    used = {"seconds": 12.6, "megabytes": 345}
    machine = {"cores": 2, "system": "Linux"}
    names = {"01_entropy": used, "08_variational_inference": used}
    table = notebooks.teaching_table({"machine": machine, "notebooks": names})
    assert "| [01](notebooks/01_entropy.ipynb) | 40 | 18 | 13 | 345 |" in table
    assert "| [08](notebooks/08_variational_inference.ipynb) | 60 | 19 | 13 | 345 |" in table
    assert table.endswith("\n\nMeasured with cores 2, system Linux.\n")


def test_it_is_told_which_lesson_counts_its_exercises():
    including = [path.name[:2] for path in NOTEBOOKS if "exercises included" in source(path)]
    told = re.findall(r"minutes of (\d\d) include its exercises", flat(PARTS["Time and memory"]))
    assert told == including


def test_publishing_replaces_the_table(tmp_path, monkeypatch):
    (tmp_path / "_static").mkdir()
    guide = tmp_path / "teaching.md"
    first, last = notebooks.MARKS
    guide.write_text(f"before\n{first}old\n{last}after\n")
    monkeypatch.setattr(notebooks, "GUIDE", guide)
    path = NOTEBOOKS[1]
    notebooks.publish([notebooks.Run(path, LESSONS[path], seconds=4.26, megabytes=150.4)])
    measured = json.loads((tmp_path / "_static" / "course.json").read_text())
    assert measured["notebooks"] == {"01_entropy": {"seconds": 4.3, "megabytes": 150}}
    table = notebooks.teaching_table(measured)
    assert "| 40 | 18 | 4 | 150 |" in table
    assert guide.read_text() == f"before\n{first}{table}{last}after\n"


# Handout


def test_the_handout_has_the_commands_of_the_zip():
    fences = re.findall(r"```\w*\n(.+?)```", HANDOUT, flags=re.S)
    commands = [line.strip() for fence in fences for line in fence.splitlines()]
    assert len(commands) >= 6
    for command in commands:
        assert f"  {command}\n" in workshop.README, command


def test_the_handout_names_the_core_path():
    names = re.search(r"core path is ([\d, ]+)\.", flat(HANDOUT))[1]
    assert names.split(", ") == [path.name[:2] for path in core_path()]
