// Takes part in the network without ALBuM's code, as docs/protocol.md says. Node.js 24 or later, no packages.
//   node partner.mjs join BOOK CODE         asks to be admitted; once the office has admitted, everything else works
//   node partner.mjs publish BOOK SERVICE   signs and appends messages, lines of {"type", "subject", "data"} from stdin
//   node partner.mjs epoch BOOK SERVICE     the same in a new epoch
//   node partner.mjs beat BOOK SERVICE      signs a heartbeat
//   node partner.mjs read BOOK STREAM       verifies and prints what is new on a stream of another institution
//   node partner.mjs late BOOK STREAM       the same for who comes late: its state, compared with the heartbeat
//   node partner.mjs send BOOK TO           seals messages from stdin for one institution
//   node partner.mjs receive BOOK FROM      opens what one institution sealed
// BOOK is a file with keys, roster, what was written and read. Keep it as you keep a private key.
import * as crypto from "node:crypto";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { boxed, unboxed } from "./boxes.mjs";
import * as protocol from "./protocol.mjs";

const { packed, raw, sha256, sign } = protocol;
const written = (path, book, flag = "w") => {
  writeFileSync(`${path}.new`, JSON.stringify(book), { mode: 0o600 });
  if (flag === "wx") writeFileSync(path, "", { flag }); // never over keys that are there
  renameSync(`${path}.new`, path);
};
export async function join(path, code) {
  const { hub, ca, slug, secret, roots } = JSON.parse(Buffer.from(code.replace("album1.", ""), "base64url"));
  const pair = (kind) => crypto.generateKeyPairSync(kind).privateKey.export({ format: "jwk" });
  const [ed25519, x25519, password] = [pair("ed25519"), pair("x25519"), crypto.randomBytes(32).toString("hex")];
  const book = { hub, ca, slug, roots, ed25519, x25519, password, kid: protocol.kidOf(raw(ed25519), raw(x25519)) };
  written(path, { ...book, log: {}, read: {} }, "wx");
  const told = [raw(ed25519), raw(x25519), sha256(password)];
  const proof = sign(ed25519, packed("album/1 join", slug, ...told, sha256(secret))).toString("hex");
  const [ed, x, password_sha256] = told.map((one) => one.toString("hex"));
  const counter = protocol.hubOf(book);
  await counter.ask("AUTH", `join-${slug}`, secret);
  const request = JSON.stringify({ slug, ed25519: ed, x25519: x, password_sha256, proof });
  await counter.ask("HSET", `album:1:net:join:{${slug}}`, "request", request);
  counter.close();
}
export async function opened(path) {
  const book = JSON.parse(readFileSync(path), (_, one) => (one?.type === "Buffer" ? Buffer.from(one.data) : one));
  const hub = protocol.hubOf(book);
  await hub.ask("AUTH", book.slug, book.password);
  for (const { p, s } of await protocol.range(hub, "album:1:net:roster", `(1-${book.roster?.version ?? 0}`, "+"))
    book.roster = protocol.accepted(book.roster, p, s, book.roots);
  return { book, hub, keep: () => written(path, book) };
}
function eventsFrom(lines, source) {
  const rest = { specversion: "1.0", source, time: new Date().toISOString(), datacontenttype: "application/json" };
  const told = lines.split("\n").filter(Boolean).map((line) => JSON.parse(line));
  return told.map((one) => ({ ...rest, id: crypto.randomUUID(), ...one }));
}
async function send(network, to, lines) {
  const { book } = network;
  const stream = `album:1:box:{${to}}:${book.slug}`;
  const { keys } = book.roster.institutions.find((one) => one.slug === to);
  const key = keys.findLast((one) => !one.revoked_from);
  for (const event of eventsFrom(lines, `/${book.slug}/courses`))
    protocol.append(book, stream, [(position) => boxed(key, to, book.slug, position, event)]);
  network.keep(); // what is sealed anew has other bytes: it is kept before it is sent
  await protocol.push(network, stream);
}
async function receive(network, from, tell) {
  const { book } = network;
  await protocol.read(network, `album:1:box:{${book.slug}}:${from}`, ({ event: parts, ...rest }) => {
    if (!parts) return tell(rest);
    try {
      return tell({ ...rest, event: unboxed(book, book.slug, from, rest.position, parts) });
    } catch (error) {
      return tell({ ...rest, put_aside: error.message }); // the entry is genuine: what cannot be opened stops nothing
    }
  });
}

if (import.meta.main) {
  const [command, path, word] = process.argv.slice(2);
  if (command === "join") {
    await join(path, word);
  } else {
    const network = await opened(path);
    const { slug } = network.book;
    const stream = word.startsWith("album:") ? word : `album:1:pub:{${slug}}:${word}`;
    const tell = (one) => console.log(JSON.stringify(one));
    if (command === "publish" || command === "epoch") {
      const events = eventsFrom(readFileSync(0, "utf8"), `/${slug}/${word}`).map((one) => JSON.stringify(one));
      protocol.append(network.book, stream, events, command === "epoch");
      network.keep();
      await protocol.push(network, stream);
    } else if (command === "send") await send(network, word, readFileSync(0, "utf8"));
    else if (command === "receive") await receive(network, word, tell);
    else await { read: protocol.read, late: protocol.late, beat: protocol.beat }[command](network, stream, tell);
    network.keep();
    network.hub.close();
  }
}
