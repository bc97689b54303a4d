// The policy: the roles that may use each operation, and its request. The table of all status codes derives from it.

/** The permissions that operations need (`spec/rules.md`, section 2), by role. */
export const NEEDS = {
  owner: ["anyone", "read", "write", "look", "manage", "own"],
  admin: ["anyone", "read", "write", "look", "manage"],
  editor: ["anyone", "read", "write"],
  viewer: ["anyone", "read"],
  auditor: ["anyone", "look"],
};

/** The status of an operation if it is allowed and if it is not, by the state of the token. */
export const STATES = {
  good: () => "done",
  none: () => 401,
  forged: () => 401,
  expired: () => 401,
  revoked: () => 401,
  "of a deleted account": () => 401,
  "for reading": ({ writes }) => (writes ? 403 : "done"),
  "for another collection": ({ need, part }) => elsewhere(need, part, "collection"),
  "for another space": ({ need, part }) => elsewhere(need, part, "space"),
};

/** Returns the status for a token limited to a part of the node: it may use documents there, and their names. */
function elsewhere(need, part, reach) {
  if (need === "anyone") return "done";
  if (need !== "read" && need !== "write") return 403;
  // A space outside of the token's part appears to be missing. In a space inside it, lists are empty, a named
  // collection appears to be missing, and documents are locked.
  if (reach === "space") return 404;
  return { space: "done", name: 404, documents: 403 }[part];
}

const C = "/v1/spaces/{space}/collections/{collection}";
const D = `${C}/docs/{key}`;
const rules = { list: {}, view: {}, create: {}, update: {}, delete: {} };

/**
 * Every operation: the needed permission; the status of success; whether it changes something; its body; and the
 * required objects: `doc`, `deleted`, `version`, `account`, `owner`, `token`, `peer`, `collection`, `index`, `schema`.
 * A new object has a name of its own for each request: `{new}`.
 */
export const OPERATIONS = {
  listAccounts: { need: "look" },
  createAccount: { need: "manage", done: 201, body: { name: "{new}", role: "viewer" } },
  "createAccount of an owner": { need: "own", done: 201, body: { name: "{new}", role: "owner" } },
  deleteAccount: { need: "manage", done: 204, before: "account" },
  "deleteAccount of an owner": { need: "own", done: 204, before: "owner" },
  changeAccount: { need: "manage", done: 200, before: "account", body: { role: "auditor" } },
  "changeAccount to an owner": { need: "own", done: 200, before: "account", body: { role: "owner" } },
  "changeAccount of an owner": { need: "own", done: 200, before: "owner", body: { password: "another password" } },
  listAudit: { need: "look" },
  readLog: { need: "look" },
  createBackup: { need: "own", body: { passphrase: "a long enough passphrase" } },
  logout: { need: "anyone", done: 204 },
  getMe: { need: "anyone" },
  joinSpace: { need: "manage", done: 400, body: { invite: "no invite" } },
  listPeers: { need: "look" },
  addPeer: { need: "manage", done: 201, body: { address: "127.0.0.1:9" } },
  removePeer: { need: "manage", done: 204, before: "peer", values: { address: "127.0.0.1:9" } },
  listSpaces: { need: "look" },
  createSpace: { need: "manage", done: 201, body: { name: "{new}" } },
  followChanges: { need: "read", part: "space" },
  listCollections: { need: "read", part: "space" },
  getCollection: { need: "read", part: "name" },
  deleteCollection: { need: "manage", done: 204, before: "collection" },
  countDocuments: { need: "read", body: { selector: {} } },
  listDocuments: { need: "read" },
  createDocument: { need: "write", done: 201, body: { n: 1 } },
  getDocument: { need: "read", before: "doc" },
  putDocument: { need: "write", done: 200, before: "doc", body: { n: 2 } },
  deleteDocument: { need: "write", done: 204, before: "doc" },
  patchDocument: { need: "write", before: "doc", body: { n: 3 }, type: "application/merge-patch+json" },
  getConflicts: { need: "read", before: "doc" },
  diffVersions: { need: "read", before: "version", query: { from: "{version}", to: "{version}" } },
  getHistory: { need: "read", before: "doc" },
  revertDocument: { need: "write", before: "version", body: { version: "{version}" } },
  undeleteDocument: { need: "write", before: "deleted" },
  getVersion: { need: "read", before: "version" },
  explainQuery: { need: "read", body: { selector: { n: 1 } } },
  exportFile: { need: "manage", writes: false },
  findDocuments: { need: "read", body: { selector: {} } },
  importFile: { need: "manage", body: [{ n: 1 }] },
  listIndexes: { need: "manage", writes: false },
  putIndex: { need: "manage", done: [200, 202], body: { fields: ["n"] }, before: "collection" },
  deleteIndex: { need: "manage", done: 204, before: "index" },
  checkIndex: { need: "manage", before: "index", writes: false },
  rebuildIndex: { need: "manage", done: [200, 202], before: "index" },
  followQuery: { need: "read", stream: true },
  getRules: { need: "manage", writes: false },
  putRules: { need: "manage", body: rules, before: "collection" },
  testRules: { need: "manage", writes: false, body: { account: "viewer", value: { n: 1 } } },
  getSchema: { need: "read", part: "name", before: "schema" },
  putSchema: { need: "manage", before: "collection", body: { properties: { n: { type: "integer" } } } },
  deleteSchema: { need: "manage", done: 204, before: "schema" },
  checkSchema: { need: "manage", before: "schema", writes: false },
  listDevices: { need: "look" },
  createInvite: { need: "manage", done: 201, body: {} },
  transact: { need: "write", body: { writes: [{ op: "put", doc: "{collection}/{new}", value: { n: 1 } }] } },
  getStatus: { need: "look" },
  listTokens: { need: "look" },
  createToken: { need: "manage", done: 201, body: { name: "{new}", account: "viewer" } },
  "createToken of an owner": { need: "own", done: 201, body: { name: "{new}" } },
  deleteToken: { need: "manage", done: 204, before: "token" },
  "deleteToken of an owner": { need: "own", done: 204, before: "owner's token" },
};

const POST_GRAPHQL = { method: "POST", path: "/v1/spaces/{space}/graphql", isGraphql: true };

/** Routes outside of the description. GraphQL refuses in an answer with status 200, which is treated as 403. */
export const OTHERS = {
  "a GraphQL query": { ...POST_GRAPHQL, need: "read", body: { query: "{ open { docs { _id } } }" } },
  "a GraphQL mutation": {
    ...POST_GRAPHQL,
    need: "write",
    body: { query: 'mutation { insert_open_one(key: "{new}", object: {n: 1}) { id } }' },
  },
  "the schema of GraphQL": { method: "GET", path: "/v1/spaces/{space}/graphql/schema", need: "read", part: "space" },
};

/** Operations without a token, which are not tested here. */
export const OPEN = ["login"];

/** Returns the allowed statuses for a role with a token in a state. */
export function expected(operation, role, state) {
  const { need, done = 200, part = "documents" } = operation;
  const { writes = need === "write" || need === "own" || need === "manage" } = operation;
  const told = STATES[state]({ need, part, writes });
  if (told === 401) return [401];
  // If the role does not allow the operation, the answer may be that, or that the space is missing.
  if (!NEEDS[role].includes(need)) return told === 404 ? [403, 404] : [403];
  return [told === "done" ? done : told].flat();
}
