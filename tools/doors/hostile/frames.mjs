// WebSocket frames and messages that are too large, malformed or too many. Each attack yields its description and the
// status of the answer: 0 if the connection was closed instead.
import WebSocket from "ws";
import { LARGE, LEVELS } from "./raw.mjs";

/** Sends messages on a WebSocket and returns the close code; 400 stands for an error message. */
function said(url, path, protocol, token, work) {
  return new Promise((resolve) => {
    const headers = { Authorization: `Bearer ${token}` };
    const socket = new WebSocket(`${url.replace("http", "ws")}${path}`, protocol, { headers });
    const told = (status) => {
      clearTimeout(timer);
      socket.terminate();
      resolve(status);
    };
    const timer = setTimeout(() => told(599), 60_000);
    socket.on("open", () => work(socket));
    socket.on("message", (bytes) => String(bytes).includes('"error"') && told(400));
    socket.on("close", () => told(0));
    socket.on("error", () => {});
  });
}

/** WebSocket frames and messages that are too large, malformed or too many. */
export async function* frames({ url, token }) {
  const doors = [
    ["/v1/ws", "cosmicsync.v1"],
    ["/graphql", "graphql-transport-ws"],
  ];
  const works = {
    "a frame of 100 MB": (socket) => socket.send("a".repeat(LARGE)),
    "no text": (socket) => socket.send(Buffer.from([1, 2, 3])),
    "a text that is none": (socket) => socket.send(Buffer.from([0xff, 0xfe]), { binary: false }),
    "no JSON": (socket) => socket.send("{"),
    "deep JSON": (socket) => socket.send("[".repeat(LEVELS)),
    "a message in 100,000 frames": (socket) => {
      for (let at = 0; at < 100_000; at += 1) socket.send("a".repeat(20), { fin: at === 99_999 });
    },
    "a frame without a mask": (socket) => socket._socket.write(Buffer.from([0x81, 0x01, 0x61])),
    "a frame that says that it has 2^63 bytes": (socket) =>
      socket._socket.write(Buffer.from("81ff8000000000000000aaaaaaaa", "hex")),
    "reserved bits": (socket) => socket._socket.write(Buffer.from("f18100000000ff", "hex")),
    "200 subscriptions": (socket) => {
      for (let at = 0; at < 200; at += 1) {
        socket.send(
          JSON.stringify(
            socket.protocol === "cosmicsync.v1"
              ? { type: "sub", id: `a${at}`, kind: "feed" }
              : at === 0
                ? { type: "connection_init" }
                : { type: "subscribe", id: `a${at}`, payload: { query: "subscription { honest { _id } }" } },
          ),
        );
      }
    },
    "a credit beyond all numbers": (socket) => socket.send('{"type":"credit","id":"a","n":1e99}'),
  };
  for (const [path, protocol] of doors) {
    for (const [what, work] of Object.entries(works)) {
      const status = await said(url, path, protocol, token, work);
      yield { what: `${path}: ${what}`, status, mayClose: true };
    }
  }
}
