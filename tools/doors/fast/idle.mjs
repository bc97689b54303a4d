// A thousand open WebSockets that send only pings.
import { once } from "node:events";
import WebSocket from "ws";
import { figure, say } from "../lib/figures.mjs";
import { wait } from "../lib/load.mjs";

const SOCKETS = 1000;
const AT_ONCE = 50;
/** Largest growth of memory between two measurements that counts as steady. */
const STEADY_KIB = 256;
const LOOK_MS = 1000;
const LOOKS_MAX = 30;

/** Waits until memory is steady, and returns it. */
async function steady(node) {
  let before = node.rss();
  for (let look = 0; look < LOOKS_MAX; look += 1) {
    await wait(LOOK_MS);
    const now = node.rss();
    if (Math.abs(now - before) <= STEADY_KIB) return now;
    before = now;
  }
  return before;
}

/** Opens a WebSocket, and waits until a ping is answered. */
async function opened(node) {
  const url = `${node.url.replace("http", "ws")}/v1/ws`;
  const headers = { Authorization: `Bearer ${node.token}` };
  const socket = new WebSocket(url, "cosmicsync.v1", { headers, perMessageDeflate: false });
  await once(socket, "open");
  socket.send('{"type":"ping"}');
  await once(socket, "message");
  return socket;
}

export async function idle(node, faults) {
  say(`${SOCKETS} idle WebSockets`);
  const before = await steady(node);
  const sockets = [];
  for (let at = 0; at < SOCKETS; at += AT_ONCE) {
    const some = await Promise.allSettled(Array.from({ length: AT_ONCE }, () => opened(node)));
    for (const { value, reason } of some) {
      if (value) sockets.push(value);
      else faults.add("sockets", reason.message);
    }
  }
  const after = await steady(node);
  figure("idle WebSockets that are open", sockets.filter(({ readyState }) => readyState === WebSocket.OPEN).length);
  figure("memory for idle WebSockets, MiB", (after - before) / 1024, sockets.length);
  sockets.forEach((socket) => socket.terminate());
}
