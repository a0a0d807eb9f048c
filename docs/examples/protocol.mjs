// A publisher and a reader of the network without ALBuM's code: docs/protocol.md in Node.js (24 or later), no packages.
// partner.mjs beside it is a program around it that joins and keeps a file of its own; boxes.mjs seals and opens.
import * as crypto from "node:crypto";
import { connect } from "node:tls";

export const hex = (text) => Buffer.from(text, "hex");
export const joined = (...parts) => Buffer.concat(parts.map((one) => Buffer.from(one)));
export const sha256 = (...parts) => crypto.createHash("sha256").update(joined(...parts)).digest();
export const number = (value, size) => hex(BigInt(value).toString(16).padStart(2 * size, "0"));
const bytesOf = (part) => (["number", "bigint"].includes(typeof part) ? number(part, 8) : Buffer.from(part));
export const packed = (...all) => joined(...all.map(bytesOf).flatMap((part) => [number(part.length, 4), part]));
export const unpacked = (all) => !all.length ? [] :
  [all.subarray(4, 4 + all.readUInt32BE()), ...unpacked(all.subarray(4 + all.readUInt32BE()))];
export const place = (position) => position.split("-").map(BigInt);
const behind = (position) => `${place(position)[0]}-${place(position)[1] + 1n}`;
const isBefore = (a, b) => (place(a)[0] === place(b)[0] ? place(a)[1] < place(b)[1] : place(a)[0] < place(b)[0]);

// Keys. Not every OpenSSL and Node.js refuses points of small order, under which one signature fits every message.
const SMALL = ["".padEnd(64, "0"), "01".padEnd(64, "0"), ...["ec", "ed", "ee"].map((one) => `${one.padEnd(62, "f")}7f`),
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"];
const isSmall = (point) => SMALL.includes(joined(point.subarray(0, 31), [point[31] & 127]).toString("hex"));
export const raw = (jwk) => Buffer.from(jwk.x, "base64url");
export const publicKey = (crv, x) =>
  crypto.createPublicKey({ format: "jwk", key: { kty: "OKP", crv, x: x.toString("base64url") } });
export const sign = (jwk, bytes) => crypto.sign(null, bytes, crypto.createPrivateKey({ format: "jwk", key: jwk }));
export const isGenuine = (key, bytes, signature) =>
  key.length === 32 && signature.length === 64 && !isSmall(key) && !isSmall(signature.subarray(0, 32)) &&
  crypto.verify(null, bytes, publicKey("Ed25519", key), signature);
export const kidOf = (...keys) => sha256(...keys).toString("hex", 0, 8);

// JSON as the network wants it: no name twice, no more than 16 levels, no half signs, no whole number beyond 64 bits.
export function strict(bytes) {
  const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  const refuse = (is) => { if (is) throw new Error("not_json"); };
  let [names, depth] = [1, 0]; // the value itself is visited, too, under an empty name
  const value = JSON.parse(text, function (name, one, { source }) {
    names -= !Array.isArray(this);
    refuse(typeof one === "number" && /^-?\d+$/.test(source) && BigInt.asIntN(64, source) !== BigInt(source));
    refuse(Math.abs(one) === Infinity || !name.isWellFormed() || one?.isWellFormed?.() === false);
    return one;
  });
  for (const [one, colon] of text.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?|[{}[\]]/g)) {
    names += Boolean(colon);
    refuse((depth += "{[".includes(one) - "}]".includes(one)) > 16);
  }
  return refuse(names !== 0) ?? value;
}

// The roster that is held, or a newer one that the held roots have signed; the first by the digest of the invitation.
export function accepted(held, document, signatures, pinned) {
  const roster = strict(document);
  const [keys, roots] = [roster.institutions.flatMap((one) => one.keys), (held ?? roster).roots];
  const isSound = roster.roots.keys.every((one) => one.kid === kidOf(hex(one.ed25519))) &&
    keys.every((one) => one.kid === kidOf(hex(one.ed25519), hex(one.x25519))) &&
    roster.institutions.every((one) => ["active", "suspended", "left"].includes(one.status));
  const bytes = packed("album/1 roster", sha256(document));
  const signers = roots.keys.filter((root) => strict(signatures).some((one) =>
    one.root === root.kid && isGenuine(hex(root.ed25519), bytes, hex(one.signature))));
  const sum = sha256(packed(roots.threshold, ...roots.keys.map((one) => hex(one.ed25519)))).toString("hex");
  const isNext = held ? roster.version > held.version : sum === pinned;
  return isSound && isNext && signers.length >= roots.threshold ? roster : held;
}
export function keyAt(roster, slug, kid, stream, position) {
  const member = roster.institutions.find((one) => one.slug === slug);
  const key = member?.keys.find((one) => one.kid === kid);
  const reaches = (places) => !isBefore(position, places[stream] ?? "0-0");
  if (new Date(roster.expires) <= new Date()) throw new Error("roster_expired");
  if (!key) throw new Error("unknown_key");
  if (!reaches(key.from) || (key.revoked_from && reaches(key.revoked_from))) throw new Error("key_not_valid_here");
  if (member.status !== "active" && reaches(member.cut)) throw new Error("institution_not_active");
  return hex(key.ed25519);
}

