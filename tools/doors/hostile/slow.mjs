// Slow clients, and many clients: they hold connections for as long as the node allows.
import { once } from "node:events";
import { dial, head, json } from "./raw.mjs";
import { wait } from "../lib/load.mjs";

const C = "/v1/spaces/-/collections";
/** Longest time for which slow connections are held. */
const HOLD_MS = 20_000;
const BEAT_MS = 500;
const BODIES = 100;
const READERS = 100;
/** Number of connections that are opened concurrently. */
const AT_ONCE = 100;
/** Longest wait of a new client for an answer. */
const NEW_MS = 30_000;

/** Writes a byte now and then on each of some connections, and counts the connections that the node has closed. */
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

/** Heads that arrive a byte at a time; the node closes these connections after ten seconds. */
export async function* heads({ url }) {
  const count = 300;
  const ended = await dribble(url, count, "GET /v1/status HTTP/1.1\r\nHost: a\r\nX-Slow: ", "a");
  yield { what: `${ended} of ${count} slow heads were ended`, status: ended === count ? 408 : 599, isSlow: true };
}

/** Bodies that arrive a byte at a time, with and without a token. A client with a token may be slow. */
export async function* bodies({ url, token }) {
  for (const sender of [token, "cs_pat_none"]) {
    const opening = head("PUT", `${C}/honest/docs/slow`, json(sender, { "Content-Length": 1_000_000 }));
    const ended = await dribble(url, BODIES, opening, " ");
    const isRight = sender === token || ended === BODIES;
    const who = sender === token ? "with a token" : "without one";
    yield { what: `${ended} of ${BODIES} slow bodies ${who} were ended`, status: isRight ? 408 : 599, isSlow: true };
  }
}

/** Answers of 20 MB that nobody reads, requested one after the other; requesting many at once is another attack. */
export async function* readers({ url, token }) {
  const sockets = [];
  for (let at = 0; at < READERS; at += 1) {
    const socket = await dial(url);
    sockets.push(socket);
    socket.pause();
    const path = at % 2 ? `${C}/large/export` : `${C}/large/docs?limit=1000`;
    socket.write(head("GET", path, json(token)));
    await wait(HOLD_MS / 2 / READERS);
  }
  await wait(HOLD_MS / 2);
  sockets.forEach((socket) => socket.destroy());
  yield { what: "answers that nobody reads", status: 503 };
}

/** Returns the time that a new client waits for an answer, in milliseconds. */
async function fresh({ url, token }) {
  const begun = performance.now();
  const socket = await dial(url);
  socket.write(head("GET", "/v1/auth/me", json(token)));
  const [bytes] = await Promise.race([once(socket, "data"), wait(NEW_MS).then(() => [""])]);
  socket.destroy();
  if (!String(bytes).startsWith("HTTP/1.1 200")) throw new Error(`a new client was answered "${bytes}"`);
  return performance.now() - begun;
}

/** 10,000 connections that send nothing, half a head, or nothing more after an answer; and new clients meanwhile. */
export async function* many({ url, token, connections }) {
  const sockets = [];
  for (let at = 0; at < connections; at += AT_ONCE) {
    const some = Array.from({ length: Math.min(AT_ONCE, connections - at) }, () => dial(url));
    sockets.push(...(await Promise.all(some)));
  }
  for (const [at, socket] of sockets.entries()) {
    socket.resume();
    if (at % 3 === 1) socket.write("GET /v1/status HTTP/1.1\r\nHost: ");
    if (at % 3 === 2) socket.write(head("GET", "/v1/auth/me", json(token)));
  }
  const open = sockets.filter(({ destroyed }) => !destroyed).length;
  const during = await fresh({ url, token });
  yield { what: `${open} connections; a new client took ${during.toFixed(1)} ms`, status: 503, isSlow: true };
  await wait(HOLD_MS / 4);
  sockets.forEach((socket) => socket.destroy());
  const after = await fresh({ url, token });
  yield { what: `a new client afterwards took ${after.toFixed(1)} ms`, status: 503, isSlow: true };
}
