/** The routes of the API, as requests. */

import type { Request } from "./http";
import { writeJson, type Json } from "./json";
import type {
  Account, Audited, Collection, Conflict, Counted, Device, Diff, Document, Imported, Index, IndexChecked, Invite, LogPage, Login, Me, NewToken, Page, Peer, Plan, Query,
  Revision, Rules, Schema, SchemaChecked, Space, Status, Token, Verdict, Written,
} from "./types";

type Method = Request<unknown>["method"];

function to<T>(method: Method, parts: string[], more: Partial<Request<T>> = {}): Request<T> {
  return { method, path: `/v1/${parts.map(encodeURIComponent).join("/")}`, ...more };
}

const json = (value: unknown): string => writeJson(value as Json);

export const node = {
  status: () => to<Status>("GET", ["status"]),
  peers: () => to<{ peers: Peer[] }>("GET", ["peers"]),
  spaces: () => to<{ spaces: Space[] }>("GET", ["spaces"]),
  createSpace: (name: string) => to<Space>("POST", ["spaces"], { body: json({ name }) }),
  invite: (space: string) => to<Invite>("POST", ["spaces", space, "invites"], { body: "{}" }),
  devices: (space: string) => to<{ devices: Device[] }>("GET", ["spaces", space, "devices"]),
  join: (invite: string) => to<Space>("POST", ["join"], { body: json({ invite }) }),
  addPeer: (address: string) => to<Peer>("POST", ["peers"], { body: json({ address }) }),
  log: (after: number | undefined, limit: number, timeout: number) => to<LogPage>("GET", ["log"], { query: { after, limit, timeout } }),
  backup: (passphrase: string) => to<Blob>("POST", ["backup"], { body: json({ passphrase }) }),
  removePeer: (address: string) => to<void>("DELETE", ["peers", address]),
};

export const auth = {
  login: (body: { account: string; password: string } | { link: string }) =>
    to<Login>("POST", ["auth", "login"], { body: json(body) }),
  me: () => to<Me>("GET", ["auth", "me"]),
  logout: () => to<void>("POST", ["auth", "logout"]),
};

export const accounts = {
  list: () => to<{ accounts: Account[] }>("GET", ["accounts"]),
  create: (body: { name: string; role: string; password?: string }) => to<Account>("POST", ["accounts"], { body: json(body) }),
  change: (name: string, body: { role?: string; password?: string }) => to<Account>("PATCH", ["accounts", name], { body: json(body) }),
  remove: (name: string) => to<void>("DELETE", ["accounts", name]),
};

export const tokens = {
  list: () => to<{ tokens: Token[] }>("GET", ["tokens"]),
  create: (body: NewToken) => to<{ secret: string; token: Token }>("POST", ["tokens"], { body: json(body) }),
  revoke: (name: string) => to<void>("DELETE", ["tokens", name]),
};

export const audit = (before: number | undefined, limit: number) => to<{ rows: Audited[] }>("GET", ["audit"], { query: { before, limit } });

/** A document: its key, or `~` and its id. */
export const nameOf = (doc: { id: string; key?: string | null }): string => doc.key ?? `~${doc.id}`;

const ifMatch = (version?: string | null) => (version ? { headers: { "If-Match": `"${version}"` } } : {});

/** The routes of a collection of a space. */
export function collection(space: string, name: string) {
  const at = ["spaces", space, "collections", name];
  return {
    show: () => to<Collection>("GET", at),
    remove: () => to<void>("DELETE", at),
    find: (query: Query) => to<Page>("POST", [...at, "find"], { body: json(query) }),
    explain: (query: Query) => to<Plan>("POST", [...at, "explain"], { body: json(query) }),
    count: (body: { selector?: Json; by?: string }) => to<Counted>("POST", [...at, "count"], { body: json(body) }),
    live: ({ selector, sort, fields, limit }: Query) =>
      to<string>("GET", [...at, "live"], { query: { where: selector ? json(selector) : undefined, sort: sort?.join(","), fields: fields?.join(","), limit } }),
    create: (value: string) => to<Written>("POST", [...at, "docs"], { body: value }),

    indexes: () => to<{ indexes: Index[] }>("GET", [...at, "indexes"]),
    putIndex: (index: string, fields: string[]) => to<Index>("PUT", [...at, "indexes", index], { body: json({ fields }) }),
    dropIndex: (index: string) => to<void>("DELETE", [...at, "indexes", index]),
    checkIndex: (index: string) => to<IndexChecked>("POST", [...at, "indexes", index, "check"]),
    rebuildIndex: (index: string) => to<Index>("POST", [...at, "indexes", index, "rebuild"]),

    schema: () => to<Schema>("GET", [...at, "schema"]),
    putSchema: (schema: string, options: { dryRun?: boolean; force?: boolean }) =>
      to<SchemaChecked>("PUT", [...at, "schema"], { body: schema, query: options }),
    dropSchema: () => to<void>("DELETE", [...at, "schema"]),
    checkSchema: () => to<SchemaChecked>("POST", [...at, "schema", "check"]),

    rules: () => to<{ rules: Rules | null }>("GET", [...at, "rules"]),
    putRules: (rules: string) => to<{ rules: Rules | null }>("PUT", [...at, "rules"], { body: rules }),
    testRules: (body: { account: string; key?: string; value?: Json; rules?: Json }) =>
      to<{ verdicts: Verdict[] }>("POST", [...at, "rules", "test"], { body: json(body) }),

    import: (file: Blob, query: { format?: string; id?: string; numbers?: string; dryRun?: boolean; delimiter?: string }) =>
      to<Imported>("POST", [...at, "import"], { body: file, type: "application/octet-stream", query }),
    export: (format: string) => to<Blob>("GET", [...at, "export"], { query: { format } }),
  };
}

/** The routes of a document. */
export function document(space: string, name: string, key: string) {
  const at = ["spaces", space, "collections", name, "docs", key];
  return {
    read: () => to<Document["value"]>("GET", at),
    put: (value: string, version?: string | null) => to<Written>("PUT", at, { body: value, ...ifMatch(version) }),
    insert: (value: string) => to<Written>("PUT", at, { body: value, headers: { "If-None-Match": "*" } }),
    remove: (version?: string | null) => to<void>("DELETE", at, ifMatch(version)),
    undelete: () => to<Written>("POST", [...at, "undelete"]),
    revert: (version: string) => to<Written>("POST", [...at, "revert"], { body: json({ version }) }),
    history: (limit: number) => to<{ entries: Revision[]; more: number }>("GET", [...at, "history"], { query: { limit } }),
    version: (version: string) => to<{ version: string; value: Json }>("GET", [...at, "versions", version]),
    diff: (from: string, to_?: string) => to<Diff>("GET", [...at, "diff"], { query: { from, to: to_ } }),
    conflicts: () => to<{ conflicts: Conflict[]; more: number }>("GET", [...at, "conflicts"]),
  };
}

export const collections = (space: string) => to<{ collections: Collection[] }>("GET", ["spaces", space, "collections"]);
