from tasks.stems import output_stems


def test_folders_of_the_library_are_kept() -> None:
    stems = output_stems(["/films"], ["/films/a/one.mkv", "/films/two.mp4"])
    assert stems == {"/films/a/one.mkv": "a/one", "/films/two.mp4": "two"}


def test_a_file_named_alone_keeps_its_name_and_its_dots() -> None:
    assert output_stems(["/x/Film (2020).v2.mkv"], ["/x/Film (2020).v2.mkv"]) == {
        "/x/Film (2020).v2.mkv": "Film (2020).v2"
    }


def test_names_that_would_collide_differ_whatever_the_order() -> None:
    uris = ["/a/film.mp4", "/a/film.mkv", "/b/film.mkv"]
    stems = output_stems(uris, uris)
    assert len(set(stems.values())) == 3
    assert stems["/a/film.mp4"] == "film-mp4"
    assert stems == output_stems(uris[::-1], uris[::-1])


def test_a_url_below_a_root_cannot_climb_out() -> None:
    assert output_stems(["s3://b/lib"], ["s3://b/lib/../../etc/film.mkv"]) == {
        "s3://b/lib/../../etc/film.mkv": "etc/film"
    }
