import pytest

from spatialdreamer_core.store.folders import files_below, folders_below


@pytest.fixture
def linked(tmp_path):
    """A folder with a link to photographs elsewhere, which link back to it."""
    photographs, root = tmp_path / "photographs", tmp_path / "root"
    (root / "plain").mkdir(parents=True)
    photographs.mkdir()
    for path in (photographs / "b.png", photographs / ".hidden", root / "a.png", root / "plain" / "c.png"):
        path.write_bytes(b"x")
    (root / "linked").symlink_to(photographs)
    (photographs / "back").symlink_to(root)
    return root


def test_files_behind_links_are_found_and_hidden_ones_are_not(linked):
    assert [path.relative_to(linked).as_posix() for path in files_below(linked)] == [
        "a.png", "linked/b.png", "plain/c.png",
    ]  # fmt: skip


def test_a_link_that_leads_back_ends_the_walk(linked):
    assert [path.relative_to(linked).as_posix() for path in folders_below(linked)] == [".", "linked", "plain"]
