// Nodes as processes: each in a folder of its own, ended with the proof.
import { execFileSync, spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { join } from "node:path";

/** A document with a number that JavaScript would round. */
const TRIP = '{"title": "Lisbon and Porto", "tags": ["sea", "tram", "port"], "days": 6, "big": 9007199254740993, "budget": {"flights": 210, "hotel": 810.0}}';

export class Node {
  constructor(binary, folder, name) {
    Object.assign(this, { binary, name, dir: join(folder, name), log: join(folder, `${name}.log`) });
  }

  /** Runs a command and returns what it prints. */
  run(...words) {
    return execFileSync(this.binary, ["--dir", this.dir, ...words], { encoding: "utf8" }).trim();
  }

  /** Starts it; resolves once it serves. */
  async start() {
    const http = this.url ? new URL(this.url).host : "127.0.0.1:0";
    const words = ["--dir", this.dir, "up", "--listen", "127.0.0.1:0", "--http", http];
    this.process = spawn(this.binary, words, { stdio: ["ignore", "pipe", "pipe"] });
    this.process.stderr.pipe(createWriteStream(this.log));
    this.url = await new Promise((resolve, reject) => {
      let text = "";
      this.process.on("exit", (code) => reject(new Error(`${this.name} ended with ${code}: see ${this.log}`)));
      this.process.stdout.on("data", (piece) => {
        text += piece;
        const found = /^HTTP at (\S+)$/m.exec(text);
        if (found) resolve(found[1]);
      });
    });
    this.token ??= this.run("token", "create", "console");
    return this;
  }

  async stop() {
    if (!this.process || this.process.exitCode !== null) return;
    const ended = new Promise((resolve) => this.process.on("exit", resolve));
    this.process.kill("SIGTERM");
    await ended;
  }

  /** Asks the API about the space. */
  api(method, path, body) {
    return this.v1(method, `spaces/-/${path}`, body);
  }

  /** Asks the API; fails unless it answers well. */
  async v1(method, path, body) {
    const response = await fetch(`${this.url}/v1/${path}`, {
      method,
      headers: { Authorization: `Bearer ${this.token}`, "Content-Type": "application/json" },
      body: typeof body === "string" ? body : body && JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response.status === 204 ? undefined : response.json();
  }
}

/** A node of a new user, whose space holds real data, with what each page has to show. */
export async function owner(binary, folder, { towns }) {
  const node = new Node(binary, folder, "laptop");
  node.run("init", "--name", "laptop");
  node.run("space", "create", "home");
  node.run("import", towns, "--collection", "towns", "--id-column", "zip_code");
  await node.start();
  const put = (path, value) => node.api("PUT", `collections/${path}`, value);
  await put("notes/docs/trip", { title: "Lisbon", tags: ["sea", "tram"], days: 4, budget: { flights: 210, hotel: 540.5 } });
  await put("notes/docs/trip", TRIP);
  await put("notes/docs/shop", { title: "Shopping", items: ["milk", "bread"], done: false });
  await put("notes/docs/gone", { title: "Old" });
  await node.api("DELETE", "collections/notes/docs/gone");
  await node.v1("POST", "accounts", { name: "ada", role: "editor", password: "a long password" });
  await node.v1("POST", "accounts", { name: "bob", role: "viewer" });
  await put("notes/rules", { list: {}, view: {}, create: {}, update: { by: { $var: "auth.account" } }, delete: null });
  await put("towns/indexes/by_state", { fields: ["state", "city"] });
  return node;
}

/** A second device in the space of the first. */
export async function joined(binary, folder, first) {
  const node = await new Node(binary, folder, "phone").start();
  node.run("space", "join", first.run("space", "invite"));
  // The first edits of a story should not wait for all that came before.
  while (first.run("space", "digest") !== node.run("space", "digest")) {
    node.run("space", "wait");
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  return node;
}
