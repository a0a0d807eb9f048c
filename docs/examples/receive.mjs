// Receives the network's public facts as they happen and checks who sent them. Node.js 18 or later, no packages.
//
//   ALBUM_WEBHOOK_KEY=whsec_... PORT=8200 node receive.mjs
//
// The key is in the answer to POST /institutions/{institution}/webhooks: `secret` (whsec_...), or one of `public_keys`
// (whpk_...) of a webhook that signs by Ed25519. In front of this server stands whatever gives you https.
import { createHmac, createPublicKey, timingSafeEqual, verify } from "node:crypto";
import { createServer } from "node:http";
import process from "node:process";

const key = process.env.ALBUM_WEBHOOK_KEY;
const raw = Buffer.from(key.replace(/^wh(sec|pk)_/, ""), "base64");
const isPublic = key.startsWith("whpk_");
const publicKey =
  isPublic && createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: raw.toString("base64url") }, format: "jwk" });
const LATE_SECONDS = 300;

// During a change of the key there are several signatures, separated by a space: one that fits is enough.
const isOurs = (headers, body) => {
  const { "webhook-id": id, "webhook-timestamp": at, "webhook-signature": signatures } = headers;
  if (!id || !signatures || !(Math.abs(Date.now() / 1000 - Number(at)) < LATE_SECONDS)) return false;
  const signed = Buffer.concat([Buffer.from(`${id}.${at}.`), body]);
  return signatures.split(" ").some((one) => {
    const [version, text] = one.split(",");
    const signature = Buffer.from(text ?? "", "base64");
    if (isPublic) return version === "v1a" && verify(null, signed, publicKey, signature);
    const wanted = createHmac("sha256", raw).update(signed).digest();
    return version === "v1" && signature.length === wanted.length && timingSafeEqual(signature, wanted);
  });
};

// A message may come twice, always with the same id: keep ids where your data is, not in memory as here.
const seen = new Set();

const server = createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  const body = Buffer.concat(parts); // check the bytes as they came: JSON written anew is another text
  if (request.method !== "POST" || !isOurs(request.headers, body)) {
    response.writeHead(400).end("no signature of ours");
    return;
  }
  if (!seen.has(request.headers["webhook-id"])) {
    const { type, subject, data } = JSON.parse(body);
    // Messages may overtake each other: what has a lower version than you know already is old.
    console.log(type, subject ?? "", data.version);
    seen.add(request.headers["webhook-id"]);
  }
  response.writeHead(204).end(); // answer quickly, work later: after 15 seconds it counts as failed and comes again
});
server.listen(Number(process.env.PORT ?? 8200), "127.0.0.1", () => console.log("listening"));
