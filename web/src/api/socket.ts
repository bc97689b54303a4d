/** One WebSocket for all that pages follow. It connects again by itself, and each subscription goes on where it was. */

import { session } from "../session";
import { store } from "../store";
import { Problem } from "./http";
import { readJson, writeJson, type Json } from "./json";
import type { FeedChange, LiveEvent } from "./types";

export interface Followed {
  kind: "query" | "feed";
  space?: string;
  collection?: string;
  selector?: Json;
  sort?: Json[];
  fields?: string[];
  limit?: number;
}

export interface Handlers {
  /** The whole answer of a query; of a feed, that it stands. */
  ready?(events: LiveEvent[]): void;
  /** What changed in an answer. */
  batch?(events: LiveEvent[]): void;
  /** A document changed. */
  change?(change: FeedChange): void;
  /** Something was missed: read anew what is shown. */
  gap?(): void;
  /** The subscription ended. */
  problem?(problem: Problem): void;
}

interface Subscription {
  what: Followed;
  handlers: Handlers;
  cursor?: string;
}

type Message = {
  type: "ready" | "batch" | "change" | "gap" | "error" | "pong";
  id?: string | null;
  cursor?: string;
  events?: LiveEvent[];
  change?: FeedChange;
  problem?: { code: string; detail: string; next?: string };
};

export type Connection = "idle" | "connecting" | "live" | "lost";

/** How the connection is, for the mark in the corner. */
export const connection = store<Connection>("idle");

const PING_MS = 20_000;
const SILENCE_MS = 50_000;
const RETRY_MS = [250, 500, 1_000, 2_000, 5_000, 10_000];

const open = new Map<string, Subscription>();
let socket: WebSocket | undefined;
let retries = 0;
let heard = 0;
let number = 0;

/** Follows a query or a feed until the function that is returned is called. */
export function follow(what: Followed, handlers: Handlers): () => void {
  const id = `s${++number}`;
  const subscription: Subscription = { what, handlers };
  open.set(id, subscription);
  if (connection.get() === "live") subscribe(id, subscription);
  else connect();
  return () => {
    if (!open.delete(id)) return;
    say({ type: "unsub", id });
    if (open.size === 0) setTimeout(closeIfIdle, 1_000);
  };
}

function closeIfIdle(): void {
  if (open.size === 0 && socket) {
    socket.close();
    socket = undefined;
    connection.set("idle");
  }
}

function connect(): void {
  const { token } = session.get();
  if (socket || !token) return;
  connection.set(retries === 0 ? "connecting" : "lost");
  const mine = new WebSocket(`${location.origin.replace(/^http/, "ws")}/v1/ws`, "cosmicsync.v1");
  socket = mine;
  mine.onopen = () => {
    heard = Date.now();
    say({ type: "auth", token });
    connection.set("live");
    for (const [id, subscription] of open) subscribe(id, subscription);
  };
  mine.onmessage = (event) => {
    heard = Date.now();
    retries = 0;
    told(readJson(String(event.data)) as unknown as Message);
  };
  mine.onclose = (event) => {
    if (socket !== mine) return;
    socket = undefined;
    if (event.code === 4401) {
      session.expire(new Problem("unauthenticated", event.reason || "the token has ended", 401));
      connection.set("idle");
    } else if (open.size > 0) {
      connection.set("lost");
      setTimeout(connect, RETRY_MS[Math.min(retries++, RETRY_MS.length - 1)]);
    } else {
      connection.set("idle");
    }
  };
}

function subscribe(id: string, { what, cursor }: Subscription): void {
  // `-` is the only space, which the socket takes as none.
  const space = what.space === "-" ? undefined : what.space;
  say({ type: "sub", id, ...what, space, ...(cursor && { resume: cursor }) });
}

function told(message: Message): void {
  const { id } = message;
  const subscription = id ? open.get(id) : undefined;
  if (!id || !subscription) return;
  const { handlers } = subscription;
  const cursor = message.cursor ?? message.change?.cursor;
  if (cursor) subscription.cursor = cursor;
  switch (message.type) {
    case "ready":
      handlers.ready?.(message.events ?? []);
      return credit(id);
    case "batch":
      handlers.batch?.(message.events ?? []);
      return credit(id);
    case "change":
      if (message.change) handlers.change?.(message.change);
      return credit(id);
    case "gap":
      delete subscription.cursor;
      handlers.gap?.();
      return subscribe(id, subscription);
    case "error": {
      open.delete(id);
      const { code = "failed", detail = "the subscription ended", next } = message.problem ?? {};
      return handlers.problem?.(new Problem(code, detail, 0, next));
    }
    case "pong":
  }
}

function credit(id: string): void {
  say({ type: "credit", id, n: 1 });
}

function say(message: object): void {
  if (socket?.readyState === WebSocket.OPEN) socket.send(writeJson(message as unknown as Json));
}

// A connection may be dead without saying so: after a sleep, or where a cable was pulled.
setInterval(() => {
  if (!socket) return;
  if (socket.readyState === WebSocket.OPEN && Date.now() - heard > SILENCE_MS) socket.close();
  else say({ type: "ping" });
}, PING_MS);

addEventListener("online", () => {
  retries = 0;
  if (open.size > 0) connect();
});

session.follow(({ token }) => {
  socket?.close();
  if (!token) open.clear();
});
