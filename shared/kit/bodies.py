"""What a caller sends as JSON: nothing unknown is passed over, and the document says where null is no value."""

import re
from datetime import date, datetime
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    EmailStr,
    GetJsonSchemaHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from shared.contract import words
from shared.contract.words import LINE, District, Quarter, districts
from shared.kit.errors import Invalid

NO_NUL = r"^[^\x00]*$"
_SPACES = r"\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_VISIBLE, _ANY = rf"[^\x00-\x20\x7f{_SPACES}]", r"[^\x00-\x1f\x7f\u2028\u2029]"


def trimmed(visible: str, inner: str) -> str:
    """Give the pattern of a line of 1 to 200 signs from which spaces at both ends are taken away before it counts."""
    around = rf"[\t-\r {_SPACES}]*"
    return rf"^{around}{visible}({inner}{{0,198}}{visible})?{around}$"


def _written(form: str, *kinds: type, such_as: str) -> BeforeValidator:
    """Refuse what is not written in a form; pydantic alone takes any number for a moment or a day."""

    def check(value: Any) -> Any:
        if isinstance(value, kinds) or (isinstance(value, str) and re.match(form, value)):
            return value
        raise ValueError(f"is written in another way, such as {such_as}")

    return BeforeValidator(check)


def _whole(value: Any) -> Any:
    # JSON knows one kind of number: 5.0 is as whole as 5, but "5" and true are none.
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise ValueError("is no number")


def _truth(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    raise ValueError("is true or false")


_MOMENT = _written(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d", datetime, such_as="2027-03-01T09:00:00+01:00")
Moment = Annotated[words.Moment, _MOMENT]
Day = Annotated[words.Day, _written(r"\d{4}-\d\d-\d\d$", date, such_as="2027-03-01")]
WHOLE = BeforeValidator(_whole)
IN_ID, IN_SLUG = words.ID.strip("^$"), words.SLUG.strip("^$")


def unreadable_cursor() -> Invalid:
    """Give the refusal of what no page gave as its `next`."""
    return Invalid("after: this is no `next` of a page", code="cursor_unreadable")


def cursor(form: str) -> AfterValidator:
    """Refuse as a cursor what no page gave as its `next`: an empty page would say that there is nothing more."""

    def check(value: str) -> str:
        if value and not re.fullmatch(form, value):
            raise unreadable_cursor()
        return value

    return AfterValidator(check)


Truth = Annotated[bool, BeforeValidator(_truth)]
# Names that RFC 6761 keeps for other uses reach nobody.
Mail = Annotated[
    EmailStr,
    WithJsonSchema(
        {
            "type": "string",
            "format": "email",
            "not": {"pattern": r"[@.](arpa|invalid|local|localhost|onion|test)$"},
        }
    ),
]
KnownDistrict = Annotated[District, WithJsonSchema({"type": "string", "enum": sorted(districts())})]
KnownQuarter = Annotated[
    Quarter, WithJsonSchema({"type": "string", "enum": sorted({q for known in districts().values() for q in known})})
]


def holds_nul(value: Any) -> bool:
    """Tell whether a text anywhere in a value holds the sign NUL, which PostgreSQL does not keep."""
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any(holds_nul(one) for pair in value.items() for one in pair)
    return isinstance(value, list) and any(holds_nul(one) for one in value)


class Said(BaseModel):
    """A part of what a caller sends; the document says what the validators refuse."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    never_null: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Say in the document what pydantic leaves unsaid."""
        found = handler(core)
        for name, field in handler.resolve_ref_schema(found).get("properties", {}).items():
            if name in cls.never_null:
                _without_null(field)
            _say_patterns(field)
        return found


class In(Said):
    """What a caller sends; fields in `never_null` may be left out, and have a value where they are sent."""

    @model_validator(mode="before")
    @classmethod
    def _no_nul(cls, sent: Any) -> Any:
        if holds_nul(sent):
            raise ValueError("a text holds the sign NUL, which no database keeps")
        return sent

    @model_validator(mode="after")
    def _no_null(self) -> Self:
        nulls = [name for name in sorted(self.model_fields_set & self.never_null) if getattr(self, name) is None]
        if nulls:
            raise ValueError(f"{', '.join(nulls)} cannot be null; leave out what stays as it is")
        return self

    def sent(self) -> dict[str, Any]:
        """Give the values that were sent, by field name."""
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}


def _without_null(field: dict[str, Any]) -> None:
    kinds = [kind for kind in field.pop("anyOf", ()) if kind != {"type": "null"}]
    if "default" in field and field["default"] is None:
        del field["default"]
    if kinds:
        field |= kinds[0] if len(kinds) == 1 else {"anyOf": kinds}


def _say_patterns(field: dict[str, Any]) -> None:
    for inner in (*field.get("anyOf", ()), *(field[name] for name in ("items",) if name in field)):
        _say_patterns(inner)
    if field.get("type") != "string" or field.keys() & {"enum", "format"}:
        return
    if field.setdefault("pattern", NO_NUL) == LINE:
        field["pattern"] = trimmed(_VISIBLE, _ANY)
        del field["minLength"], field["maxLength"]
