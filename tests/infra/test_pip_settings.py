from infra.pip_settings import parse_pip_settings


def test_the_environment_wins_over_the_file_and_extra_indexes_follow() -> None:
    text = "\n".join(
        (
            ":env:.index-url='https://mirror/simple'",
            "global.index-url='https://other/simple'",
            "global.extra-index-url='file:///a/simple file:///b/simple'",
            "global.cert='/etc/ca.crt'",
        )
    )
    settings = parse_pip_settings(text)
    assert settings.indexes == ("https://mirror/simple", "file:///a/simple", "file:///b/simple")
    assert settings.certificate == "/etc/ca.crt"


def test_without_settings_it_is_the_public_index_and_with_no_index_none() -> None:
    assert parse_pip_settings("").indexes == ("https://pypi.org/simple",)
    assert parse_pip_settings("global.no-index='true'\n").indexes == ()
