"""The contract as AsyncAPI 3, made from the catalogue: `python -m shared.contract.asyncapi` writes asyncapi.json."""

import json
from pathlib import Path
from typing import Any

from pydantic.json_schema import models_json_schema

from shared.contract.catalogue import CATALOGUE
from shared.contract.envelope import Message, service_of
from shared.contract.words import Audience

PLACE = Path(__file__).with_name("asyncapi.json")
_SPACE = {Audience.NETWORK: "pub", Audience.INSTITUTION: "own", Audience.SEALED: "box"}
_WHO = {
    Audience.NETWORK: "Public to the network: every institution reads it; it never holds personal data.",
    Audience.INSTITUTION: "Stays inside the institution and never leaves its node; trimmed after 14 days.",
    Audience.SEALED: "To one institution: sealed for it between nodes (HPKE); trimmed a month after it was taken.",
}

_PARAMETERS = {"institution": {"description": "The slug of the institution that speaks."}}
_PARAMETERS_OF_A_BOX = {**_PARAMETERS, "to": {"description": "The slug of the institution that is spoken to."}}


def document() -> dict[str, Any]:
    """Give the AsyncAPI document: a channel for each service and audience, one named message for each class."""
    _, definitions = models_json_schema(
        [(message, "serialization") for message in CATALOGUE.values()], ref_template="#/components/schemas/{model}"
    )
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "ALBuM network messages",
            "version": "1.0.0",
            "description": "What the services of the network tell each other over Redis streams, as CloudEvents 1.0.",
        },
        "defaultContentType": "application/cloudevents+json",
        "servers": {"node": {"host": "localhost:6379", "protocol": "redis", "description": "The Redis of a node."}},
        "channels": _channels(),
        "operations": _operations(),
        "components": {
            "messages": {message.__name__: _message(word, message) for word, message in CATALOGUE.items()},
            "schemas": {**definitions["$defs"], "Envelope": _envelope()},
        },
    }


def render() -> str:
    """Give the document as it is committed."""
    return json.dumps(document(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _pairs() -> list[tuple[Audience, str]]:
    return sorted({(message.audience, service_of(message)) for message in CATALOGUE.values()})


def _name(audience: Audience, service: str) -> str:
    return f"{_SPACE[audience]}_{service}"


def _address(audience: Audience, service: str) -> str:
    if audience is Audience.SEALED:
        return "album:1:box:{to}:{institution}"
    return f"album:1:{_SPACE[audience]}:{{institution}}:{service}"


def _channels() -> dict[str, Any]:
    return {
        _name(audience, service): {
            "address": _address(audience, service),
            "description": f"{_WHO[audience]} The institution's slug stands in braces, the hash tag of Redis Cluster.",
            "parameters": _PARAMETERS_OF_A_BOX if audience is Audience.SEALED else _PARAMETERS,
            "messages": {
                message.__name__: {"$ref": f"#/components/messages/{message.__name__}"}
                for message in CATALOGUE.values()
                if (message.audience, service_of(message)) == (audience, service)
            },
        }
        for audience, service in _pairs()
    }


def _operations() -> dict[str, Any]:
    return {
        f"tell_{_name(audience, service)}": {
            "action": "send",
            "channel": {"$ref": f"#/channels/{_name(audience, service)}"},
            "summary": f"What the service {service} tells.",
        }
        for audience, service in _pairs()
    }


def _message(word: str, message: type[Message]) -> dict[str, Any]:
    summary = " ".join((message.__doc__ or "").split())
    return {
        "name": word,
        "title": message.__name__,
        "summary": summary,
        "contentType": "application/cloudevents+json",
        "x-audience": message.audience.value,
        "x-key": message.key_field,
        "payload": {
            "allOf": [
                {"$ref": "#/components/schemas/Envelope"},
                {
                    "type": "object",
                    "properties": {
                        "type": {"const": word},
                        "data": {"$ref": f"#/components/schemas/{message.__name__}"},
                    },
                },
            ]
        },
    }


def _envelope() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "The CloudEvents 1.0 attributes; `source` is /{institution}/{service}, `subject` is the key.",
        "required": ["specversion", "id", "source", "type", "subject", "time", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"type": "string"},
            "source": {"type": "string", "format": "uri-reference"},
            "type": {"type": "string"},
            "subject": {"type": "string"},
            "time": {"type": "string", "format": "date-time"},
            "datacontenttype": {"const": "application/json"},
            "data": {"type": "object"},
        },
    }


if __name__ == "__main__":
    PLACE.write_text(render(), "utf-8")
