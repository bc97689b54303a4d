// Sends every operation of the description as every role, with a token in every state; compares each answer with the
// policy.
import { say } from "../lib/figures.mjs";
import { NEEDS, OPEN, OPERATIONS, OTHERS, STATES, expected } from "./policy.mjs";

const OPEN_RULES = { list: {}, view: {}, create: {}, update: {}, delete: {} };
const VALUE = { n: 1 };
/** Lifetime of the token that is to be expired, in milliseconds. */
const EXPIRES_MS = 1;

/** Creates one token for each role and state. */
async function tokens(node) {
  const make = async (name, role, more = {}) => {
    const account = role === "owner" && !more.account ? {} : { account: more.account ?? role };
    return (await node.api("POST", "tokens", { name, ...account, ...more })).secret;
  };
  const all = {};
  for (const role of Object.keys(NEEDS)) {
    if (role !== "owner") await node.api("POST", "accounts", { name: role, role });
    const good = await make(`${role} good`, role);
    const revoked = await make(`${role} revoked`, role);
    await node.api("DELETE", `tokens/${encodeURIComponent(`${role} revoked`)}`);
    await node.api("POST", "accounts", { name: `${role}-gone`, role });
    const deleted = await make(`${role} gone`, role, { account: `${role}-gone` });
    await node.api("DELETE", `accounts/${role}-gone`);
    all[role] = {
      good,
      none: undefined,
      forged: good.replace(/.$/, (last) => (last === "A" ? "B" : "A")),
      expired: await make(`${role} expired`, role, { expiresMs: EXPIRES_MS }),
      revoked,
      "of a deleted account": deleted,
      "for reading": await make(`${role} reading`, role, { readOnly: true }),
      "for another collection": await make(`${role} collection`, role, { only: [{ collection: "elsewhere" }] }),
      "for another space": await make(`${role} space`, role, { only: [{ space: "away" }] }),
    };
  }
  return all;
}

/** Creates the objects that a request needs, and returns their names. */
class Ground {
  constructor(node) {
    Object.assign(this, { node, count: 0 });
  }

  async prepare({ before, values = {} }, fresh) {
    const names = { space: "home", collection: "open", key: fresh, name: fresh, new: fresh, ...values };
    const { node } = this;
    const at = (rest, collection = names.collection) => `spaces/home/collections/${collection}${rest}`;
    const doc = async () => (await node.api("PUT", at(`/docs/${fresh}`), VALUE)).version;
    if (before === "doc") await doc();
    if (before === "version") names.version = await doc();
    if (before === "deleted") {
      await doc();
      await node.api("DELETE", at(`/docs/${fresh}`));
    }
    if (["collection", "index", "schema"].includes(before)) {
      names.collection = `c${fresh}`;
      await node.api("PUT", at("/rules"), OPEN_RULES);
    }
    if (before === "index") await node.api("PUT", at(`/indexes/${fresh}`), { fields: ["n"] });
    if (before === "schema") await node.api("PUT", at("/schema"), { properties: { n: { type: "integer" } } });
    if (before === "account") await node.api("POST", "accounts", { name: fresh, role: "viewer" });
    if (before === "owner") await node.api("POST", "accounts", { name: fresh, role: "owner" });
    if (before === "token") await node.api("POST", "tokens", { name: fresh, account: "viewer" });
    if (before === "owner's token") await node.api("POST", "tokens", { name: fresh });
    if (before === "peer") await node.api("POST", "peers", { address: values.address });
    return names;
  }
}

const fill = (text, names, encode = (name) => name) => text.replace(/\{(\w+)\}/g, (_, name) => encode(names[name]));

/** Sends a request and returns its status; for a stream, the head is enough. */
async function status(node, token, { method, url, body, type, stream, isGraphql }) {
  const headers = { "Content-Type": type, ...(token && { Authorization: `Bearer ${token}` }) };
  const end = new AbortController();
  const response = await fetch(`${node.url}${url}`, { method, headers, body, signal: end.signal });
  const text = stream && response.ok ? "" : await response.text();
  const isRefused = isGraphql && text.includes('"errors"');
  end.abort();
  return { status: response.ok && isRefused ? 403 : response.status, text };
}

/** Creates the collections of the requests, and all tokens. */
export async function prepared(node) {
  await node.api("POST", "spaces", { name: "away" });
  await node.api("PUT", "spaces/home/collections/open/rules", OPEN_RULES);
  await node.api("PUT", "spaces/home/collections/elsewhere/rules", OPEN_RULES);
  return tokens(node);
}

export async function table(node, faults) {
  const { paths } = await node.api("GET", "openapi.json");
  const described = new Map();
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, { operationId }] of Object.entries(methods)) {
      if (operationId) described.set(operationId, { path, method: method.toUpperCase() });
    }
  }
  const known = new Set(Object.keys(OPERATIONS).map((name) => name.split(" ")[0]));
  for (const id of described.keys())
    if (!known.has(id) && !OPEN.includes(id)) faults.add("policy", `says nothing of ${id}`);
  const all = await prepared(node);
  const ground = new Ground(node);
  let cells = 0;
  for (const [name, operation] of Object.entries({ ...OPERATIONS, ...OTHERS })) {
    const { path, method } = operation.method ? operation : (described.get(name.split(" ")[0]) ?? {});
    if (!path) {
      faults.add("policy", `${name} is not described`);
      continue;
    }
    for (const role of Object.keys(NEEDS)) {
      for (const state of Object.keys(STATES)) {
        cells += 1;
        const names = await ground.prepare(operation, `x${cells}`);
        const { type = "application/json", stream = false, isGraphql = false, query = {} } = operation;
        const asked = Object.entries(query).map(([name, value]) => `${name}=${fill(value, names)}`);
        const url = `${fill(path, names, encodeURIComponent)}?${asked.join("&")}`;
        const body = operation.body && fill(JSON.stringify(operation.body), names);
        const sent = { method, url, body, type, stream, isGraphql };
        const wanted = expected(operation, role, state);
        const { status: got, text } = await status(node, all[role][state], sent);
        if (!wanted.includes(got)) {
          const what = `${name} as ${role}, token ${state}: ${got}, not ${wanted.join(" or ")}`;
          faults.add("codes", `${what}: ${method} ${url}: ${text.slice(0, 300)}`);
        }
      }
    }
  }
  say(`${cells} cells of the table`);
  return cells;
}
