// Mixed load on a node: typical operations of programs on documents, over 64 connections, with open streams beside.
import { readFileSync } from "node:fs";
import { figure, say } from "../lib/figures.mjs";
import { Client, wait } from "../lib/load.mjs";
import { random } from "../lib/random.mjs";
import { drive } from "./drive.mjs";

const C = "/v1/spaces/-/collections/towns";
export const CONNECTIONS = 64;
/** Number of requests per second, over all connections. */
export const RATE = 200;
const STATES = 50;
/** Number of open streams. */
const STREAMS = 8;
const SAMPLE_MS = 1000;
const SAMPLES_TOLD = 20;
const WARM_WRITES = 15_000;
const WARM_SOCKETS = 16;

/** Returns a document of the load. */
export function town(at) {
  return {
    zip: String(at).padStart(5, "0"),
    city: `city ${at % 997}`,
    state: `S${at % STATES}`,
    pop: (at * 7919) % 100_000,
  };
}

export const key = (at) => `t${at}`;

/** Stores the documents and their indexes. */
export async function fill(node, documents) {
  const rows = Array.from({ length: documents }, (_, at) => JSON.stringify({ key: key(at), ...town(at) })).join("\n");
  const more = { headers: { "Content-Type": "application/x-ndjson" } };
  await node.api("POST", "spaces/-/collections/towns/import?format=ndjson&id=key", rows, more);
  for (const [name, fields] of Object.entries({ by_zip: ["zip"], by_state: ["state", "pop"] })) {
    await node.api("PUT", `spaces/-/collections/towns/indexes/${name}`, { fields });
  }
  for (;;) {
    const { indexes } = await node.api("GET", "spaces/-/collections/towns/indexes");
    if (indexes.every(({ state }) => state === "ready")) return;
    await wait(200);
  }
}

const post = (path, body) => ({ method: "POST", path: `${C}/${path}`, body: JSON.stringify(body) });

/** The operations, each with its relative frequency. */
export function operations(documents) {
  const some = ({ dice }) => dice.below(documents);
  const state = ({ dice }) => `S${dice.below(STATES)}`;
  const cursors = new Map();
  return [
    { name: "read one", weight: 30, make: (at) => ({ method: "GET", path: `${C}/docs/${key(some(at))}` }) },
    { name: "list a page", weight: 8, make: () => ({ method: "GET", path: `${C}/docs?limit=50` }) },
    {
      name: "query by an indexed field",
      weight: 20,
      make: (at) => post("find", { selector: { zip: town(some(at)).zip }, limit: 1 }),
    },
    {
      name: "query a range in the order of an index",
      weight: 8,
      make: (at) =>
        post("find", { selector: { state: state(at), pop: { $gt: 50_000 } }, sort: ["state", "pop"], limit: 20 }),
    },
    { name: "count by an indexed field", weight: 4, make: (at) => post("count", { selector: { state: state(at) } }) },
    {
      name: "replace one",
      weight: 10,
      make: (at) => {
        const number = some(at);
        const body = JSON.stringify({ key: key(number), ...town(number), seen: at.count });
        return { method: "PUT", path: `${C}/docs/${key(number)}`, body };
      },
    },
    {
      name: "patch one",
      weight: 6,
      make: (at) => ({
        method: "PATCH",
        path: `${C}/docs/${key(some(at))}`,
        body: JSON.stringify({ seen: at.count }),
        headers: { "Content-Type": "application/merge-patch+json" },
      }),
    },
    { name: "create one", weight: 4, make: (at) => post("docs", town(documents + at.count)) },
    {
      name: "read changes",
      weight: 10,
      make: ({ at }) => ({
        method: "GET",
        path: `/v1/spaces/-/changes?limit=100${cursors.has(at) ? `&since=${cursors.get(at)}` : ""}`,
        done: (text) => cursors.set(at, JSON.parse(text).cursor),
      }),
    },
  ];
}

