from spatialdreamer_core.corpus.split import split_of

SOURCES = [f"{n:016x}" for n in range(2000)]


def test_about_the_share_asked_for_is_held_out_and_a_source_keeps_its_side() -> None:
    held = [source for source in SOURCES if split_of(source, 0.05) == "val"]
    assert 60 < len(held) < 140
    assert all(split_of(source, 0.05) == "val" for source in held)


def test_a_larger_share_moves_no_source_back_to_train() -> None:
    few = {source for source in SOURCES if split_of(source, 0.05) == "val"}
    more = {source for source in SOURCES if split_of(source, 0.2) == "val"}
    assert few < more
    assert {split_of(source, 0.0) for source in SOURCES} == {"train"}
    assert {split_of(source, 1.0) for source in SOURCES} == {"val"}
