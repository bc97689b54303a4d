// Measures what `node/runtime/examples/query_speed.rs` measures, with other databases: the same documents and queries.
//
// Usage: node queries.mjs FILE DIR. FILE is NDJSON; databases are made in DIR. Prints a line of JSON for each figure.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import PouchDB from 'pouchdb-core';
import leveldb from 'pouchdb-adapter-leveldb';
import find from 'pouchdb-find';
import { createRxDatabase } from 'rxdb';
import { getRxStorageMemory } from 'rxdb/plugins/storage-memory';

const POINTS = 2000;
const PAGES = 500;
const PAGE = 100;
const CHANGES = 200;
const WINDOW = 50;
const WRITES = 1000;
const BATCH = 1000;

const [file, dir] = process.argv.slice(2);
const rows = readFileSync(file, 'utf8').trim().split('\n').map((line) => JSON.parse(line));

function say(name, value, n) {
  console.log(JSON.stringify({ name, value, n }));
}

function sayTimes(name, times) {
  times.sort((one, other) => one - other);
  say(`${name}, p50`, times[Math.floor(times.length * 0.5)], times.length);
  say(`${name}, p99`, times[Math.floor(times.length * 0.99)], times.length);
}

// Always the same rows.
function* picks(count) {
  let state = 12345;
  for (let at = 0; at < count; at += 1) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    yield rows[(state >>> 4) % rows.length];
  }
}

// A database is: load(rows), point(zip), page(state, city), put(row), and live(told) where it has live queries.
async function measure(name, peer) {
  let began = performance.now();
  await peer.load();
  say(`${name}: imported and indexed, an index is there`, (performance.now() - began) / 1000, rows.length);
  let times = [];
  for (const row of picks(peer.points ?? POINTS)) {
    began = performance.now();
    const found = await peer.point(row.zip);
    times.push(performance.now() - began);
    if (found.length !== 1 || found[0].id !== row.id) throw new Error(`${name} finds ${JSON.stringify(found)}`);
  }
  sayTimes(`${name}: a point, quiet`, times);
  times = [];
  for (const row of picks(peer.pages ?? PAGES)) {
    began = performance.now();
    const found = await peer.page(row.state, row.city);
    if (found.length === PAGE) times.push(performance.now() - began);
    if (found.length === 0) throw new Error(`${name} finds no page`);
  }
  sayTimes(`${name}: ${PAGE} sorted rows, quiet`, times);
  if (peer.live) {
    times = await peer.live();
    sayTimes(`${name}: a change seen, from its call`, times);
  }
  const writes = peer.writes ?? WRITES;
  began = performance.now();
  for (let at = 0; at < writes; at += 1) {
    await peer.put({ id: `new-${at}`, zip: `new-${at}`, state: 'ZZ', city: 'New', county: 'None' });
  }
  say(`${name}: writes a second, 1 at a time`, (writes * 1000) / (performance.now() - began), writes);
  await peer.close();
}

function sqlite() {
  const db = new Database(join(dir, 'peer.sqlite'));
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL');
  db.exec(`CREATE TABLE docs (id TEXT PRIMARY KEY, body TEXT NOT NULL);
    CREATE INDEX by_zip ON docs (body ->> '$.zip');
    CREATE INDEX by_city ON docs (body ->> '$.state', body ->> '$.city');`);
  const put = db.prepare('INSERT OR REPLACE INTO docs VALUES (?, ?)');
  const point = db.prepare(`SELECT body FROM docs WHERE body ->> '$.zip' = ? LIMIT 1`);
  const page = db.prepare(`SELECT body FROM docs WHERE body ->> '$.state' = ? AND body ->> '$.city' >= ?
    ORDER BY body ->> '$.state', body ->> '$.city' LIMIT ${PAGE}`);
  const parsed = (found) => found.map((row) => JSON.parse(row.body));
  return {
    load() {
      for (let at = 0; at < rows.length; at += BATCH) {
        db.transaction(() => rows.slice(at, at + BATCH).forEach((row) => put.run(row.id, JSON.stringify(row))))();
      }
    },
    point: (zip) => parsed(point.all(zip)),
    page: (state, city) => parsed(page.all(state, city)),
    put: (row) => put.run(row.id, JSON.stringify(row)),
    close: () => db.close(),
  };
}

async function rxdb() {
  const db = await createRxDatabase({ name: 'peer', storage: getRxStorageMemory(), multiInstance: false });
  const text = { type: 'string', maxLength: 100 };
  const number = { type: ['number', 'null'] };
  const { docs } = await db.addCollections({
    docs: {
      schema: {
        version: 0,
        primaryKey: 'id',
        type: 'object',
        properties: { id: text, zip: text, state: text, city: text, county: { type: 'string' }, latitude: number, longitude: number },
        required: ['id', 'zip', 'state', 'city'],
        indexes: ['zip', ['state', 'city']],
      },
    },
  });
  const json = (found) => found.map((doc) => doc.toJSON());
  const sort = [{ state: 'asc' }, { city: 'asc' }];
  return {
    async load() {
      for (let at = 0; at < rows.length; at += BATCH) await docs.bulkInsert(rows.slice(at, at + BATCH));
    },
    point: async (zip) => json(await docs.find({ selector: { zip }, limit: 1 }).exec()),
    page: async (state, city) =>
      json(await docs.find({ selector: { state, city: { $gte: city } }, sort, limit: PAGE }).exec()),
    put: (row) => docs.insert(row),
    async live() {
      let told = () => {};
      const query = docs.find({ selector: { state: 'NY' }, sort, limit: WINDOW });
      const shown = await new Promise((resolve) => {
        let first = true;
        query.$.subscribe((found) => {
          if (first) resolve(found.slice());
          else told();
          first = false;
        });
      });
      const times = [];
      for (let change = 0; change < CHANGES; change += 1) {
        const seen = new Promise((resolve) => { told = resolve; });
        const began = performance.now();
        const written = shown[change % WINDOW].incrementalPatch({ county: `seen ${change}` });
        await seen;
        times.push(performance.now() - began);
        await written;
      }
      return times;
    },
    close: () => db.close(),
  };
}

async function pouch() {
  PouchDB.plugin(leveldb).plugin(find);
  const db = new PouchDB(join(dir, 'peer-pouch'), { adapter: 'leveldb' });
  await db.createIndex({ index: { fields: ['zip'] } });
  await db.createIndex({ index: { fields: ['state', 'city'] } });
  return {
    points: 500,
    pages: 200,
    async load() {
      for (let at = 0; at < rows.length; at += BATCH) {
        await db.bulkDocs(rows.slice(at, at + BATCH).map((row) => ({ _id: row.id, ...row })));
      }
      // Its indexes are built when they are asked.
      await db.find({ selector: { zip: '' } });
      await db.find({ selector: { state: '', city: '' } });
    },
    point: async (zip) => (await db.find({ selector: { zip }, limit: 1 })).docs,
    page: async (state, city) =>
      (await db.find({ selector: { state, city: { $gte: city } }, sort: ['state', 'city'], limit: PAGE })).docs,
    put: (row) => db.put({ _id: row.id, ...row }),
    close: () => db.close(),
  };
}

await measure('better-sqlite3', sqlite());
await measure('rxdb, in memory', await rxdb());
await measure('pouchdb, leveldb', await pouch());
