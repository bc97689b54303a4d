// Clients that are slow, and clients that are many: they hold connections for as long as the node lets them.
import { once } from "node:events";
import { dial, head } from "./raw.mjs";
import { wait } from "../lib/load.mjs";

const C = "/v1/spaces/-/collections";
const json = (token, more = {}) => ({ Authorization: `Bearer ${token}`, "Content-Type": "application/json", ...more });
/** How long slow ones are held, at most. */
const HOLD_MS = 20_000;
const BEAT_MS = 500;

/** Writes a byte now and then on each of some connections, and counts which the node has ended. */
async function dribble(url, count, opening, byte) {
  const sockets = await Promise.all(Array.from({ length: count }, () => dial(url)));
  let ended = 0;
  for (const socket of sockets) {
    socket.on("close", () => (ended += 1));
    socket.resume();
    socket.write(opening);
  }
  const end = Date.now() + HOLD_MS;
  while (Date.now() < end && ended < count) {
    for (const socket of sockets) if (!socket.destroyed) socket.write(byte);
    await wait(BEAT_MS);
  }
  sockets.forEach((socket) => socket.destroy());
  return ended;
}

/** Heads that come a byte at a time: the node ends them after ten seconds. */
export async function* heads({ url }) {
  const count = 300;
  const ended = await dribble(url, count, "GET /v1/status HTTP/1.1\r\nHost: a\r\nX-Slow: ", "a");
  yield { what: `${ended} of ${count} slow heads were ended`, status: ended === count ? 408 : 599 };
}

/** Bodies that come a byte at a time, with a token and without. */
export async function* bodies({ url, token }) {
  for (const sender of [token, "cs_pat_none"]) {
    const opening = head("PUT", `${C}/honest/docs/slow`.replace("/v1/spaces/-", "/v1/spaces/-"),
      json(sender, { "Content-Length": 1_000_000 }));
    await dribble(url, 100, opening, " ");
    yield { what: "slow bodies", status: 408 };
  }
}

/** Answers of 20 MB that nobody reads. */
export async function* readers({ url, token }) {
  const sockets = await Promise.all(Array.from({ length: 100 }, () => dial(url)));
  for (const [at, socket] of sockets.entries()) {
    socket.pause();
    const path = at % 2 ? `${C}/large/export` : `${C}/large/docs?limit=1000`;
    socket.write(head("GET", path, json(token)));
  }
  await wait(HOLD_MS / 2);
  sockets.forEach((socket) => socket.destroy());
  yield { what: "answers that nobody reads", status: 503 };
}

/** 10,000 connections that say nothing, half a head, or nothing more after an answer; then a client that is new. */
export async function* many({ url, token, connections }) {
  const sockets = [];
  for (let at = 0; at < connections; at += 250) {
    const some = Array.from({ length: Math.min(250, connections - at) }, () => dial(url));
    // The node takes no more than it has room for; the others wait at its door.
    const opened = await Promise.race([Promise.all(some), wait(1000)]);
    if (!opened) some.forEach((one) => one.then((socket) => sockets.push(socket)).catch(() => {}));
    else sockets.push(...opened);
  }
  for (const [at, socket] of sockets.entries()) {
    socket.resume();
    if (at % 3 === 1) socket.write("GET /v1/status HTTP/1.1\r\nHost: ");
    if (at % 3 === 2) socket.write(head("GET", "/v1/status", json(token)));
  }
  await wait(HOLD_MS / 4);
  yield { what: `${sockets.length} of ${connections} connections were opened`, status: 503 };
  const begun = Date.now();
  sockets.forEach((socket) => socket.destroy());
  const fresh = await dial(url);
  fresh.write(head("GET", "/v1/auth/me", json(token)));
  const [bytes] = await Promise.race([once(fresh, "data"), wait(30_000).then(() => ["HTTP/1.1 599"])]);
  const status = Number(/^HTTP\/1\.1 (\d+)/.exec(bytes)?.[1]);
  fresh.destroy();
  yield { what: `a new client after ${Date.now() - begun} ms`, status: status === 200 ? 400 : 599 };
}
