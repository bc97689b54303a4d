// All requests that a reader can make. An answer about a hidden document must equal the one about an absent document.

const SELECTORS = [
  {},
  { n: { $gt: 0 } },
  { n: { $gt: 5 } },
  { by: "bob" },
  { $or: [{ by: "bob" }, { by: "ada" }] },
  { $nor: [{ by: "ada" }] },
  { $not: { by: { $var: "auth.account" } } },
  { by: { $regex: "^b" } },
  { $key: { $gt: "" } },
  { $valid: false },
  { by: { $ne: "ada" } },
  { n: { $mod: [7, 0] } },
];
const COLLECTIONS = ["mine", "vault", "absent"];
const MEASURES = ["sum", "min", "max", "average"].map((kind) => ({ kind, field: "n" }));
const SPACES = ["-", "home", "c", "ca", "%00", "home:main"];

/** REST requests: method, path, and body. */
function* rest() {
  for (const path of ["status", "peers", "spaces", "accounts", "tokens", "audit?limit=1000", "auth/me"]) {
    yield ["GET", `/v1/${path}`];
  }
  for (const space of SPACES) {
    const at = `/v1/spaces/${space}`;
    for (const path of ["collections", "devices", "changes", "changes?since=0", "changes?feed=longpoll&timeout=1"]) {
      yield ["GET", `${at}/${path}`];
    }
    yield ["GET", `${at}/graphql/schema`];
  }
  for (const collection of COLLECTIONS) {
    const at = `/v1/spaces/home/collections/${collection}`;
    const reads = [
      "",
      "/docs",
      "/docs?limit=1000&sort=-n",
      "/schema",
      "/rules",
      "/indexes",
      "/export",
      "/export?format=csv",
    ];
    for (const path of reads) yield ["GET", at + path];
    yield ["POST", `${at}/schema/check`];
    for (const selector of SELECTORS) {
      for (const sort of [undefined, ["n"], ["-group", "n"]]) {
        yield ["POST", `${at}/find`, { selector, sort, limit: 1000 }];
        yield ["POST", `${at}/explain`, { selector, sort }];
      }
      yield ["POST", `${at}/find`, { selector, limit: 1 }];
      for (const by of [undefined, "group", "by", "$key"]) {
        yield ["POST", `${at}/count`, { selector, by, measures: MEASURES }];
      }
      yield ["GET", `${at}/docs?where=${encodeURIComponent(JSON.stringify(selector))}&fields=by,n`];
    }
    for (const use_index of ["by_n", "other"]) yield ["POST", `${at}/find`, { selector: { n: 1 }, use_index }];
    yield ["POST", `${at}/rules/test`, { account: "ada", key: "hidden" }];
    yield ["POST", `${at}/docs`, { by: "bob", n: 1 }];
    yield ["POST", "/v1/spaces/home/transactions", { writes: [{ op: "put", doc: `${collection}/hidden`, value: {} }] }];
  }
  for (const body of [{ account: "ada", password: "guessed it" }, { link: "none" }])
    yield ["POST", "/v1/auth/login", body];
}

/** Requests about one document. */
function* about(collection, key) {
  const at = `/v1/spaces/home/collections/${collection}/docs/${key}`;
  const version = "00000000000000000000000000000000";
  for (const path of ["", "/history", "/conflicts", `/versions/${version}`, `/diff?from=${version}&to=${version}`]) {
    yield ["GET", at + path];
  }
  yield ["PATCH", at, { seen: true }, { "Content-Type": "application/merge-patch+json" }];
  yield ["PATCH", at, { seen: true }, { "Content-Type": "application/merge-patch+json", "If-Match": `"${version}"` }];
  yield ["DELETE", at];
  yield ["DELETE", at, undefined, { "If-Match": `"${version}"` }];
  yield ["POST", `${at}/revert`, { version }];
  yield ["POST", `${at}/undelete`];
  const doc = `${collection}/${key}`;
  for (const write of [
    { op: "delete", doc },
    { op: "patch", doc, patch: { seen: true } },
    { op: "patch", doc, patch: { seen: true }, if: version },
    { op: "change", doc, changes: [{ op: "add", path: "n", by: 1 }] },
    { op: "revert", doc, version },
    { op: "undelete", doc },
  ])
    yield ["POST", "/v1/spaces/home/transactions", { writes: [write] }];
  for (const query of [
    `{ ${collection}_by_pk(key: "${key}") { _id _version _value } }`,
    `mutation { update_${collection}_by_pk(key: "${key}", patch: {seen: true}) { id } }`,
    `mutation { update_${collection}_by_pk(key: "${key}", patch: {seen: true}, if_version: "${version}") { id } }`,
    `mutation { delete_${collection}_by_pk(key: "${key}") { id } }`,
    `mutation { delete_${collection}_by_pk(key: "${key}", if_version: "${version}") { id } }`,
  ])
    yield ["POST", "/v1/spaces/home/graphql", { query }];
}

