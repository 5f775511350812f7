"""What is wrong with settings, said so that it can be put right."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Any, get_type_hints

from pydantic import BaseModel, ValidationError

UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
"""Pydantic's types of the mistake that a name is not one of the settings."""


def tell_mistakes(kind: type[BaseModel], error: ValidationError) -> str:
    """Name each mistake and where it is; a name that no setting has comes with the one that may be meant."""
    return "; ".join(
        f"{'.'.join(str(part) for part in mistake['loc'])}: {_sentence(kind, mistake)}" for mistake in error.errors()
    )


def _sentence(kind: type[BaseModel], mistake: Any) -> str:
    if mistake["type"] not in UNKNOWN:
        return str(mistake["msg"]).removeprefix("Value error, ")
    place, name = tuple(mistake["loc"][:-1]), str(mistake["loc"][-1])
    paths = list(_paths(kind))
    beside = [path[-1] for path in paths if path[:-1] == place]
    likely = [".".join(path) for path in paths if path[-1] == name]
    likely = likely or [".".join((*place, one)) for one in get_close_matches(name, beside, n=1)]
    if likely:
        return f"no such setting; did you mean {' or '.join(likely)}?"
    return f"no such setting; here are {', '.join(beside)}"


def _paths(kind: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every setting's place, groups of settings among them."""
    if is_dataclass(kind):
        names = [field.name for field in fields(kind)]
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        names = list(kind.model_fields)
    else:
        return
    hints = get_type_hints(kind)
    for name in names:
        yield (*place, name)
        yield from _paths(hints[name], (*place, name))
