"""A whole sample of every message, made from its types; what a partner's developer sees first."""

from datetime import UTC, date, datetime
from enum import Enum
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import AwareDatetime, BaseModel, HttpUrl
from pydantic.fields import FieldInfo

from shared.contract.envelope import Message

_MOMENT = datetime(2027, 2, 15, 8, 0, tzinfo=UTC)
_BY_NAME = {
    "institution": "vhs-hannover",
    "slug": "vhs-hannover",
    "district": "Linden-Limmer",
    "quarter": "Linden-Nord",
    "sha256": "9f" * 32,
    "postcode": "30449",
    "language": "ar",
    "languages": ("de", "ar"),
    "mail": "amira@example.org",
    "website": "https://www.example.org/",
    "interests": ("Chor",),
    "to": "kargah",
    "by": "kargah",
    "public_key": "9f" * 32,
    "kid": "9f" * 8,
    "code": "run_unknown",
    "signature": "9f" * 64,
    "sealed": "QUxC" * 32,
    "name": "Volkshochschule Hannover",
}


def sample(message: type[Message]) -> dict[str, Any]:
    """Give the data of a message with every field filled in."""
    return message.model_validate(_model(message)).model_dump(mode="json")


def _model(model: type[BaseModel]) -> dict[str, Any]:
    return {name: _field(name, field) for name, field in model.model_fields.items()}


def _field(name: str, field: FieldInfo) -> Any:
    if name in _BY_NAME:
        return _BY_NAME[name]
    if name.endswith("_id"):
        return f"{name.removesuffix('_id')}_01jd3kq8w0zzzz"
    return _value(field.annotation)


def _value(annotation: Any) -> Any:  # noqa: PLR0911 - one line for each kind of type
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return _value(next(one for one in arguments if one is not type(None)))
    if origin is Literal:
        return arguments[0]
    if origin is tuple:
        return (_value(arguments[0]),)
    if origin is not None:
        return _value(arguments[0])
    if issubclass(annotation, BaseModel):
        return _model(annotation)
    if issubclass(annotation, Enum):
        return next(iter(annotation))
    simple = {
        AwareDatetime: _MOMENT,
        date: _MOMENT.date(),
        bool: True,
        int: 3,
        str: "Deutsch für den Beruf",
        HttpUrl: "https://www.example.org/",
    }
    return simple[annotation]
