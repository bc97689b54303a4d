// The state of a client that follows changes; detects lost and repeated changes.

/** Returns the number in a cursor; each change has a higher number than the change before. */
const numberOf = (cursor) => Number.parseInt(cursor.split(".")[1], 10);

/** The documents of a feed, according to the received changes. */
export class Feed {
  constructor(cursor) {
    Object.assign(this, { cursor, known: new Map(), told: new Set(), changes: 0, twice: 0, again: 0, lastNumber: -1 });
  }

  change({ cursor, id, version, key, deleted, value }) {
    this.cursor = cursor;
    this.changes += 1;
    // Neither a repeated change nor an older one may come.
    if (numberOf(cursor) <= this.lastNumber || (!deleted && value.n < (this.known.get(key)?.n ?? -1))) this.twice += 1;
    this.lastNumber = numberOf(cursor);
    // Two changes in quick succession may both report the document's state after the second.
    const name = `${id} ${version}`;
    if (this.told.has(name)) this.again += 1;
    this.told.add(name);
    if (deleted) this.known.delete(key);
    else this.known.set(key, { n: value.n, group: value.group });
  }

  /** Returns the number of documents that differ from the acknowledged ones. */
  lost(ledger) {
    return differences(this.known, ledger);
  }
}

/** The answer of a live query in order, according to the received batches. */
export class Answer {
  constructor(group) {
    Object.assign(this, { group, docs: [], changes: 0, twice: 0, cursor: undefined, isResumed: false });
  }

  /** Handles a resumption: the node does not know the client's answer, and reports every changed document. */
  resumed() {
    this.isResumed = true;
  }

  batch(name, { cursor, events }) {
    this.cursor = cursor;
    if (name === "ready") this.docs = [];
    for (const event of events) this.#apply(event, this.isResumed);
    this.isResumed = false;
  }

  #apply({ event, doc, id = doc.id, after }, isResumed) {
    this.changes += 1;
    const at = this.docs.findIndex((one) => one.id === id);
    // An added document was not in the answer before; all other events concern documents in it.
    if (!isResumed && (event === "added") !== at < 0) this.twice += 1;
    if (event === "changed" && at >= 0) {
      this.docs[at] = doc;
      return;
    }
    if (at >= 0) this.docs.splice(at, 1);
    if (event === "removed") return;
    const behind = this.docs.findIndex((one) => one.id === after);
    if (after !== null && behind < 0) this.twice += 1;
    this.docs.splice(behind + 1, 0, doc);
  }

  /** Returns the number of documents that are not in the answer as acknowledged, or not in order. */
  lost(ledger) {
    const wanted = new Map([...ledger].filter(([, { group }]) => group === this.group));
    const known = new Map(this.docs.map(({ key, value }) => [key, value]));
    const misplaced = this.docs.filter(({ value }, at) => at > 0 && value.n > this.docs[at - 1].value.n);
    return differences(known, wanted) + (this.docs.length - known.size) + misplaced.length;
  }
}

/** Returns the number of keys with different numbers in the two. */
export function differences(known, wanted) {
  const keys = new Set([...known.keys(), ...wanted.keys()]);
  return [...keys].filter((key) => known.get(key)?.n !== wanted.get(key)?.n).length;
}
