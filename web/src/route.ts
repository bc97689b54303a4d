/** The place in the console: the part of the address behind `#`. */

import { store, useStore } from "./store";

export interface Route {
  parts: string[];
  query: Record<string, string>;
}

function parse(): Route {
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const parts = path.split("/").filter(Boolean).map(decoded);
  return { parts, query: Object.fromEntries(new URLSearchParams(query)) };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

const current = store<Route>(parse());
addEventListener("hashchange", () => current.set(parse()));

export const useRoute = (): Route => useStore(current);

/** The address of a place. The space stays, unless `query` names another one. */
export function href(parts: string[], query: Record<string, string | undefined> = {}): string {
  const { space } = current.get().query;
  const all = Object.entries({ space, ...query }).filter((pair): pair is [string, string] => Boolean(pair[1]));
  const text = new URLSearchParams(all).toString();
  return `#/${parts.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

/** Goes to a place. */
export function go(parts: string[], query: Record<string, string | undefined> = {}): void {
  location.hash = href(parts, query);
}

/** Changes the query of this place, without a step in the browser's history. */
export function refine(query: Record<string, string | undefined>): void {
  const { parts, query: before } = current.get();
  history.replaceState(null, "", href(parts, { ...before, ...query }));
  current.set(parse());
}
