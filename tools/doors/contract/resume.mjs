// Disconnects clients that follow changes 100 times each way, at points that a seed determines, while writers write.
// Each client resumes: nothing may be lost, and nothing may come twice.
import { figure, say } from "../lib/figures.mjs";
import { random } from "../lib/random.mjs";
import { eventSource, graphql, webSocket } from "./clients.mjs";
import { cutter } from "./cutter.mjs";
import { Writer } from "./writer.mjs";

/** Number of clients of each kind that share the cuts. */
const CLIENTS = 4;
/** Largest number of bytes before a connection is cut. */
const BUDGET = 12_000;
/** Longest time for all cuts, and for the clients to catch up. */
const PATIENCE_MS = 300_000;
const LOOK_MS = 100;

/** Waits until a condition holds; returns false if it did not in time. */
async function until(holds, patience = PATIENCE_MS) {
  const end = Date.now() + patience;
  while (!holds()) {
    if (Date.now() > end) return false;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  return true;
}

const KINDS = {
  "server-sent events": (at, more) => eventSource({ ...more, group: at % 2 ? at : undefined }),
  WebSocket: (at, more) => webSocket({ ...more, group: at, says: at % 2 === 1 }),
  "GraphQL subscriptions": (_, more) => graphql(more),
};

export async function resume(node, faults, { cuts, seed }) {
  const { below } = random(seed);
  const writer = new Writer(node, seed);
  await writer.prepare();
  const { cursor } = await node.api("GET", "spaces/-/changes");
  const clients = [];
  for (const [kind, make] of Object.entries(KINDS)) {
    for (let at = 0; at < CLIENTS; at += 1) {
      const budgets = Array.from({ length: Math.ceil((cuts - at) / CLIENTS) }, () => 1 + below(BUDGET));
      const way = await cutter(node.url, budgets);
      const client = make(at, { host: way.host, token: node.token, cursor, writer });
      clients.push({ kind, way, ...client });
    }
  }
  say(`${clients.length} clients are cut ${cuts} times for each of ${Object.keys(KINDS).length} kinds`);
  writer.start();
  const isCut = until(() => clients.every(({ way }) => way.state.isDone));
  if (!(await Promise.race([isCut, writer.failed]))) faults.add("cuts", "not all were made in time");
  await writer.stop();
  say(`${writer.writes} writes`);
  const followers = clients.flatMap((client) => client.followers);
  await until(() => followers.every((follower) => follower.lost(writer.ledger) === 0), 60_000);
  for (const kind of Object.keys(KINDS)) {
    const ours = clients.filter((client) => client.kind === kind);
    const sum = (of) => ours.flatMap(of).reduce((sum, one) => sum + one, 0);
    const changes = sum(({ followers }) => followers.map((one) => one.changes));
    const made = sum(({ way }) => way.state.cuts);
    figure(`${kind}: cuts`, made, made);
    figure(
      `${kind}: lost`,
      sum(({ followers }) => followers.map((one) => one.lost(writer.ledger))),
      changes,
    );
    figure(
      `${kind}: twice`,
      sum(({ followers }) => followers.map((one) => one.twice)),
      changes,
    );
    figure(
      `${kind}: versions told again`,
      sum(({ followers }) => followers.map((one) => one.again ?? 0)),
      changes,
    );
    const problems = ours.flatMap((client) => client.problems);
    for (const problem of problems) faults.add(kind, problem);
    figure(`${kind}: problems`, problems.length, changes);
  }
  for (const { way, close } of clients) {
    await close();
    way.close();
  }
}
