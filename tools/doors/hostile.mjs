// Proves that the HTTP API withstands hostile clients: requests that are too large, malformed, too deep, too slow or
// too many are refused, the node stays up in bounded memory, and an honest client is served meanwhile.
//
// `node hostile.mjs --binary PATH [--only ATTACK] [--connections 10000]`
import { Worker } from "node:worker_threads";
import { once } from "node:events";
import { bodies, shapes } from "./hostile/bodies.mjs";
import { frames } from "./hostile/frames.mjs";
import { tricks } from "./hostile/heads.mjs";
import { queries } from "./hostile/queries.mjs";
import * as slow from "./hostile/slow.mjs";
import { Faults, figure, options, prove, say } from "./lib/figures.mjs";
import { wait } from "./lib/load.mjs";
import { withNode } from "./lib/node.mjs";

const settings = options({ only: { type: "string" }, connections: { type: "string", default: "10000" } });
/** Time for which the honest client is measured alone. */
const QUIET_MS = 15_000;
/** Least duration of an attack; a shorter one is repeated. */
const ATTACK_MS = 5_000;
const PACE_MS = 5;
const RSS_MS = 100;

const ATTACKS = {
  "large bodies": bodies,
  "malformed JSON": shapes,
  "paths and heads": tricks,
  "GraphQL bombs": queries,
  "frames of WebSockets": frames,
  "slow heads": slow.heads,
  "slow bodies": slow.bodies,
  "slow readers": slow.readers,
  "many connections": slow.many,
};

/** The honest client; `measured` returns the times since its last call. */
class Honest {
  constructor({ url, token }) {
    const workerData = { url, token, pace: PACE_MS };
    this.worker = new Worker(new URL("hostile/honest.mjs", import.meta.url), { workerData });
  }

  async measured() {
    const answer = once(this.worker, "message");
    this.worker.postMessage("measured");
    return (await answer)[0];
  }

  async end() {
    this.worker.postMessage("end");
    await once(this.worker, "exit");
  }
}

/**
 * Returns whether an answer is a refusal. For bytes that are not a request, so is a connection closed without an
 * answer.
 */
function isRefusal({ status, mayClose }) {
  return (status >= 400 && status < 500) || status === 503 || (status === 0 && mayClose === true);
}

async function fill(node) {
  await node.api("PUT", "spaces/-/collections/honest/docs/d0", { n: 0 });
  const pad = "x".repeat(20_000);
  const rows = Array.from({ length: 1000 }, (_, at) => JSON.stringify({ at, pad })).join("\n");
  const more = { headers: { "Content-Type": "application/x-ndjson" } };
  await node.api("POST", "spaces/-/collections/large/import?format=ndjson", rows, more);
}

async function attack(name, send, { node, honest, quiet, faults, target }) {
  say(name);
  let requests = 0;
  let closed = 0;
  await honest.measured();
  const end = Date.now() + ATTACK_MS;
  do {
    for await (const answer of send(target)) {
      requests += 1;
      if (answer.status === 0) closed += 1;
      if (answer.isSlow) say(answer.what);
      if (!isRefusal(answer)) faults.add("answers", `${name}: ${answer.what}: ${answer.status}`);
      if (!node.isUp) throw new Error(`the node ended: ${name}: ${answer.what}`);
      // A pause, so that the honest client is delayed by the node only, and not by this process on its core.
      await wait(PACE_MS);
    }
  } while (Date.now() < end);
  const { p99, count, errors } = await honest.measured();
  for (const error of errors) faults.add("honest", `${name}: ${error}`);
  figure(`${name}: p99 of an honest client, over the same in quiet`, p99 / quiet, count);
  say(
    `${requests} requests, ${closed} closed without an answer, honest p99 ${p99.toFixed(1)} ms, ` +
      `${Math.round(node.rss() / 1024)} MiB`,
  );
  return requests;
}

/** Room for all connections, so that they are accepted and held. */
const environment = { COSMICSYNC_HTTP__CONNECTIONS_MAX: String(Number(settings.connections) + 1000) };

await prove(() =>
  withNode(
    settings.binary,
    async (node) => {
      const faults = new Faults();
      await fill(node);
      const honest = new Honest(node);
      await wait(2_000);
      await honest.measured();
      await wait(QUIET_MS);
      const quiet = await honest.measured();
      figure("p99 of an honest client in quiet, ms", quiet.p99, quiet.count);
      const before = node.rss();
      let most = before;
      const looking = setInterval(() => (most = Math.max(most, node.isUp ? node.rss() : 0)), RSS_MS);
      const target = { url: node.url, token: node.token, connections: Number(settings.connections) };
      let requests = 0;
      for (const [name, send] of Object.entries(ATTACKS)) {
        if (settings.only && !name.includes(settings.only)) continue;
        requests += await attack(name, send, { node, honest, quiet: quiet.p99, faults, target });
      }
      clearInterval(looking);
      await honest.end();
      figure("answers that are no refusals", faults.count("answers"), requests);
      figure("errors of an honest client", faults.count("honest"), requests);
      figure("memory before, MiB", before / 1024);
      figure("memory at most, MiB", most / 1024, requests);
      const { status } = await node.ask("GET", "/v1/status");
      figure("the node answers afterwards", status === 200 ? 1 : 0);
    },
    { environment },
  ),
);
