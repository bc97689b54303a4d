// Raw bytes on a connection, in forms that no client library sends.
import { connect } from "node:net";
import { once } from "node:events";

/** Longest wait for an answer, or for the end of the connection. */
const PATIENCE_MS = 90_000;

/** Opens a connection. */
export async function dial(url) {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

/** Sends bytes; returns the status and the text of the answer. Status 0: the connection was closed without one. */
export function exchange(url, bytes) {
  return new Promise((resolve) => {
    const { hostname, port } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port) });
    let text = "";
    const done = () => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ status: Number(/^HTTP\/1\.[01] (\d+)/.exec(text)?.[1] ?? 0), text });
    };
    const timer = setTimeout(() => {
      text = "HTTP/1.1 599 no answer and no end";
      done();
    }, PATIENCE_MS);
    socket.on("data", (piece) => {
      text += piece.toString("latin1");
      const head = text.indexOf("\r\n\r\n");
      const length = /content-length: (\d+)/i.exec(text);
      if (head >= 0 && (!length || text.length >= head + 4 + Number(length[1]))) done();
    });
    socket.on("error", done);
    socket.on("close", done);
    const write = async () => {
      for (const piece of Array.isArray(bytes) ? bytes : [bytes]) {
        if (socket.destroyed) return;
        if (!socket.write(piece)) await Promise.race([once(socket, "drain"), once(socket, "close")]).catch(() => {});
      }
    };
    socket.on("connect", () => write());
  });
}

/** Returns the head of a request. */
export function head(method, path, headers = {}) {
  const lines = Object.entries({ Host: "localhost", ...headers }).map(([name, value]) => `${name}: ${value}`);
  return `${method} ${path} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`;
}

const COLLECTION = "/v1/spaces/-/collections/honest";

/** The paths that are attacked. */
export const PLACES = { collection: COLLECTION, docs: `${COLLECTION}/docs`, doc: `${COLLECTION}/docs/victim` };

export const MEBIBYTE = 1 << 20;
export const LARGE = 100 * MEBIBYTE;
/** Number of levels of nested JSON. */
export const LEVELS = 100_000;

export const json = (token, more = {}) => ({
  Authorization: `Bearer ${token}`,
  "Content-Type": "application/json",
  ...more,
});

/** Returns a request with a body. */
export const post = (token, path, body) => [
  head("POST", path, json(token, { "Content-Length": Buffer.byteLength(body) })),
  body,
];
