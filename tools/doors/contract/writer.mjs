// Writes while clients are cut: documents are made, changed and deleted, and what was acknowledged is remembered.
import { random } from "../lib/random.mjs";

/** Documents of which GraphQL shows the whole answer each time. */
const COUNTERS = 40;
const GROUPS = 4;

export class Writer {
  constructor(node, seed) {
    Object.assign(this, { node, seed, writes: 0, isOver: false });
    /** What stands in the collection `ledger`, by key: the number of the last write, and a group. */
    this.ledger = new Map();
    /** The same of `counters`. */
    this.counters = new Map();
  }

  /** Declares the collections, so that GraphQL has fields. */
  async prepare() {
    const schema = { properties: { n: { type: "integer" }, group: { type: "integer" }, pad: { type: "string" } } };
    for (const name of ["ledger", "counters"])
      await this.node.api("PUT", `spaces/-/collections/${name}/schema`, schema);
  }

  /** Starts several writers, each of its own documents; `stop` waits until they are done. */
  start(writers = 2) {
    this.tasks = Array.from({ length: writers }, (_, who) => this.#write(who, random(this.seed + who)));
    // A failure is told by `stop`; until then nobody may miss it.
    this.failed = Promise.race(this.tasks.map((task) => task.then(() => new Promise(() => {}))));
    this.failed.catch(() => {});
  }

  async stop() {
    this.isOver = true;
    await Promise.all(this.tasks);
  }

  async #write(who, { next, below, pick }) {
    const keys = [];
    for (let count = 0; !this.isOver; count += 1) {
      const n = count * 2 + who;
      if (next() < 0.25) {
        await this.#put("counters", this.counters, `c${who}-${below(COUNTERS / 2)}`, { n, group: 0 });
        continue;
      }
      const value = { n, group: below(GROUPS), pad: "x".repeat(below(200)) };
      const kind = keys.length < 10 ? 0 : next();
      if (kind < 0.5) {
        const key = `k${who}-${n}`;
        await this.#put("ledger", this.ledger, key, value);
        keys.push(key);
      } else if (kind < 0.9) {
        await this.#put("ledger", this.ledger, pick(keys), value);
      } else {
        const [key] = keys.splice(below(keys.length), 1);
        await this.node.api("DELETE", `spaces/-/collections/ledger/docs/${key}`);
        this.ledger.delete(key);
        this.writes += 1;
      }
    }
  }

  async #put(collection, known, key, value) {
    await this.node.api("PUT", `spaces/-/collections/${collection}/docs/${key}`, value);
    known.set(key, { n: value.n, group: value.group });
    this.writes += 1;
  }
}
