// What a client knows that follows changes, and whether anything was lost or came twice.

/** The number in a cursor; each change has a higher one than the change before. */
const numberOf = (cursor) => Number.parseInt(cursor.split(".")[1], 10);

/** Of the feed: what stands, by the changes that came. */
export class Feed {
  constructor(cursor) {
    Object.assign(this, { cursor, known: new Map(), told: new Set(), changes: 0, twice: 0, again: 0, lastNumber: -1 });
  }

  change({ cursor, id, version, key, deleted, value }) {
    this.cursor = cursor;
    this.changes += 1;
    // A change that came before comes no more, nor one that is older.
    if (numberOf(cursor) <= this.lastNumber || (!deleted && value.n < (this.known.get(key)?.n ?? -1))) this.twice += 1;
    this.lastNumber = numberOf(cursor);
    // Two changes that follow each other closely may both tell of the document as it is after the second.
    const name = `${id} ${version}`;
    if (this.told.has(name)) this.again += 1;
    this.told.add(name);
    if (deleted) this.known.delete(key);
    else this.known.set(key, { n: value.n, group: value.group });
  }

  /** How many documents are not as they were acknowledged. */
  lost(ledger) {
    return differences(this.known, ledger);
  }
}

/** Of a live query: the answer in its order, by the batches that came. */
export class Answer {
  constructor(group) {
    Object.assign(this, { group, docs: [], changes: 0, twice: 0, cursor: undefined, isResumed: false });
  }

  /** It goes on: the node does not know what is in the answer, and tells all that changed. */
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
    // What is added was not there, and all else is about what is there.
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

  /** How many documents are not in the answer as they were acknowledged, or not in its order. */
  lost(ledger) {
    const wanted = new Map([...ledger].filter(([, { group }]) => group === this.group));
    const known = new Map(this.docs.map(({ key, value }) => [key, value]));
    const misplaced = this.docs.filter(({ value }, at) => at > 0 && value.n > this.docs[at - 1].value.n);
    return differences(known, wanted) + (this.docs.length - known.size) + misplaced.length;
  }
}

/** How many keys do not have the same number in both. */
export function differences(known, wanted) {
  const keys = new Set([...known.keys(), ...wanted.keys()]);
  return [...keys].filter((key) => known.get(key)?.n !== wanted.get(key)?.n).length;
}
