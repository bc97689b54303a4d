// Standard clients that follow changes over a connection that breaks. `eventsource` and `graphql-ws` reconnect by
// themselves; the socket of `ws` is opened again with the last cursor.
import { EventSource } from "eventsource";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { Answer, Feed, differences } from "./follow.mjs";

const PATH = "/v1/spaces/-";
/** Number of messages after which a subscription gets new credit. */
const CREDIT = 8;

/** Server-sent events: a feed, or a live query of a group. */
export function eventSource({ host, token, cursor, group }) {
  const follower = group === undefined ? new Feed(cursor) : new Answer(group);
  const query = new URLSearchParams(
    group === undefined
      ? { feed: "eventsource", collection: "ledger", since: cursor }
      : { where: JSON.stringify({ group }), sort: "-n" },
  );
  const path = group === undefined ? "changes" : "collections/ledger/live";
  const source = new EventSource(`http://${host}${PATH}/${path}?${query}`, {
    fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, Authorization: `Bearer ${token}` } }),
  });
  const problems = [];
  source.addEventListener("open", () => follower.resumed?.());
  source.addEventListener("change", ({ data }) => follower.change(JSON.parse(data)));
  for (const name of ["ready", "batch"]) {
    if (group !== undefined) source.addEventListener(name, ({ data }) => follower.batch(name, JSON.parse(data)));
  }
  for (const name of ["gap", "problem"]) source.addEventListener(name, ({ data }) => problems.push(`${name} ${data}`));
  source.addEventListener("error", ({ code, message }) => {
    if (code !== undefined && code !== 200) problems.push(`${code} ${message}`);
  });
  return { followers: [follower], problems, close: () => source.close() };
}

/** Our WebSocket: a feed and a live query over one connection. */
export function webSocket({ host, token, cursor, group, says }) {
  const feed = new Feed(cursor);
  const answer = new Answer(group);
  const problems = [];
  let socket;
  let isOver = false;
  const open = () => {
    const headers = says ? {} : { Authorization: `Bearer ${token}` };
    socket = new WebSocket(`ws://${host}/v1/ws`, "cosmicsync.v1", { headers });
    const taken = { feed: 0, query: 0 };
    const send = (message) => socket.send(JSON.stringify(message));
    socket.on("open", () => {
      if (says) send({ type: "auth", token });
      send({ type: "sub", id: "feed", kind: "feed", collection: "ledger", resume: feed.cursor });
      const query = { selector: { group }, sort: ["-n"] };
      answer.resumed();
      send({ type: "sub", id: "query", kind: "query", collection: "ledger", ...query, resume: answer.cursor });
    });
    socket.on("message", (bytes) => {
      const { type, id, ...message } = JSON.parse(bytes);
      if (type === "change") feed.change(message.change);
      else if (id === "query" && (type === "ready" || type === "batch")) answer.batch(type, message);
      else problems.push(`${type} ${JSON.stringify(message)}`);
      taken[id] += 1;
      if (taken[id] % CREDIT === 0) send({ type: "credit", id, n: CREDIT });
    });
    socket.on("error", () => {});
    socket.on("close", (code, reason) => {
      if (code !== 1006) problems.push(`closed with ${code} ${reason}`);
      if (!isOver) setImmediate(open);
    });
  };
  open();
  const close = () => {
    isOver = true;
    socket.terminate();
  };
  return { followers: [feed, answer], problems, close };
}

/** The answers of a GraphQL subscription. It has no cursor, so it begins again with the whole answer. */
class Whole {
  constructor(writer) {
    Object.assign(this, { writer, known: new Map(), acknowledged: new Map(), changes: 0, twice: 0, stale: 0 });
  }

  /** Handles a reconnection. Everything acknowledged so far must be in the next answer. */
  connected() {
    this.acknowledged = new Map(this.writer.counters);
  }

  next(docs) {
    this.changes += 1;
    this.known = new Map(docs.map(({ _key, n }) => [_key, { n }]));
    for (const [key, { n }] of this.acknowledged) if (!(this.known.get(key)?.n >= n)) this.stale += 1;
    this.acknowledged = new Map();
    if (this.known.size !== docs.length) this.twice += 1;
  }

  lost() {
    return differences(this.known, this.writer.counters) + this.stale;
  }
}

const STATE = "subscription { counters(order_by: [{n: desc}], limit: 1000) { _key n } }";
const STREAM =
  "subscription Stream($since: String) { ledger_stream(since: $since) { cursor changes " +
  "{ id key version deleted doc { n group } } } }";

/** GraphQL: a live query, to which `graphql-ws` subscribes again, and the feed, which gets its cursor. */
export function graphql({ host, token, cursor, writer }) {
  const whole = new Whole(writer);
  const feed = new Feed(cursor);
  const problems = [];
  let isOver = false;
  const settings = { url: `ws://${host}/graphql`, webSocketImpl: WebSocket, connectionParams: { token } };
  const again = { retryAttempts: Infinity, retryWait: async () => {}, shouldRetry: () => !isOver };
  const client = createClient({ ...settings, ...again, on: { connected: () => whole.connected() } });
  const told = (errors) => {
    if (Array.isArray(errors)) problems.push(JSON.stringify(errors));
  };
  const sink = (next) => ({
    next: ({ data, errors }) => (data ? next(data) : told(errors)),
    error: told,
    complete() {},
  });
  client.subscribe(
    { query: STATE },
    sink((data) => whole.next(data.counters)),
  );

  const once = createClient({ ...settings, retryAttempts: 0 });
  const take = ({ ledger_stream: { cursor, changes } }) => {
    feed.cursor = cursor;
    for (const change of changes) feed.change({ ...change, cursor, value: change.doc });
  };
  const follow = async () => {
    while (!isOver) {
      const request = { query: STREAM, variables: { since: feed.cursor } };
      await new Promise((resolve) => {
        once.subscribe(request, { ...sink(take), complete: resolve, error: (error) => (told(error), resolve()) });
      });
    }
  };
  follow();
  const close = () => {
    isOver = true;
    client.terminate();
    once.terminate();
    return Promise.all([client.dispose(), once.dispose()]);
  };
  return { followers: [whole, feed], problems, close };
}
