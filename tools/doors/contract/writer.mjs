// Writes while clients are disconnected: creates, changes and deletes documents, and records the acknowledged writes.
import { random } from "../lib/random.mjs";

/** Number of documents in the GraphQL live query, which returns its whole answer each time. */
const COUNTERS = 40;
const GROUPS = 4;

export class Writer {
  constructor(node, seed) {
    Object.assign(this, { node, seed, writes: 0, isOver: false });
    /** The documents of the collection `ledger`, by key: the number of the last write, and a group. */
    this.ledger = new Map();
    /** The documents of the collection `counters`, likewise. */
    this.counters = new Map();
  }

  /** Creates the collections with schemas, so that GraphQL has fields. */
  async prepare() {
    const schema = { properties: { n: { type: "integer" }, group: { type: "integer" }, pad: { type: "string" } } };
    for (const name of ["ledger", "counters"])
      await this.node.api("PUT", `spaces/-/collections/${name}/schema`, schema);
  }

  /** Starts several writers, each with documents of its own; `stop` waits until they are done. */
  start(writers = 2) {
    this.tasks = Array.from({ length: writers }, (_, who) => this.#write(who, random(this.seed + who)));
    // `stop` reports a failure; until then it must not be an unhandled rejection.
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
