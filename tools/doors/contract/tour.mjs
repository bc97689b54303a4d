// The tour of README.md, "Over HTTP", and the other operations on documents, by a client of openapi-fetch.
// openapi-typescript generates its types from the node's own description, and `tsc` checks this file against them
// before it runs.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";

/** @typedef {import("described").paths} Paths */

const [baseUrl, token] = process.argv.slice(2);
assert(baseUrl && token, "usage: tour.mjs URL TOKEN");
/** @type {import("openapi-fetch").Client<Paths, "application/json">} */
const client = createClient({ baseUrl, headers: { Authorization: `Bearer ${token}` } });
const space = "-";
const towns = { space, collection: "typed-towns" };
const notes = { space, collection: "typed-notes" };
const text = { bodySerializer: (/** @type {unknown} */ body) => String(body) };
/** @param {{ status: number }} response @param {number} status */
const answered = (response, status) => assert.equal(response.status, status);

const imported = await client.POST("/v1/spaces/{space}/collections/{collection}/import", {
  params: { path: towns, query: { format: "csv", id: "zip" } },
  headers: { "Content-Type": "text/csv" },
  // The first media type of a body determines its type; the serializer sends it unchanged.
  body: "zip,city\n00501,Holtsville\n01001,Agawam\n",
  ...text,
});
assert.equal(imported.data?.documents, 2, JSON.stringify(imported.error));

const found = await client.POST("/v1/spaces/{space}/collections/{collection}/find", {
  params: { path: towns },
  body: { selector: { city: "Agawam" }, fields: ["city"], sort: ["city"] },
});
assert.deepEqual(
  found.data?.docs.map(({ key, value }) => [key, value]),
  [["01001", { city: "Agawam" }]],
);

const holyoke = { ...towns, key: "01040" };
const put = await client.PUT("/v1/spaces/{space}/collections/{collection}/docs/{key}", {
  params: { path: holyoke },
  body: { zip: "01040", city: "Holyoke" },
});
answered(put.response, 201);
assert.equal(put.data?.created, true);

const again = await client.PUT("/v1/spaces/{space}/collections/{collection}/docs/{key}", {
  params: { path: holyoke, header: { "If-None-Match": "*" } },
  body: {},
});
answered(again.response, 412);
const problem = /** @type {import("described").components["schemas"]["Problem"]} */ (
  /** @type {unknown} */ (again.error)
);
assert.equal(problem.code, "exists");

const read = await client.GET("/v1/spaces/{space}/collections/{collection}/docs/{key}", { params: { path: holyoke } });
assert.deepEqual(read.data, { zip: "01040", city: "Holyoke" });
assert.equal(read.response.headers.get("etag"), `"${put.data?.version}"`);

const patched = await client.PATCH("/v1/spaces/{space}/collections/{collection}/docs/{key}", {
  params: { path: holyoke, header: { "If-Match": `"${put.data?.version}"` } },
  headers: { "Content-Type": "application/merge-patch+json" },
  body: { pop: 37 },
});
assert.notEqual(patched.data?.version, put.data?.version);

const history = await client.GET("/v1/spaces/{space}/collections/{collection}/docs/{key}/history", {
  params: { path: holyoke, query: { limit: 10 } },
});
assert.deepEqual(
  history.data?.entries.map(({ kind }) => kind),
  ["edited", "created"],
);

const moved = await client.POST("/v1/spaces/{space}/transactions", {
  params: { path: { space } },
  body: {
    writes: [
      { op: "delete", doc: `${towns.collection}/01040` },
      { op: "put", doc: `${towns.collection}/01041`, value: { zip: "01041", city: "Holyoke" } },
    ],
  },
});
answered(moved.response, 200);

const counted = await client.POST("/v1/spaces/{space}/collections/{collection}/count", {
  params: { path: towns },
  body: { selector: {} },
});
assert.equal(counted.data?.count, 3);

const listed = await client.GET("/v1/spaces/{space}/collections/{collection}/docs", {
  params: { path: towns, query: { limit: 2, sort: "-zip", fields: "city" } },
});
assert.deepEqual(
  listed.data?.docs.map(({ key }) => key),
  ["01041", "01001"],
);
assert(listed.data?.bookmark);

const changes = await client.GET("/v1/spaces/{space}/changes", {
  params: { path: { space }, query: { feed: "normal", collection: towns.collection } },
});
assert.equal(changes.data?.more, false);

const account = await client.POST("/v1/accounts", { body: { name: "typed-ada", role: "editor" } });
assert.equal(account.data?.role, "editor");
const rules = await client.PUT("/v1/spaces/{space}/collections/{collection}/rules", {
  params: { path: notes },
  body: { list: {}, view: {}, update: { by: { $var: "auth.account" } } },
});
answered(rules.response, 200);
const tried = await client.POST("/v1/spaces/{space}/collections/{collection}/rules/test", {
  params: { path: notes },
  body: { account: "typed-ada", value: { by: "bob" } },
});
assert.deepEqual(
  tried.data?.verdicts.map(({ deed, allowed }) => `${deed} ${allowed}`),
  ["list true", "view true", "create false", "update false", "delete false"],
);
console.log(16);