const FIELDS = "_id _key _version _value";
const GRAPHQL = [
  "{ _collections { __typename name } }",
  "{ __schema { types { name description fields { name description } inputFields { name } enumValues { name } } } }",
  `{ mine(limit: 1000) { docs { ${FIELDS} } bookmark warning } }`,
  `{ mine(where: {n: {_gt: 5}}, order_by: [{n: desc}]) { docs { ${FIELDS} } } }`,
  `{ mine(where: {by: "bob"}, order_by: ["-n"]) { docs { ${FIELDS} } } }`,
  `{ mine_by_pk(key: "hidden") { ${FIELDS} } }`,
  `{ mine_by_pk(key: "gone") { ${FIELDS} } }`,
  '{ mine_aggregate { count sum(field: "n") min(field: "n") max(field: "n") average(field: "n") } }',
  '{ mine_aggregate(group_by: "group") { count groups { value count max(field: "n") } } }',
  `{ vault { docs { ${FIELDS} } } }`,
  `{ vault_by_pk(key: "hidden") { ${FIELDS} } }`,
  "{ vault_aggregate { count } }",
  'mutation { insert_mine_one(key: "hidden", object: {by: "ada"}) { id key version doc { _value } } }',
  'mutation { put_mine_by_pk(key: "hidden", object: {by: "ada"}) { id key version doc { _value } } }',
  'mutation { update_mine_by_pk(key: "hidden", patch: {by: "ada"}) { id key version doc { _value } } }',
  'mutation { delete_mine_by_pk(key: "hidden") { id key } }',
  'mutation { delete_vault_by_pk(key: "hidden") { id key } }',
];

/** Returns an answer without the parts that differ from one request to the next, such as names and numbers. */
function plain({ status, text }, key) {
  let told = text;
  try {
    const { requestId, ...rest } = JSON.parse(text);
    told = JSON.stringify(rest);
  } catch {
    // Not a problem: compared unchanged.
  }
  return `${status} ${told.replaceAll(key, "KEY")}`;
}

/** Sends all requests and yields every answer; `wanted` is the expected answer. */
export async function* asked(node, token, own) {
  const ask = async ([method, path, body, headers]) => {
    const answer = await node.ask(method, path, body, { token, headers });
    return { what: `${method} ${path} ${body ? JSON.stringify(body) : ""}`, ...answer };
  };
  const whole = ({ what, status, text, headers }) => ({ what, text: `${status} ${text} ${[...headers].join(" ")}` });
  for (const request of rest()) yield whole(await ask(request));
  // In a collection with rules, a hidden or deleted document is answered like one that never existed.
  for (const key of ["hidden", "gone"]) {
    const absent = [...about("mine", "absent")];
    for (const [at, request] of [...about("mine", key)].entries()) {
      const [one, other] = [await ask(request), await ask(absent[at])];
      yield whole(one);
      if (plain(one, key) !== plain(other, "absent")) {
        yield { what: one.what, text: plain(one, key), wanted: `as of what is absent: ${plain(other, "absent")}` };
      }
    }
  }
  for (const request of about("vault", "hidden")) yield whole(await ask(request));
  for (const query of GRAPHQL) {
    for (const path of ["/graphql", "/v1/spaces/home/graphql"]) yield whole(await ask(["POST", path, { query }]));
  }
  const counted = await ask(["POST", "/v1/spaces/home/collections/mine/count", { selector: {} }]);
  const count = counted.status === 200 ? JSON.parse(counted.text).count : 0;
  if (count !== own) yield { ...whole(counted), wanted: `a count of ${own}` };
}
