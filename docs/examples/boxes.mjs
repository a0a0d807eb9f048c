// Seals and opens messages for one institution as docs/protocol.md says: HPKE (RFC 9180), base mode. No packages.
import * as crypto from "node:crypto";
import { hex, joined, number, packed, place, publicKey, raw, strict } from "./protocol.mjs";

const KEM = joined("KEM", hex("0020"));
const HPKE = joined("HPKE", hex("002000010003"));
const hmac = (key, ...parts) => crypto.createHmac("sha256", key).update(joined(...parts)).digest();
const extract = (suite, salt, label, from) => hmac(salt, "HPKE-v1", suite, label, from);
const expand = (suite, key, label, info, size) =>
  hmac(key, number(size, 2), "HPKE-v1", suite, label, info, hex("01")).subarray(0, size);
const privateKey = (jwk) => crypto.createPrivateKey({ format: "jwk", key: jwk });

function cipherOf(make, mine, theirs, ends, info) {
  const shared = crypto.diffieHellman({ privateKey: mine, publicKey: publicKey("X25519", theirs) });
  const first = expand(KEM, extract(KEM, "", "eae_prk", shared), "shared_secret", joined(...ends), 32);
  const context = joined(hex("00"), extract(HPKE, "", "psk_id_hash", ""), extract(HPKE, "", "info_hash", info));
  const secret = extract(HPKE, first, "secret", "");
  const [key, nonce] = [expand(HPKE, secret, "key", context, 32), expand(HPKE, secret, "base_nonce", context, 12)];
  return make("chacha20-poly1305", key, nonce, { authTagLength: 16 });
}
export function seal(receiver, info, plaintext, own = crypto.generateKeyPairSync("x25519").privateKey) {
  const enc = raw(own.export({ format: "jwk" }));
  const cipher = cipherOf(crypto.createCipheriv, own, receiver, [enc, receiver], info);
  return joined(enc, cipher.update(plaintext), cipher.final(), cipher.getAuthTag());
}
export function open(jwk, info, sealed) {
  const enc = sealed.subarray(0, 32);
  const cipher = cipherOf(crypto.createDecipheriv, privateKey(jwk), enc, [enc, raw(jwk)], info);
  cipher.setAuthTag(sealed.subarray(-16));
  return joined(cipher.update(sealed.subarray(32, -16)), cipher.final());
}

// The payload of a box entry, and the message inside. `key` is the receiver's newest one in the roster.
const infoOf = (to, from, position, type) => packed("album/1 box", to, from, ...place(position), type);
export function boxed(key, to, from, position, event) {
  const sealed = seal(hex(key.x25519), infoOf(to, from, position, event.type), JSON.stringify(event));
  return packed("box/1", key.kid, event.type, sealed);
}
export function unboxed(book, to, from, position, [form, kid, type, sealed]) {
  if (String(form) !== "box/1" || String(kid) !== book.kid) throw new Error("key_gone");
  const event = strict(open(book.x25519, infoOf(to, from, position, String(type)), sealed));
  if (event.type !== String(type) || !event.source.startsWith(`/${from}/`)) throw new Error("wrong_source");
  return event;
}
