"""The figures of docs/protocol.md and of the worked example beside it are true, for our code and for another's."""

import json
import re
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from shared.kit.streams import Position
from shared.network import boxes, strict
from shared.network.border import BOX_BYTES, PUB_BYTES
from shared.network.packed import packed
from shared.network.signing import is_genuine
from tests.unit.network.protocol_vectors import EXAMPLES, FILE, identity, node, vectors

PAGE = (EXAMPLES.parent / "protocol.md").read_text("utf-8")


def test_the_worked_example_is_what_our_code_makes() -> None:
    """Keys, roster, entries, state, heartbeat, proofs and box come out the same from their seeds."""
    assert json.loads(FILE.read_text("utf-8")) == vectors()


def test_our_code_opens_the_box_of_the_example() -> None:
    """What Node.js sealed is opened by the HPKE of our library, and by nothing under another info."""
    box = json.loads(FILE.read_text("utf-8"))["box"]
    opened = boxes.read_box(identity("awo", 2).box_keys, "awo", "vhs", Position(1, 1), bytes.fromhex(box["p"]))
    assert opened.decode() == box["plaintext"]


def test_the_program_in_nodejs_finds_the_example_true() -> None:
    """Signatures, hashes, the roster under two of three roots and the opened box; and no older roster is taken."""
    found = node("""
        import { readFileSync } from "node:fs";
        import * as protocol from "./protocol.mjs";
        import { unboxed } from "./boxes.mjs";
        const { hex } = protocol;
        const all = JSON.parse(readFileSync("protocol-vectors.json"));
        const { p, s } = all.roster;
        const roster = protocol.accepted(undefined, Buffer.from(p), Buffer.from(s), all.roots_digest);
        const long = { ...roster, expires: "9999-01-01T00:00:00Z" };
        const entries = all.entries.map(({ position, p, k, h, s }) =>
            ({ position, p: Buffer.from(p), k: Buffer.from(k), h: hex(h), s: hex(s) }));
        const stream = all.entries[0].stream;
        const hashes = entries.map((one) => protocol.hashOf(stream, one).toString("hex"));
        const before = [Buffer.alloc(32), ...hashes.map(hex)];
        const types = entries.map((one, i) => protocol.verified(long, stream, before[i], one).type);
        const key = all.institution.second;
        const { kid } = key;
        const jwk = (name, d) => ({ kty: "OKP", crv: name, d: hex(d).toString("base64url"),
            x: hex(key[name.toLowerCase()]).toString("base64url") });
        const remade = protocol.entryOf({ ed25519: jwk("Ed25519", key.ed25519_seed), kid }, stream, entries[3].position,
            entries[3].h, entries[3].p).s.toString("hex");
        const box = unboxed({ kid, x25519: jwk("X25519", key.x25519_private) }, "awo", "vhs", "1-1",
            protocol.unpacked(hex(all.box.p)));
        const one = JSON.stringify(JSON.parse(s).slice(0, 1));
        console.log(JSON.stringify({
            version: roster?.version, hashes, types, remade, box,
            again: protocol.accepted(roster, Buffer.from(p), Buffer.from(s)) === roster,
            byOne: protocol.accepted(undefined, Buffer.from(p), Buffer.from(one), all.roots_digest) ?? null,
        }));
    """)
    example = json.loads(FILE.read_text("utf-8"))
    assert found["version"] == json.loads(example["roster"]["p"])["version"]
    assert found["hashes"] == [one["chain_hash"] for one in example["entries"]]
    assert found["types"] == ["courses.run.published.v1"] * 4
    assert found["remade"] == example["entries"][3]["s"]
    assert found["box"] == json.loads(example["box"]["plaintext"])
    assert found["again"] is True
    assert found["byOne"] is None


def test_the_figures_on_the_page_are_true() -> None:
    """Sizes, the packed example and the ids in the example are those of the code."""
    assert f"{PUB_BYTES:,} bytes on `pub` and {BOX_BYTES:,} on `box`" in PAGE
    assert packed("album/1", 1).hex() == re.sub(r"\s", "", "00000007 616c62756d2f31 00000008 0000000000000001")
    assert "`00000007 616c62756d2f31 00000008 0000000000000001`" in PAGE
    for keys in json.loads(FILE.read_text("utf-8"))["institution"].values():
        assert keys["kid"] == sha256(bytes.fromhex(keys["ed25519"] + keys["x25519"])).hexdigest()[:16]


SMALL = b"\1" + bytes(31)
HONEST = bytes.fromhex("ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c")
BARE = SMALL + bytes.fromhex("a4891e33a334d8072916a4f6dbb444aa60171ecdef197f11f1f27f946953d30f")


@pytest.mark.parametrize(("key", "message", "signature"), [(SMALL, b"any", SMALL + bytes(32)), (HONEST, b"x", BARE)])
def test_points_of_small_order_sign_nothing(key: bytes, message: bytes, signature: bytes) -> None:
    """A key or an R of small order is refused by our code and by the program; OpenSSL takes both (the control)."""
    Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    found = node(f"""
        import {{ isGenuine }} from "./protocol.mjs";
        const parts = {json.dumps([key.hex(), message.hex(), signature.hex()])}.map((one) => Buffer.from(one, "hex"));
        console.log(JSON.stringify(isGenuine(...parts)));
    """)
    assert found is is_genuine(key, message, signature) is False


STRICT = {
    '{"a":1,"b":[{"a":"b:"}]}': True,
    '{"a":1,"\\u0061":2}': False,
    '{"a":{"b":1,"b":1}}': False,
    '{"a":"\\ud800"}': False,
    "1e999": False,
    "9223372036854775807": True,
    "9223372036854775808": False,
    "[" * 16 + "]" * 16: True,
    "[" * 17 + "]" * 17: False,
    "NaN": False,
    "\ufeff1": False,
}


def test_the_program_reads_json_as_strictly_as_our_code() -> None:
    """What the page refuses is refused by both, and nothing else."""
    found = node(f"""
        import {{ strict }} from "./protocol.mjs";
        const isTaken = (text) => {{
            try {{ return strict(Buffer.from(text)) !== undefined; }} catch {{ return false; }}
        }};
        console.log(JSON.stringify({json.dumps(list(STRICT))}.map(isTaken)));
    """)
    assert found == list(STRICT.values())
    assert [_is_taken(text) for text in STRICT] == found


def _is_taken(text: str) -> bool:
    try:
        strict.parse(text.encode())
    except strict.JsonRefused:
        return False
    return True
