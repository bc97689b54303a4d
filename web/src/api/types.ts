/** What the API answers with. The names are those of `/v1/openapi.json`. */

import type { Json, JsonObject } from "./json";

export interface Violation {
  pointer: string;
  keyword: string;
  message: string;
}

export const ROLES = ["owner", "admin", "editor", "viewer", "auditor"] as const;
export type Role = (typeof ROLES)[number];

export interface Me {
  account?: string;
  role?: Role;
}

export interface Login extends Me {
  token: string;
  expiresAt?: number;
}

export interface Account {
  name: string;
  role: Role;
  createdAt: number;
  password: boolean;
}

export interface Only {
  space?: string;
  collection?: string;
  readOnly: boolean;
}

export interface Token {
  name: string;
  readOnly: boolean;
  createdAt: number;
  expiresAt?: number;
  account?: string;
  only: Only[];
  session: boolean;
}

export interface NewToken {
  name: string;
  readOnly: boolean;
  expiresMs?: number;
  account?: string;
  only: Only[];
}

export interface Audited {
  number: number;
  at: number;
  who: string;
  what: string;
  about: string;
  done: boolean;
}

export interface LogLine {
  number: number;
  at: number;
  level: string;
  target: string;
  message: string;
}

export interface LogPage {
  lines: LogLine[];
  next: number;
  missed: number;
}

export const DEEDS = ["list", "view", "create", "update", "delete"] as const;
export type Deed = (typeof DEEDS)[number];
/** A selector for each; null is locked. */
export type Rules = Record<Deed, Json>;

export interface Verdict {
  deed: Deed;
  allowed: boolean;
  why: "role" | "locked" | "rule" | "free";
}

export interface Space {
  id: string;
  name: string;
  documents: number;
  devices: number;
  missing: number;
}

/** A line that brings one device into a space, once. */
export interface Invite {
  invite: string;
  expiresAt: number;
}

export interface Device {
  device: string;
  name?: string | null;
  this: boolean;
  connected: boolean;
  seenAt?: number | null;
}

export interface Peer {
  address: string;
  device?: string | null;
  dialled: boolean;
  state: "paused" | "waiting" | "away" | "connecting" | "connected";
  behind: number;
  ahead: number;
  error?: string | null;
  seen_at?: number | null;
}

export interface Status {
  name: string;
  device: string;
  version: string;
  listen?: string | null;
  paused: boolean;
  uptime_ms: number;
  store: { bytes: number; bytes_max: number; logs: number; entries: number; error?: string | null };
  spaces: Space[];
  peers: Peer[];
}

export interface Collection {
  name: string;
  documents: number;
  format?: string | null;
  id?: string | null;
  text: string[];
}

export interface Document {
  id: string;
  key?: string | null;
  version?: string | null;
  value?: JsonObject;
  valid?: boolean | null;
}

export interface Page {
  docs: Document[];
  bookmark: string | null;
  warning?: string | null;
}

export interface Query {
  selector?: Json;
  sort?: Json[];
  fields?: string[];
  limit?: number;
  bookmark?: string;
  use_index?: string;
}

export interface Plan {
  plan: "get" | "index" | "union" | "scan";
  sort: "index" | "memory" | "none";
  behind: number;
  indexes: { index: string; fields: string[]; equal: number; bounded: boolean; ranges: number; direction: string }[];
  rejected: { index: string; why: string }[];
}

export interface Counted {
  count?: number | null;
  groups?: { value?: Json; count: number; measures: Json[] }[] | null;
}

export interface Written {
  id: string;
  collection: string;
  key?: string | null;
  created: boolean;
  version?: string | null;
}

export interface Revision {
  kind: "created" | "edited" | "deleted" | "undeleted" | "excluded" | "missing";
  at: number;
  device?: string | null;
  log: string;
  seq: number;
  version?: string | null;
}

export interface PatchOperation {
  op: string;
  path: string;
  from?: string | null;
  value?: Json;
}

export interface Diff {
  from: string;
  to: string;
  patch: PatchOperation[];
  before: Json[];
}

export interface Conflict {
  path: string;
  value: Json;
  device?: string | null;
}

export interface Index {
  name: string;
  fields: string[];
  state: "building" | "ready";
  lists: boolean;
  documents?: number | null;
}

export interface IndexChecked {
  documents: number;
  rows: number;
  missing: number;
  extra: number;
}

export interface Schema {
  number: number;
  schema: Json;
}

export interface SchemaChecked {
  documents: number;
  invalid: number;
  number?: number | null;
  examples: { id: string; key?: string | null; violations: Violation[] }[];
}

export interface Imported {
  format: string;
  documents: number;
  replaced: number;
  unchanged: number;
  bytes: number;
  elapsed_ms: number;
  dry_run: boolean;
  columns?: string[];
  note?: string | null;
}

export interface FeedChange {
  cursor: string;
  collection: string;
  id: string;
  key?: string | null;
  version: string;
  deleted: boolean;
  local: boolean;
  value?: JsonObject;
}

export type LiveEvent =
  | { event: "added"; doc: Document; after: string | null }
  | { event: "changed"; doc: Document }
  | { event: "moved"; doc: Document; after: string | null }
  | { event: "removed"; id: string; key?: string };
