"""What `POST /messages` takes as JSON Schema: one event for each message that the service takes from outside."""

from typing import Any, get_args

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from shared.contract.envelope import Message, type_of
from shared.contract.words import District, Quarter, districts
from shared.kit.bodies import NO_NUL
from shared.kit.inbox import Takes

Schema = dict[str, Any]
_SAID = r"^[^\x00-\x1f\x7f-\x9f]+$"
_REFERENCE = r"""^[^\x00-\x20\x7f-\xa0<>"{}|\\^`]+$"""
_TEXT = {"type": "string", "pattern": _SAID}
_WHOLE = {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}
_KNOWN = {
    get_args(District)[1].func: sorted(districts()),
    get_args(Quarter)[1].func: sorted({quarter for quarters in districts().values() for quarter in quarters}),
}


class _Strict(GenerateJsonSchema):
    """Says what the messages' own schemas leave to the validators."""

    def function_after_schema(self, schema: core_schema.AfterValidatorFunctionSchema) -> JsonSchemaValue:
        """Name the districts and quarters."""
        known = _KNOWN.get(schema["function"]["function"])
        return {"type": "string", "enum": known} if known else super().function_after_schema(schema)

    def str_schema(self, schema: core_schema.StringSchema) -> JsonSchemaValue:
        """Refuse the one sign that no database keeps."""
        found = super().str_schema(schema)
        return found if "pattern" in found else {**found, "pattern": NO_NUL}


def event_schemas(takes: Takes | None) -> tuple[Schema, Schema]:
    """Give the schema of an event that a service takes, and the definitions that it needs."""
    if takes is None:
        return _event(None, {"type": "object"}), {}
    wanted: list[tuple[type[Message], JsonSchemaMode]] = [(kind, "validation") for kind in takes.states]
    _, found = models_json_schema(wanted, ref_template="#/components/schemas/Told{model}", schema_generator=_Strict)
    definitions = {f"Told{name}": schema for name, schema in found["$defs"].items()}
    events = [_event(type_of(kind), _data(kind, states)) for kind, states in takes.states.items()]
    return {"oneOf": events}, definitions


def _data(kind: type[Message], states: frozenset[str]) -> Schema:
    shown = {"type": "object", "properties": {"state": {"enum": sorted(str(state) for state in states)}}}
    picture = {"type": "object", "properties": {"picture": shown}}
    return {"allOf": [{"$ref": f"#/components/schemas/Told{kind.__name__}"}, picture]}


def _event(word: str | None, data: Schema) -> Schema:
    return {
        "type": "object",
        "required": ["specversion", "id", "source", "type", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": _TEXT,
            "source": {"type": "string", "pattern": _REFERENCE},
            "type": {"const": word} if word else _TEXT,
            "subject": {**_TEXT, "description": "If it is there, it names the thing that the data shows"},
            "time": {"type": "string", "format": "date-time"},
            "datacontenttype": {"const": "application/json"},
            "data": data,
        },
        "propertyNames": {"pattern": "^[a-z0-9]+$"},
        "additionalProperties": {"anyOf": [_TEXT, _WHOLE, {"type": "boolean"}]},
    }
