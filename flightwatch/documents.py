"""YAML files that people write: loaded safely, checked at once, every problem with file, line, column and the nearest
valid word.

YAML 1.2 (`NO` is a text, not false). Refused before anything is made of them: files over 1 MB, anchors and aliases,
tags, nesting over 50, control characters. Validation is pydantic's; its error locations are joined to the lines that
ruamel remembers.
"""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.tokens import AliasToken, AnchorToken, TagToken

from flightwatch.errors import ConfigError, Problem

LARGEST = 1 << 20
DEEPEST = 50

KEPT = 64
"""Documents that are remembered: as many as rules and lists of one flightwatch have files, and some more."""

Path_ = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)


class Strict(BaseModel):
    """What users write: no unknown keys, no silent conversions, not changed afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True)


@dataclass(frozen=True)
class Document:
    """A file's content as plain lists and dicts, and where each part of it stands."""

    file: str
    content: Any
    places: dict[Path_, tuple[int, int]] = field(default_factory=dict)

    def problem(self, path: Path_, message: str) -> Problem:
        """A problem at a part of the document, or at the nearest part around it that has a place."""
        while path and path not in self.places:
            path = path[:-1]
        line, column = self.places.get(path, (1, 1))
        return Problem(self.file, line, message, column)


def load(path: Path, shown: str | None = None) -> Document:
    """Reads a YAML file. Raises ConfigError."""
    file = shown or str(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError([Problem(file, 1, f"cannot be read: {error.strerror}")]) from None
    return parse(data, file)


@lru_cache(maxsize=KEPT)
def parse(data: bytes, file: str) -> Document:
    """The content of a YAML file, which nobody may change: it is remembered, because going through YAML takes long and of many
    files that are looked at again one has changed. Raises ConfigError."""
    text = _text(data, file)
    _refuse_tricks(text, file)
    try:
        content = YAML(typ="rt", pure=True).load(text)
    except (YAMLError, RecursionError, ValueError) as error:
        raise _no_yaml(error, file) from None
    document = Document(file, None)
    return Document(file, _plain_data(content, (), document.places), document.places)


def _text(data: bytes, file: str) -> str:
    if len(data) > LARGEST:
        raise ConfigError([Problem(file, 1, f"has {len(data)} bytes; at most {LARGEST} are read")])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError([Problem(file, line, "is not UTF-8 here: save it as UTF-8")]) from None
    if match := re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text.replace("\r\n", "\n")):
        raise ConfigError([Problem(file, text[: match.start()].count("\n") + 1, "has a control character here: delete it")])
    return text


def _refuse_tricks(text: str, file: str) -> None:
    """Anchors and aliases can make a small file explode, tags can make objects; rules need neither."""
    depth = 0
    try:
        for token in YAML(typ="rt", pure=True).scan(io.StringIO(text)):
            if isinstance(token, (AnchorToken, AliasToken, TagToken)):
                mark = token.start_mark
                raise ConfigError(
                    [Problem(file, mark.line + 1, "anchors, aliases and tags are not allowed: write it out", mark.column + 1)]
                )
            kind = type(token).__name__
            depth += kind in (
                "BlockMappingStartToken",
                "BlockSequenceStartToken",
                "FlowMappingStartToken",
                "FlowSequenceStartToken",
            )
            depth -= kind in ("BlockEndToken", "FlowMappingEndToken", "FlowSequenceEndToken")
            if depth > DEEPEST:
                raise ConfigError([Problem(file, token.start_mark.line + 1, f"is nested deeper than {DEEPEST}")])
    except (YAMLError, RecursionError, ValueError) as error:
        raise _no_yaml(error, file) from None


def _no_yaml(error: Exception, file: str) -> ConfigError:
    """What the parser says, with the place if it knows one."""
    mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    problem = error.problem if isinstance(error, MarkedYAMLError) else str(error).splitlines()[0]
    words = " ".join(str(problem or "it cannot be read").split()).split(" To suppress")[0]
    return ConfigError([Problem(file, line, f"is no YAML: {words}", column)])


def _plain_data(value: Any, path: Path_, places: dict[Path_, tuple[int, int]]) -> Any:
    """ruamel's containers as plain ones; the place of every key and item is noted."""
    if isinstance(value, CommentedMap):
        if value.lc.line is not None:
            places.setdefault(path, (value.lc.line + 1, value.lc.col + 1))
        for key in value:
            line, column = value.lc.key(key)
            places[(*path, key)] = (line + 1, column + 1)
        return {key: _plain_data(item, (*path, key), places) for key, item in value.items()}
    if isinstance(value, CommentedSeq):
        for index in range(len(value)):
            line, column = value.lc.item(index)
            places[(*path, index)] = (line + 1, column + 1)
        return [_plain_data(item, (*path, index), places) for index, item in enumerate(value)]
    if isinstance(value, bool) or value is None:
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return str(value)


# ------------------------------------------------------------------------------------------------------------------- checking


def validate(document: Document, model: type[Model], content: Any = None, at: Path_ = ()) -> Model:
    """The document (or the part of it at `at`) as a model. Raises ConfigError with all problems."""
    value = document.content if content is None else content
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise ConfigError([_problem(document, model, e, at) for e in error.errors(include_url=False)]) from None


def _problem(document: Document, model: type[BaseModel], error: Any, at: Path_) -> Problem:
    path = (*at, *error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = f"`{error['loc'][-1]}` is not a setting here" + nearest(str(error["loc"][-1]), _names(model, error["loc"][:-1]))
    elif error["type"] == "missing":
        message = f"`{error['loc'][-1]}` is missing"
    elif error["type"] == "literal_error":
        allowed = re.findall(r"'([^']*)'", error["ctx"]["expected"])
        message = f"`{error['input']}` must be one of {', '.join(allowed)}" + nearest(str(error["input"]), allowed)
    elif error["type"].startswith("date_"):
        message = f"`{error['input']}`: write a day, like 2024-01-31"
    elif error["type"] in ("string_type", "int_type", "float_type", "list_type", "bool_type", "tuple_type"):
        message = f"`{error['input']}`: {message[0].lower()}{message[1:]}" + (
            " (put it in quotes)" if error["type"] == "string_type" else ""
        )
    return document.problem(path, message)


def _names(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """The settings that a part of a model takes."""
    current: Any = model
    named = False  # the step is a name that the user gave
    for step in path:
        if isinstance(step, int) or named:
            named = False
            continue
        fields = getattr(current, "model_fields", {})
        found = next((f for name, f in fields.items() if step in (name, f.alias)), None)
        current = _model_in(found.annotation) if found is not None else None
        named = found is not None and get_origin(found.annotation) is dict
    fields = getattr(current, "model_fields", {})
    return [f.alias or name for name, f in fields.items()]


def _model_in(annotation: Any) -> Any:
    """The model inside list[...], tuple[...], X | None and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        if (found := _model_in(part)) is not None:
            return found
    return None


def nearest(word: str, valid: Iterable[str]) -> str:
    """`: did you mean ...?`, or nothing."""
    close = difflib.get_close_matches(word, list(valid), n=1, cutoff=0.6)
    return f": did you mean `{close[0]}`?" if close else ""
