// Runs the same operations on a node, on PocketBase and on express-pouchdb, one server after the other, on the same
// machine and at the same pace; compares their times.
import { execFile } from "node:child_process";
import { mkdirSync } from "node:fs";
import { createServer } from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import { promisify } from "node:util";
import { figure, say } from "../lib/figures.mjs";
import { Client } from "../lib/load.mjs";
import { ended, started } from "../lib/node.mjs";
import { drive } from "./drive.mjs";
import { fill, key, town } from "./mixed.mjs";

const execute = promisify(execFile);
const HERE = new URL("..", import.meta.url).pathname;
const DOCUMENTS = 5000;
const CONNECTIONS = 16;
const RATE = 100;
const BATCH = 50;

/** Returns a free port. */
async function port() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

async function json(client, method, path, body) {
  const { status, text } = await client.send(method, path, body && JSON.stringify(body), { isText: true });
  if (status >= 300) throw new Error(`${method} ${path}: ${status} ${text}`);
  return text && JSON.parse(text);
}

const get = (path) => ({ method: "GET", path });
const post = (path, body) => ({ method: "POST", path, body: JSON.stringify(body) });

/** The four operations that all servers have. */
function operations({ read, create, list, query }) {
  const some = ({ dice }) => dice.below(DOCUMENTS);
  const fresh = ({ at, count }) => town(1_000_000 + at * 100_000 + count);
  return [
    { name: "read one", weight: 1, make: (at) => read(some(at)) },
    { name: "create one", weight: 1, make: (at) => create(fresh(at)) },
    { name: "list a page", weight: 1, make: list },
    { name: "query by an indexed field", weight: 1, make: (at) => query(town(some(at)).zip) },
  ];
}

async function ours(node) {
  await fill(node, DOCUMENTS);
  const c = "/v1/spaces/-/collections/towns";
  const make = {
    read: (at) => get(`${c}/docs/${key(at)}`),
    create: (doc) => post(`${c}/docs`, doc),
    list: () => get(`${c}/docs?limit=50`),
    query: (zip) => post(`${c}/find`, { selector: { zip }, limit: 1 }),
  };
  return { url: node.url, token: node.token, operations: operations(make), close: async () => {} };
}

async function pocketBase({ folder }, python) {
  const program = join(python, "../pocketbase");
  const dir = join(folder, "pocketbase");
  const address = `127.0.0.1:${await port()}`;
  const account = { identity: "doors@example.com", password: "a long password" };
  await execute(program, ["superuser", "upsert", account.identity, account.password, "--dir", dir]);
  const words = ["serve", "--http", address, "--dir", dir];
  const { child } = await started(program, words, {}, /Server started at/, join(folder, "pocketbase.log"));
  const url = `http://${address}`;
  const guest = new Client(url);
  const { token } = await json(guest, "POST", "/api/collections/_superusers/auth-with-password", account);
  guest.close();
  const client = new Client(url, { token });
  const text = (name) => ({ name, type: "text" });
  const fields = [text("key"), text("zip"), text("city"), text("state"), { name: "pop", type: "number" }];
  const indexes = ["CREATE INDEX by_zip ON towns (zip)"];
  await json(client, "POST", "/api/collections", { name: "towns", type: "base", fields, indexes });
  await json(client, "PATCH", "/api/settings", { batch: { enabled: true, maxRequests: BATCH, timeout: 10 } });
  const c = "/api/collections/towns/records";
  const ids = [];
  for (let at = 0; at < DOCUMENTS; at += BATCH) {
    const one = (_, more) => ({ method: "POST", url: c, body: { key: key(at + more), ...town(at + more) } });
    const made = await json(client, "POST", "/api/batch", { requests: Array.from({ length: BATCH }, one) });
    ids.push(...made.map(({ body }) => body.id));
  }
  client.close();
  const make = {
    read: (at) => get(`${c}/${ids[at]}`),
    create: (doc) => post(c, doc),
    list: () => get(`${c}?perPage=50&skipTotal=1`),
    query: (zip) => get(`${c}?perPage=1&skipTotal=1&filter=${encodeURIComponent(`zip='${zip}'`)}`),
  };
  return { url, token, operations: operations(make), close: () => ended(child) };
}

async function pouch({ folder }) {
  const data = join(folder, "pouch");
  mkdirSync(data);
  const words = [join(HERE, "peers/pouch.mjs"), data];
  const { child, found } = await started(process.execPath, words, {}, /^(http:\S+)$/m, join(folder, "pouch.log"));
  const url = found[1];
  const client = new Client(url);
  await json(client, "PUT", "/towns");
  for (let at = 0; at < DOCUMENTS; at += BATCH) {
    const docs = Array.from({ length: BATCH }, (_, more) => ({ _id: key(at + more), ...town(at + more) }));
    await json(client, "POST", "/towns/_bulk_docs", { docs });
  }
  await json(client, "POST", "/towns/_index", { index: { fields: ["zip"] }, name: "by_zip" });
  // The first query builds the index.
  await json(client, "POST", "/towns/_find", { selector: { zip: town(0).zip } });
  client.close();
  const make = {
    read: (at) => get(`/towns/${key(at)}`),
    create: (doc) => post("/towns", doc),
    list: () => get("/towns/_all_docs?include_docs=true&limit=50"),
    query: (zip) => post("/towns/_find", { selector: { zip }, limit: 1 }),
  };
  return { url, operations: operations(make), close: () => ended(child) };
}

const SERVERS = { CosmicSync: ours, PocketBase: pocketBase, "express-pouchdb": pouch };

export async function beside(node, faults, { python, seconds }) {
  const times = new Map();
  for (const [name, start] of Object.entries(SERVERS)) {
    say(`${name}: ${DOCUMENTS} documents, ${CONNECTIONS} connections, ${RATE} requests a second, for ${seconds} s`);
    const server = await start(node, python);
    const { url, token, operations: asked } = server;
    const load = { url, token, operations: asked, connections: CONNECTIONS, rate: RATE, seconds, warm: seconds / 5 };
    const { measured } = await drive(load);
    await server.close();
    for (const [operation, { histogram, errors }] of measured) {
      for (const error of errors) faults.add("beside", `${name}: ${error}`);
      for (const [quantile, part] of [
        ["p50", 0.5],
        ["p99", 0.99],
      ]) {
        const time = histogram.quantile(part);
        times.set(`${name} ${operation} ${quantile}`, time);
        figure(`beside: ${name}: ${operation}: ${quantile}, ms`, time, histogram.count);
        if (name === "CosmicSync") continue;
        const mine = times.get(`CosmicSync ${operation} ${quantile}`);
        figure(`beside: ${operation}: ${quantile} over that of ${name}`, mine / time, histogram.count);
      }
    }
  }
  figure("errors beside servers of others", faults.count("beside"));
}