// Entries: {position, p, k, h, s}. `previous` is the hash of the one before, or null where it is not known.
export const hashOf = (stream, { position, h, p }) => sha256(h, `${stream}\n${position}\n`, sha256(p));
const told = (stream, { position, h, k, p }) => packed("album/1", stream, ...place(position), h, k, sha256(p));
export function entryOf({ ed25519, kid }, stream, position, h, p) {
  const entry = { position, p: Buffer.from(p), k: Buffer.from(kid), h };
  return { ...entry, s: sign(ed25519, told(stream, entry)) };
}
export function verified(roster, stream, previous, entry) {
  const [, to, name, service] = /^album:1:(?:box:\{(.+)\}|pub:\{(.+)\}):(.+)$/.exec(stream);
  const key = keyAt(roster, to ? service : name, String(entry.k), stream, entry.position);
  if (!(previous ?? entry.h).equals(entry.h) || entry.h.length !== 32) throw new Error("wrong_previous");
  if (entry.p.length > (to ? 66560 : 65536)) throw new Error("too_large");
  if (!isGenuine(key, told(stream, entry), entry.s)) throw new Error("not_genuine");
  if (to) return unpacked(entry.p);
  const event = strict(entry.p);
  if (event.source !== `/${name}/${service}`) throw new Error("wrong_source");
  return event;
}

// The hub: as much of Redis' protocol as this needs; one question at a time.
export function hubOf({ hub, ca }) {
  const socket = connect({ host: new URL(hub).hostname, port: new URL(hub).port, ca });
  const chunks = socket[Symbol.asyncIterator]();
  let bytes = Buffer.alloc(0);
  const take = async (isThere, size) => {
    while (!isThere()) bytes = joined(bytes, (await chunks.next()).value);
    const taken = bytes.subarray(0, size());
    return (bytes = bytes.subarray(taken.length)) && taken.subarray(0, -2);
  };
  const answer = async () => {
    const head = String(await take(() => bytes.includes("\r\n"), () => bytes.indexOf("\r\n") + 2));
    const [kind, rest, parts] = [head[0], head.slice(1), []];
    if ("+-:".includes(kind)) return kind === "-" ? new Error(rest) : rest;
    if (rest === "-1") return null;
    if (kind === "$") return take(() => bytes.length >= Number(rest) + 2, () => Number(rest) + 2);
    while (parts.length < Number(rest)) parts.push(await answer());
    return parts.find((one) => one instanceof Error) ?? parts; // also where one command of an EXEC failed
  };
  const ask = async (...words) => {
    const sent = words.map((one) => Buffer.from(one)).flatMap((one) => [`$${one.length}\r\n`, one, "\r\n"]);
    socket.write(joined(`*${words.length}\r\n`, ...sent));
    const got = await answer();
    if (got instanceof Error) throw got;
    return got;
  };
  return { ask, close: () => socket.destroy() };
}
const fieldsOf = (list) => Object.fromEntries(list.flatMap((one, i) => (i % 2 ? [] : [[String(one), list[i + 1]]])));
const NONE = Object.fromEntries(["p", "k", "h", "s"].map((name) => [name, Buffer.alloc(0)]));
const entriesOf = (all) => all.map(([position, list]) => ({ position: String(position), ...NONE, ...fieldsOf(list) }));
export const range = async (hub, key, from, to) => entriesOf(await hub.ask("XRANGE", key, from, to, "COUNT", "500"));
async function allOf(hub, name, cursor = "0", found = {}) {
  const [next, list] = await hub.ask("HSCAN", name, cursor, "COUNT", "1000");
  Object.assign(found, fieldsOf(list));
  return String(next) === "0" ? found : allOf(hub, name, next, found);
}
const endOf = (hub, stream) => hub.ask("XINFO", "STREAM", stream).then(
  (list) => String(fieldsOf(list)["last-generated-id"]),
  (error) => (/no such key/.test(error.message) ? "0-0" : Promise.reject(error)));

