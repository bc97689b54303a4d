/** Requests of the node's API: the one place that sends them, and writes them as a command. */

import { readJson } from "./json";
import { session } from "../session";
import type { Violation } from "./types";

/** A request as a value: it can be sent, sent again, and shown as a command. `T` is what answers it. */
export interface Request<T> {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  path: string;
  query?: Record<string, string | number | boolean | undefined>;
  /** Text is sent as it stands; a file as its bytes. */
  body?: string | Blob;
  type?: string;
  headers?: Record<string, string>;
  /** Never there: it carries the type. */
  answer?: T;
}

export interface Answer<T> {
  data: T;
  headers: Headers;
  status: number;
  /** The body as it came. */
  text: string;
}

/** An error that the node told of, or that nothing came from it. */
export class Problem extends Error {
  constructor(
    readonly code: string,
    readonly detail: string,
    readonly status = 0,
    readonly next?: string,
    readonly errors: Violation[] = [],
  ) {
    super(detail);
  }

  /** Whatever was thrown, as a problem. */
  static of(error: unknown): Problem {
    if (error instanceof Problem) return error;
    return new Problem("failed", error instanceof Error ? error.message : String(error));
  }

  /** The body of an answer, as a problem. */
  static read(status: number, text: string): Problem {
    try {
      const body = JSON.parse(text) as { code: string; detail: string; next?: string; errors?: Violation[] };
      return new Problem(body.code, body.detail, status, body.next, body.errors);
    } catch {
      return new Problem("failed", `the node answered ${status}`, status);
    }
  }
}

/** Sends a request and reads the whole answer. Throws a [`Problem`]. */
export async function send<T>(request: Request<T>, signal?: AbortSignal): Promise<Answer<T>> {
  const response = await fetched(request, signal);
  const text = await response.text();
  const isJson = response.headers.get("content-type")?.includes("json") && text !== "";
  return { data: (isJson ? readJson(text) : text) as T, headers: response.headers, status: response.status, text };
}

/** Sends a request and keeps the answer as a file. */
export async function download(request: Request<Blob>): Promise<Blob> {
  return (await fetched(request)).blob();
}

async function fetched(request: Request<unknown>, signal?: AbortSignal): Promise<Response> {
  const init: RequestInit = { method: request.method, headers: headers(request), signal: signal ?? null };
  if (request.body !== undefined) init.body = request.body;
  let response: Response;
  try {
    response = await fetch(url(request), init);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem("unreachable", "The node does not answer.", 0, "see that it runs: cosmicsync status");
  }
  if (!response.ok) throw refused(Problem.read(response.status, await response.text()));
  return response;
}

/** Sends a file and tells how much of it went. */
export function upload<T>(request: Request<T>, progress: (part: number) => void): { done: Promise<T>; stop(): void } {
  const sending = new XMLHttpRequest();
  const done = new Promise<T>((resolve, reject) => {
    sending.open(request.method, url(request));
    for (const [name, value] of Object.entries(headers(request))) sending.setRequestHeader(name, value);
    sending.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    sending.onload = () =>
      sending.status < 300
        ? resolve(readJson(sending.responseText) as T)
        : reject(refused(Problem.read(sending.status, sending.responseText)));
    sending.onerror = () => reject(new Problem("unreachable", "The node broke the upload off."));
    sending.onabort = () => reject(new Problem("stopped", "You stopped the upload. What came before is stored."));
    sending.send(request.body ?? null);
  });
  return { done, stop: () => sending.abort() };
}

function refused(problem: Problem): Problem {
  if (["unauthenticated", "token_expired"].includes(problem.code)) session.expire(problem);
  return problem;
}

function headers(request: Request<unknown>): Record<string, string> {
  const all: Record<string, string> = { ...request.headers };
  const { token } = session.get();
  if (token) all["Authorization"] = `Bearer ${token}`;
  if (request.body !== undefined) all["Content-Type"] = request.type ?? "application/json";
  return all;
}

function url({ path, query }: Request<unknown>): string {
  const parts = Object.entries(query ?? {}).filter(([, value]) => value !== undefined && value !== "");
  const text = new URLSearchParams(parts.map(([name, value]): [string, string] => [name, String(value)])).toString();
  return text ? `${path}?${text}` : path;
}

/** The request as a command of a shell. The token comes from the environment. */
export function curl(request: Request<unknown>): string {
  const words = ["curl -sS", `-H "Authorization: Bearer $COSMICSYNC_TOKEN"`, quoted(location.origin + url(request))];
  const implied = request.body === undefined ? "GET" : "POST";
  if (request.method !== implied) words.push(`-X ${request.method}`);
  for (const [name, value] of Object.entries(request.headers ?? {})) words.push(`-H ${quoted(`${name}: ${value}`)}`);
  if (typeof request.body === "string") {
    const type = request.type ?? "application/json";
    words.push(type === "application/json" ? "--json" : `-H ${quoted(`Content-Type: ${type}`)} --data-binary`);
    words.push(quoted(request.body));
  } else if (request.body) {
    const name = request.body instanceof File ? request.body.name : "FILE";
    words.push(`--data-binary ${quoted(`@${name}`)}`);
  }
  return words.join(" \\\n  ");
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
