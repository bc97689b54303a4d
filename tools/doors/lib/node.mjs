// A node as a process, in a folder of its own, for the proofs of the HTTP API. All started processes end with the
// proof.
import { execFile, spawn } from "node:child_process";
import { createWriteStream, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const execute = promisify(execFile);
/** Longest time for a process to report that it serves, or to end. */
const PATIENCE_MS = 60_000;
const children = new Set();

process.on("exit", () => children.forEach((child) => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(1));

/** Starts a process and resolves once a line of its output matches. */
export async function started(program, words, options, pattern, log) {
  const child = spawn(program, words, { stdio: ["ignore", "pipe", "pipe"], ...options });
  children.add(child);
  const file = createWriteStream(log, { flags: "a" });
  child.stderr.pipe(file, { end: false });
  const found = await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${program} does not serve: see ${log}`)), PATIENCE_MS);
    let text = "";
    const take = (piece) => {
      text += piece;
      const match = pattern.exec(text);
      if (!match) return;
      clearTimeout(timer);
      resolve(match);
    };
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      children.delete(child);
      clearTimeout(timer);
      reject(new Error(`${program} ended with ${code ?? signal}: ${readFileSync(log, "utf8").slice(-2000)}`));
    });
  });
  return { child, found };
}

/** Ends a process, by force if necessary. */
export async function ended(child) {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.on("exit", resolve));
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
  await gone;
  clearTimeout(timer);
}

/** Returns the resident memory of a process, in KiB. */
export function rss(pid) {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]);
}

/** Calls `work` with a folder that is removed afterwards. */
export async function withFolder(work) {
  const folder = mkdtempSync(join(tmpdir(), "doors-"));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Calls `work` with a node that serves a new space, and ends the node. */
export async function withNode(binary, work, more = {}) {
  return withFolder(async (folder) => {
    const node = new Node(binary, folder, more);
    await node.run("init", "--name", "doors");
    await node.run("space", "create", "home");
    await node.start();
    try {
      return await work(node);
    } finally {
      await node.stop();
    }
  });
}

export class Node {
  constructor(binary, folder, { environment = {} } = {}) {
    Object.assign(this, { binary, folder, dir: join(folder, "node"), log: join(folder, "node.log") });
    this.environment = { ...process.env, ...environment };
  }

  /** Runs a command and returns its output. */
  async run(...words) {
    const { stdout } = await execute(this.binary, ["--dir", this.dir, ...words], { env: this.environment });
    return stdout.trim();
  }

  /** Starts the node; resolves once it serves. */
  async start() {
    const words = ["--dir", this.dir, "up", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    const options = { env: this.environment };
    const { child, found } = await started(this.binary, words, options, /^HTTP at (\S+)$/m, this.log);
    this.process = child;
    this.url = found[1];
    this.token ??= await this.run("token", "create", "doors");
  }

  async stop() {
    await ended(this.process);
  }

  get isUp() {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  rss() {
    return rss(this.process.pid);
  }

  /** Sends a request to the API with a token; returns the status and the text. */
  async ask(method, path, body, { token = this.token, headers = {} } = {}) {
    const sent = { "Content-Type": "application/json", ...headers };
    if (token) sent.Authorization = `Bearer ${token}`;
    const text = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
    const response = await fetch(`${this.url}${path}`, { method, headers: sent, body: text });
    return { status: response.status, text: await response.text(), headers: response.headers };
  }

  /** Sends a request to the API; fails unless it succeeds. */
  async api(method, path, body, more) {
    const { status, text } = await this.ask(method, `/v1/${path}`, body, more);
    if (status >= 300) throw new Error(`${method} ${path}: ${status} ${text}`);
    return text === "" ? undefined : JSON.parse(text);
  }
}