// Writing: signed into the own log first, then appended behind what the hub holds.
export function append(book, stream, payloads, isNewEpoch = false) {
  const log = (book.log[stream] ??= []);
  for (const [i, p] of payloads.entries()) {
    const last = log.at(-1)?.position ?? "1-0";
    const position = isNewEpoch && i === 0 ? `${place(last)[0] + 1n}-1` : behind(last);
    const h = log.length ? hashOf(stream, log.at(-1)) : Buffer.alloc(32);
    log.push(entryOf(book, stream, position, h, typeof p === "function" ? p(position) : p));
  }
}
export async function push({ book, hub }, stream) {
  await hub.ask("WATCH", stream);
  const [end, isPublic] = [await endOf(hub, stream), stream.includes(":pub:")];
  const reached = book.log[stream].findIndex((one) => one.position === end);
  if (reached < 0 && end !== "0-0") throw new Error(`the hub is ahead, at ${end}`);
  await hub.ask("MULTI");
  for (const { position, p, k, h, s } of book.log[stream].slice(reached + 1)) {
    await hub.ask("XADD", stream, position, "p", p, "k", k, "h", h, "s", s);
    if (isPublic) await hub.ask("HSET", `${stream}:state`, JSON.parse(p).subject, packed(position, k, h, s, p));
  }
  if (!(await hub.ask("EXEC"))) throw new Error("somebody else wrote in between");
}
const digest = (stream, state) => sha256(...Object.keys(state).map((name) => Buffer.from(name)).sort(Buffer.compare)
  .map((name) => joined(name, "\n", hashOf(stream, state[name])))).toString("hex");
export async function beat({ book, hub }, stream) {
  const last = book.log[stream].at(-1);
  const state = Object.fromEntries(book.log[stream].map((one) => [JSON.parse(one.p).subject, one]));
  const sums = { keys: Object.keys(state).length, digest: digest(stream, state), at: new Date().toISOString() };
  const p = JSON.stringify({ head: last.position, hash: hashOf(stream, last).toString("hex"), ...sums });
  const s = sign(book.ed25519, packed("album/1 heartbeat", stream, book.kid, sha256(p)));
  await hub.ask("HSET", `${stream}:heartbeat`, "p", p, "k", book.kid, "s", s);
}

// Reading: the first entry that does not verify ends it, unless its writer went on behind it in a new epoch.
const follows = (a, b) => b === behind(a) || b === `${place(a)[0] + 1n}-1`;
function coveredUpTo(roster, stream, page) {
  const next = page.findIndex((one) => place(one.position)[0] > place(page[0].position)[0]);
  const isChain = page.slice(1, next + 1).every((one, i) =>
    hashOf(stream, page[i]).equals(one.h) && follows(page[i].position, one.position));
  return next > 0 && isChain && verified(roster, stream, null, page[next]) ? next : 0;
}
export async function read({ book, hub }, stream, tell) {
  let at = book.read[stream] ?? { position: "1-0", hash: Buffer.alloc(32) };
  for (let page; (page = await range(hub, stream, `(${at.position}`, "+")).length; )
    while (page.length) {
      let [entry, taken] = [page[0], 1]; // how many entries of the page are dealt with
      try {
        const isGap = !follows(at.position, entry.position);
        if (isGap && stream.includes(":pub:")) return tell({ gap: entry.position });
        const event = verified(book.roster, stream, isGap ? null : at.hash, entry);
        tell({ position: entry.position, kid: String(entry.k), event });
      } catch ({ message }) {
        const mayHeal = ["roster_expired", "unknown_key", "institution_not_active"].includes(message);
        try { taken = mayHeal ? 0 : coveredUpTo(book.roster, stream, page); } catch { taken = 0; }
        tell({ position: entry.position, refused: message, passed_over: taken });
        if (!taken) return;
      }
      const last = page.splice(0, taken).at(-1);
      at = book.read[stream] = { position: last.position, hash: hashOf(stream, last) };
    }
}
export async function late({ book, hub }, stream, tell) {
  const { p, k, s } = await allOf(hub, `${stream}:heartbeat`);
  const [end, state] = [await endOf(hub, stream), {}];
  for (const [name, value] of Object.entries(await allOf(hub, `${stream}:state`))) {
    const [position, k, h, s, p] = unpacked(value);
    if (isBefore(end, String(position))) return tell({ head: end, proven: false }); // its writer goes on: ask again
    const entry = (state[name] = { position: String(position), k, h, s, p });
    if (verified(book.roster, stream, null, entry).subject !== name) throw new Error("wrong_subject");
  }
  if (!p) return tell({ head: end, proven: false }); // its writer has left no heartbeat yet: ask again later
  const { head, hash, keys, digest: sum } = strict(p);
  const key = keyAt(book.roster, /\{(.+)\}/.exec(stream)[1], String(k), stream, behind(head));
  if (!isGenuine(key, packed("album/1 heartbeat", stream, k, sha256(p)), s)) throw new Error("not_genuine");
  const isWhole = keys === Object.keys(state).length && sum === digest(stream, state);
  if (isBefore(end, head) || (head === end && !isWhole)) throw new Error("withheld");
  const [last] = head === end ? [] : await range(hub, stream, end, end);
  const isKnown = last && verified(book.roster, stream, null, last); // null where the last entry is trimmed already
  book.read[stream] = { position: end, hash: head === end ? hex(hash) : isKnown ? hashOf(stream, last) : null };
  for (const { position, p } of Object.values(state)) tell({ position, event: strict(p) });
  tell({ head: end, proven: head === end });
}
