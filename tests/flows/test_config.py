from pathlib import Path

import pytest

from flows.config import merge, read_settings, run_config
from spatialdreamer_core.errors import ConfigError

MINIMAL = {"sources": ["film.mkv"], "output": "out"}


def test_defaults_need_only_a_source_and_an_output() -> None:
    config = run_config(MINIMAL, "settings")
    assert config.convert.encode.layout == "full-sbs"
    assert config.convert.stereo.strength_pct is None
    assert config.resume


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("outptu", "x", r"outptu: no such setting; did you mean output\?"),
        (
            "convert.stereo.strenght_pct",
            3,
            r"strenght_pct: no such setting; did you mean convert.stereo.strength_pct\?",
        ),
        ("refine", "mini", r"refine: no such setting; did you mean convert.refine\?"),
        ("convert.stereo.xyz", 3, "convert.stereo.xyz: no such setting; here are strength_pct, "),
        ("convert.stereo.strength_pct", 30, r"convert.stereo: strength must lie in \[0, 10\], got 30"),
        ("convert.encode.layout", "sideways", "convert.encode.layout: Input should be 'full-sbs'"),
        ("convert.segment_frames", 121, r"convert: segment frames \(121\) must be a multiple of the key interval"),
        ("workers", 0, "workers: Input should be greater than or equal to 1"),
    ],
)
def test_a_mistake_is_named_with_its_place_before_work_starts(path: str, value: object, where: str) -> None:
    with pytest.raises(ConfigError, match=f"my.yaml: .*{where}"):
        run_config(merge(MINIMAL, {path: value}), "my.yaml")


def test_options_go_over_the_file_and_leave_the_rest() -> None:
    settings = {**MINIMAL, "convert": {"encode": {"crf": 20, "preset": "slow"}}}
    config = run_config(merge(settings, {"convert.encode.crf": 16, "convert.encode.layout": None}), "settings")
    assert (config.convert.encode.crf, config.convert.encode.preset) == (16, "slow")
    assert settings["convert"]["encode"]["crf"] == 20, "the file's own mapping is left alone"


def test_an_option_goes_into_a_group_that_the_file_left_empty() -> None:
    for empty in ({"convert": None}, {"convert": {"encode": None}}):
        config = run_config(merge(MINIMAL | empty, {"convert.encode.crf": 16}), "settings")
        assert config.convert.encode.crf == 16


@pytest.mark.parametrize(
    ("settings", "place"), [({"convert": 3}, "convert"), ({"convert": {"encode": [1]}}, "convert.encode")]
)
def test_an_option_over_what_is_no_group_of_settings_leaves_the_mistake_to_be_told(
    settings: dict[str, object], place: str
) -> None:
    with pytest.raises(ConfigError, match=f"my.yaml: {place}: Input should be a dictionary"):
        run_config(merge(MINIMAL | settings, {"convert.encode.crf": 16}), "my.yaml")


def test_best_quality_looks_at_depth_more_often_unless_told_otherwise() -> None:
    best = run_config(merge(MINIMAL, {"convert.quality": "best"}), "settings").convert
    assert (best.depth.key_interval, best.depth.width, best.flow) == (2, 512, "dis-medium")
    told = run_config(merge(MINIMAL, {"convert.quality": "best", "convert.depth.width": 320}), "settings").convert
    assert (told.depth.key_interval, told.depth.width) == (2, 320)


def test_imported_depth_is_taken_for_every_frame() -> None:
    config = run_config(merge(MINIMAL, {"convert.depth.import_from": "depth.mp4"}), "settings")
    assert config.convert.depth.key_interval == 1


def test_off_in_a_file_is_the_word_that_the_settings_know(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("sources: [film.mkv]\noutput: out\nprefect: off\nresume: no\nconvert: {fill: {temporal: false}}\n")
    config = run_config(read_settings(file), str(file))
    assert (config.prefect, config.resume, config.convert.fill.temporal) == ("off", False, False)


@pytest.mark.parametrize(
    ("text", "message"), [("a: [", "not YAML"), ("- 1", "a mapping of names to values is needed, got list")]
)
def test_a_file_that_is_no_settings_file_says_so(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=f"{file}: {message}"):
        read_settings(file)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_settings(tmp_path / "none.yaml")
