// Open streams of a reader while forbidden content and rules change; returns everything that they receive.
import WebSocket from "ws";

const PATIENCE_MS = 30_000;
const LOOK_MS = 20;
const MINE = { by: { $var: "auth.account" } };
const RULES = { list: MINE, view: MINE, create: MINE, update: MINE, delete: MINE };

/** Server-sent events. */
function events(node, token, path) {
  const stream = { what: `events of ${path}`, text: "", end: new AbortController() };
  const headers = { Authorization: `Bearer ${token}` };
  const read = async () => {
    const response = await fetch(`${node.url}/v1/spaces/home/${path}`, { headers, signal: stream.end.signal });
    for await (const bytes of response.body) stream.text += Buffer.from(bytes).toString("utf8");
  };
  stream.read = read().catch((error) => {
    if (!stream.end.signal.aborted) stream.text += `broke off: ${error.message}`;
  });
  return { stream, close: () => stream.end.abort() };
}

/** A WebSocket that sends some messages. */
function socket(node, token, path, protocol, messages) {
  const stream = { what: `socket ${path}`, text: "" };
  const headers = { Authorization: `Bearer ${token}` };
  const opened = new WebSocket(`${node.url.replace("http", "ws")}${path}`, protocol, { headers });
  opened.on("open", () => messages.forEach((message) => opened.send(JSON.stringify(message))));
  opened.on("message", (bytes) => {
    stream.text += `${bytes}\n`;
    const { type, id } = JSON.parse(bytes);
    if (protocol === "cosmicsync.v1" && id) opened.send(JSON.stringify({ type: "credit", id, n: 1 }));
  });
  opened.on("error", (error) => (stream.text += `broke off: ${error.message}`));
  return { stream, close: () => opened.terminate() };
}

function opened(node, token) {
  const sub = (id, kind, more) => ({ type: "sub", id, kind, space: "home", ...more });
  const subscribe = (id, query) => ({ id, type: "subscribe", payload: { query: `subscription { ${query} }` } });
  return [
    events(node, token, "changes?feed=eventsource"),
    events(node, token, "changes?feed=eventsource&collection=mine"),
    events(node, token, "changes?feed=eventsource&collection=vault"),
    events(node, token, "collections/mine/live?sort=-n"),
    events(node, token, "collections/mine/live?limit=2&sort=-n"),
    events(node, token, "collections/vault/live"),
    socket(node, token, "/v1/ws", "cosmicsync.v1", [
      sub("feed", "feed", {}),
      sub("mine", "query", { collection: "mine", selector: { n: { $gt: 0 } }, sort: ["-n"] }),
      sub("first", "query", { collection: "mine", sort: ["-n"], limit: 1 }),
      sub("vault", "query", { collection: "vault" }),
      sub("other", "feed", { collection: "vault" }),
    ]),
    socket(node, token, "/v1/spaces/home/graphql", "graphql-transport-ws", [
      { type: "connection_init" },
      subscribe("1", "mine { _key _value }"),
      subscribe("2", "mine_stream { cursor changes { id key version doc { _value } } }"),
      subscribe("3", "vault { _key _value }"),
      subscribe("4", "open_stream { cursor changes { id key doc { _value } } }"),
      subscribe("5", "open { _key _value }"),
    ]),
  ];
}

async function until(holds, what) {
  const end = Date.now() + PATIENCE_MS;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`${what} did not come`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

let round = 0;

/** Resumes after earlier cursors: a stream that was cut must not receive more than one that stayed open. */
function resumed(node, token, cursor) {
  const sub = (id, kind, more) => ({
    type: "sub",
    id,
    kind,
    space: "home",
    collection: "mine",
    resume: cursor,
    ...more,
  });
  return [
    events(node, token, `changes?feed=eventsource&since=${cursor}`),
    events(node, token, `collections/mine/live?sort=-n&since=${cursor}`),
    events(node, token, `collections/mine/live?where=%7B%22n%22:1%7D&since=${cursor}`),
    socket(node, token, "/v1/ws", "cosmicsync.v1", [sub("feed", "feed"), sub("query", "query", { sort: ["-n"] })]),
    socket(node, token, "/v1/spaces/home/graphql", "graphql-transport-ws", [
      { type: "connection_init" },
      {
        id: "1",
        type: "subscribe",
        payload: { query: `subscription { mine_stream(since: "${cursor}") { changes { id key } } }` },
      },
      {
        id: "2",
        type: "subscribe",
        payload: { query: `subscription { open_stream(since: "${cursor}") { changes { id key doc { _value } } } }` },
      },
    ]),
  ];
}

/**
 * Follows with a token while much changes that the reader may not see. Ids of hidden documents are added to `ids`.
 */
export async function follow(node, token, ids) {
  const put = async (path, value, space = "home") => {
    const written = await node.api("PUT", `spaces/${space}/collections/${path}`, value);
    if (JSON.stringify(value).includes("canary-") && written?.id && value.by !== "ada") ids.add(written.id);
  };
  const { cursor } = await node.api("GET", "spaces/home/changes");
  const streams = opened(node, token);
  const texts = streams.map(({ stream }) => stream);
  // The streams of public content: once they have reported a mark, they have passed all changes before it.
  const open = [texts[0], texts[6], texts[7]];
  const mark = async () => {
    round += 1;
    const word = `mark-${round}-end`;
    const isIn = () => open.every(({ text }) => text.includes(word));
    // A stream that is not open yet begins after the mark; then another mark follows.
    const write = () => put("open/docs/mark", { by: "ada", n: 1, word });
    await write();
    await until(isIn, word);
  };
  const forbidden = (n) => ({ by: "bob", n: 7777777777, secret: `canary-${n}` });
  try {
    await until(() => open.every(({ text }) => text.includes("cursor")), "the beginning of a stream");
    await until(() => texts.every(({ text }) => text !== ""), "a first answer");
    await mark();
    for (const at of [1, 2, 3]) {
      await put("mine/docs/hidden", forbidden(at));
      await put(`mine/docs/canary-new-${round}-${at}`, forbidden(at));
      await put(`vault/docs/canary-new-${round}-${at}`, forbidden(at));
      await put(`canary-collection/docs/canary-${at}`, forbidden(at));
      await put("mine/docs/hidden", forbidden(at), "canary-space");
      await node.api("DELETE", `spaces/home/collections/mine/docs/canary-new-${round}-${at}`);
    }
    await put("mine/docs/own-1", { by: "ada", n: 10 + round, group: "a" });
    await mark();
    // A document that the reader loses must not be shown while it disappears, except for its id.
    await node.api("PUT", "spaces/home/collections/mine/docs/own-2", {
      by: "bob",
      n: 7777777777,
      secret: "canary-taken",
    });
    await mark();
    await put("mine/docs/own-2", { by: "ada", n: 2, group: "a" });
    const again = resumed(node, token, cursor);
    streams.push(...again);
    texts.push(...again.map(({ stream }) => stream));
    open.push(again[0].stream);
    await mark();
    await put("mine/rules", {});
    await put("mine/docs/own-3", { by: "ada", n: 7777777777, secret: "canary-locked" });
    await mark();
    await put("mine/docs/own-3", { by: "ada", n: 3, group: "a" });
    await put("mine/rules", RULES);
    await mark();
  } finally {
    for (const { close } of streams) close();
  }
  return texts;
}