/** Opens streams of events and counts the received events. */
function streams(node) {
  const end = new AbortController();
  const told = { events: 0, errors: [] };
  for (let at = 0; at < STREAMS; at += 1) {
    const path = at % 2 ? "changes?feed=eventsource" : "collections/towns/live?where=%7B%22state%22%3A%22S1%22%7D";
    const headers = { Authorization: `Bearer ${node.token}` };
    const read = async () => {
      const response = await fetch(`${node.url}/v1/spaces/-/${path}`, { headers, signal: end.signal });
      if (!response.ok) throw new Error(`${response.status}`);
      for await (const _ of response.body) told.events += 1;
      throw new Error("it ended");
    };
    read().catch((error) => end.signal.aborted || told.errors.push(`a stream: ${error.message}`));
  }
  return { told, close: () => end.abort() };
}

/** Returns the memory of a process by kind, in KiB: its own memory, and the mapped part of its store. */
function memory(pid) {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  const of = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)[1]);
  return { all: of("VmRSS"), own: of("RssAnon") };
}

/** Returns the slope of a line through samples, in units per minute. */
function slope(samples) {
  const n = samples.length;
  const [x, y] = [0, 1].map((at) => samples.reduce((sum, one) => sum + one[at], 0) / n);
  const over = samples.reduce((sum, one) => sum + (one[0] - x) * (one[1] - y), 0);
  const under = samples.reduce((sum, one) => sum + (one[0] - x) ** 2, 0);
  return under === 0 ? 0 : over / under;
}

/** Writes until the node's limited cache of recent entries is full, so that memory can be constant from then on. */
async function settle(node, documents) {
  say(`${WARM_WRITES} writes before`);
  const client = new Client(node.url, { token: node.token, sockets: WARM_SOCKETS });
  const replace = operations(documents).find(({ name }) => name === "replace one");
  const dice = random(2);
  let left = WARM_WRITES;
  const write = async () => {
    while (left > 0) {
      left -= 1;
      const { method, path, body } = replace.make({ dice, count: left });
      const { status } = await client.send(method, path, body);
      if (status >= 400) throw new Error(`${method} ${path}: ${status}`);
    }
  };
  await Promise.all(Array.from({ length: WARM_SOCKETS }, write));
  client.close();
}

export async function mixed(node, faults, { seconds, documents }) {
  await settle(node, documents);
  say(`${CONNECTIONS} connections, ${RATE} requests a second, for ${seconds} s`);
  const open = streams(node);
  const samples = [];
  const begun = Date.now();
  const look = () => {
    const now = { minutes: (Date.now() - begun) / 60_000, ...memory(node.process.pid) };
    samples.push(now);
    if (samples.length % SAMPLES_TOLD === 0) say(`${now.all} KiB, ${now.own} KiB of its own`);
  };
  const looking = setInterval(look, SAMPLE_MS);
  const warm = Math.min(60, seconds / 5);
  const load = { url: node.url, token: node.token, operations: operations(documents) };
  const { measured, busy, late } = await drive({ ...load, connections: CONNECTIONS, rate: RATE, seconds, warm });
  clearInterval(looking);
  open.close();
  let all = 0;
  let bytes = 0;
  for (const [name, { histogram, errors, bytes: most }] of measured) {
    figure(`${name}: p99, ms`, histogram.quantile(0.99), histogram.count);
    all += histogram.count;
    bytes = Math.max(bytes, most);
    for (const error of errors) faults.add("errors", error);
  }
  for (const error of open.told.errors) faults.add("errors", error);
  figure("errors under mixed load", faults.count("errors"), all);
  figure("largest body under mixed load, KiB", bytes / 1024, all);
  figure("events of streams under mixed load", open.told.events, open.told.events);
  // The second half: memory that is still held then is held for good.
  const later = samples.filter(({ minutes }) => minutes * 120 > seconds);
  const line = (kind) => slope(later.map((sample) => [sample.minutes, sample[kind]]));
  figure("memory under mixed load, MiB", later.at(-1).all / 1024, later.length);
  figure("memory of its own under mixed load, MiB", later.at(-1).own / 1024, later.length);
  figure("growth of memory, with pages of the store, KiB a minute", line("all"), later.length);
  figure("growth of memory of its own, KiB a minute", line("own"), later.length);
  figure("part of a core that the generator was busy", busy);
  say(`timers of the generator were ${late.toFixed(2)} ms late at p99`);
}
