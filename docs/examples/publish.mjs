// Tells the network of two runs that your own software manages, and cancels one of them. Node.js 18 or later, no packages.
//
//   ALBUM_COURSES=http://127.0.0.1:8102 ALBUM_INSTITUTION=vhs-hannover ALBUM_KEY=album_... node publish.mjs
//
// The key comes from `album keys issue --institution vhs-hannover --scope write`.
import process from "node:process";

const { ALBUM_COURSES: courses, ALBUM_INSTITUTION: institution, ALBUM_KEY: key } = process.env;

// The whole public state of a run: each message replaces what was told before. Its id is yours, and stays the same.
const run = (number, title, state, more = {}) => ({
  run_id: `run_kufer${number}`,
  offer_id: "offer_kuferdeutsch",
  number: `27-${number}`,
  title,
  kind: "deufoev_basis",
  state,
  from_level: "B1",
  to_level: "B2",
  starts_on: "2027-03-01",
  capacity: 18,
  availability: { free: 4, waiting: "0", as_of: "2026-11-23T08:00:00Z" },
  ...more,
});

// `source` and `id` name the message: sent again, it is answered with "repeated". `version` grows with each change.
const message = (type, version, picture) => ({
  specversion: "1.0",
  id: `${picture.run_id}-${version}`,
  source: "https://software.example/courses",
  type: `courses.run.${type}.v1`,
  time: new Date().toISOString(),
  data: { institution, version, picture },
});

const batch = [
  message("published", 1, run("0001", "Berufssprachkurs B2", "published")),
  message("published", 1, run("0002", "Berufssprachkurs B2 am Abend", "published")),
  message("cancelled", 2, run("0002", "Berufssprachkurs B2 am Abend", "cancelled", { cancelled_reason: "Zu wenige" })),
];

const answer = await fetch(`${courses}/messages`, {
  method: "POST",
  headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/cloudevents-batch+json" },
  body: JSON.stringify(batch),
});
if (!answer.ok) {
  // 429 and 503 pass: wait as long as Retry-After says and send the same again.
  console.error(answer.status, await answer.text());
  process.exit(1);
}
for (const { id, status, code, reason } of (await answer.json()).answers) {
  console.log(id, status, code ?? "", reason ?? "");
}
