// Opens the WebSockets as every role, with a token in every state, sent in the header and in the first message;
// compares the results with the policy.
import WebSocket from "ws";
import { say } from "../lib/figures.mjs";
import { NEEDS, STATES, expected } from "./policy.mjs";
import { prepared } from "./table.mjs";

const PATIENCE_MS = 20_000;
/** The permission to read the documents of a collection. */
const READ = { need: "read" };

/** For both protocols: the first messages, the message that shows success, and the refusal. */
const PROTOCOLS = {
  "cosmicsync.v1": {
    path: "/v1/ws",
    introduced: (token) => ({ type: "auth", token: token ?? "" }),
    wanted: { type: "sub", id: "1", kind: "query", space: "home", collection: "open" },
    isServed: ({ type }) => type === "ready",
    strangers: [4401],
  },
  "graphql-transport-ws": {
    path: "/v1/spaces/home/graphql",
    introduced: (token) => ({ type: "connection_init", payload: token ? { token } : {} }),
    // The token may be in the header, but the protocol begins with this message anyway.
    alwaysIntroduced: true,
    wanted: { type: "subscribe", id: "1", payload: { query: "subscription { open { _id } }" } },
    isServed: ({ type }) => type === "next",
    strangers: [4401, 4403],
  },
};

/** Opens a socket; returns 200 if it is served, 403 or 404 for an error message, else the close code. */
function outcome(node, protocol, token, isInHeader) {
  const { path, introduced, alwaysIntroduced, wanted, isServed } = PROTOCOLS[protocol];
  return new Promise((resolve) => {
    const headers = isInHeader && token ? { Authorization: `Bearer ${token}` } : {};
    const socket = new WebSocket(`${node.url.replace("http", "ws")}${path}`, protocol, { headers });
    const end = (code) => {
      clearTimeout(timer);
      socket.terminate();
      resolve(code);
    };
    const timer = setTimeout(() => end(0), PATIENCE_MS);
    const send = (message) => socket.send(JSON.stringify(message));
    socket.on("open", () => {
      if (alwaysIntroduced || !isInHeader) send(introduced(isInHeader ? undefined : token));
      if (!alwaysIntroduced) send(wanted);
    });
    socket.on("message", (bytes) => {
      const message = JSON.parse(bytes);
      if (message.type === "connection_ack") send(wanted);
      else if (message.type === "error") end(String(bytes).includes('"not_found"') ? 404 : 403);
      else if (isServed(message)) end(200);
    });
    socket.on("unexpected-response", (_, { statusCode }) => end(statusCode));
    socket.on("close", (code) => end(code));
    socket.on("error", () => {});
  });
}

export async function sockets(node, faults) {
  const all = await prepared(node);
  let cells = 0;
  for (const [protocol, { strangers }] of Object.entries(PROTOCOLS)) {
    for (const role of Object.keys(NEEDS)) {
      for (const state of Object.keys(STATES)) {
        for (const isInHeader of [true, false]) {
          cells += 1;
          const token = all[role][state];
          const policy = expected(READ, role, state);
          const codes = policy[0] !== 401 ? policy : isInHeader && token ? [401] : strangers;
          const got = await outcome(node, protocol, token, isInHeader);
          if (codes.includes(got)) continue;
          const where = isInHeader ? "header" : "first message";
          faults.add("sockets", `${protocol} as ${role}, token ${state} in the ${where}: ${got}, not ${codes}`);
        }
      }
    }
  }
  say(`${cells} sockets`);
  return cells;
}
