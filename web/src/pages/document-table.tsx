/** Documents as rows, with columns for the members that most of them have. */

import { useRef } from "preact/hooks";
import { isNumber, isObject, shown, type Json } from "../api/json";
import { nameOf } from "../api/routes";
import type { Document } from "../api/types";
import { href } from "../route";
import { SortHead, Table, type Direction } from "../ui/table";

/** A member to sort by, with `-` before it for downwards; or nothing. */
export type Sort = string;

const COLUMNS_MAX = 8;
/** The sort by the document's key. */
const KEY = "$key";

/** The sort as the API takes it. */
export function sortOf(sort: Sort): Json[] | undefined {
  return sort ? [sort] : undefined;
}

interface Props {
  name: string;
  docs: Document[];
  sort?: Sort;
  busy?: boolean;
  /** Columns to show, instead of guessing. */
  fields?: string[];
  onSort?(sort: Sort): void;
}

export function DocumentTable({ name, docs, sort = "", busy, fields, onSort }: Props) {
  const columns = fields ?? guessed(docs);
  const fresh = useFresh(docs);
  const head = (field: string, label: string) =>
    onSort ? (
      <SortHead key={field} name={label} direction={directionOf(sort, field)} onSort={(next) => onSort(next ? `${next === "desc" ? "-" : ""}${field}` : "")} />
    ) : (
      <th scope="col" key={field}>
        {label}
      </th>
    );
  return (
    <div class={busy ? "busy" : undefined}>
      <Table label={`Documents of ${name}`} head={[head(KEY, "Key"), ...columns.map((field) => head(escaped(field), field))]}>
        {docs.map((doc) => (
          <tr key={doc.id} class={fresh.has(doc.id) ? "fresh" : undefined}>
            <th scope="row">
              <a href={href(["collections", name, "docs", nameOf(doc)])}>{doc.key ?? <span class="faint mono">{doc.id.slice(0, 10)}</span>}</a>
            </th>
            {columns.map((field) => (
              <Cell key={field} value={fields ? reached(doc, field) : doc.value?.[field]} />
            ))}
          </tr>
        ))}
      </Table>
    </div>
  );
}

function Cell({ value }: { value: Json | undefined }) {
  if (value === undefined) return <td class="faint">–</td>;
  const text = shown(value);
  const kind = isNumber(value) ? "number" : isObject(value) || Array.isArray(value) ? "mono cut" : "cut";
  return (
    <td class={kind} title={text.length > 40 ? text.slice(0, 500) : undefined}>
      {text.length > 200 ? `${text.slice(0, 200)}…` : text}
    </td>
  );
}

/** The members that most documents have, in the order of the first that has them. */
function guessed(docs: Document[]): string[] {
  const seen = new Map<string, number>();
  for (const { value } of docs) {
    for (const name of Object.keys(value ?? {})) seen.set(name, (seen.get(name) ?? 0) + 1);
  }
  const often = [...seen].sort((a, b) => b[1] - a[1]).slice(0, COLUMNS_MAX);
  const kept = new Set(often.map(([name]) => name));
  return [...seen.keys()].filter((name) => kept.has(name));
}

/** What a path names in a document, where no list is crossed. */
function reached(doc: Document, path: string): Json | undefined {
  if (path === "$id") return doc.id;
  if (path === "$key") return doc.key ?? undefined;
  if (path === "$version") return doc.version ?? undefined;
  if (path === "$valid") return doc.valid;
  let value: Json | undefined = doc.value;
  for (const step of path.split(".")) value = isObject(value) ? value[step] : undefined;
  return value;
}

/** A member's name as a path. */
function escaped(name: string): string {
  return name.replaceAll("\\", "\\\\").replaceAll(".", "\\.").replace(/^\$/, "\\$");
}

function directionOf(sort: Sort, field: string): Direction {
  if (sort === field) return "asc";
  return sort === `-${field}` ? "desc" : undefined;
}

/** The documents whose version is another than when they were drawn last. */
function useFresh(docs: Document[]): Set<string> {
  const before = useRef<{ docs: Document[]; versions: Map<string, string>; fresh: Set<string> } | undefined>(undefined);
  if (before.current?.docs === docs) return before.current.fresh;
  const old = before.current?.versions;
  const versions = new Map(docs.map(({ id, version }) => [id, version ?? ""]));
  // On another page all are new: that is no news.
  const isSamePage = old !== undefined && docs.some(({ id }) => old.has(id));
  const fresh = new Set(isSamePage ? docs.filter(({ id }) => old.get(id) !== versions.get(id)).map(({ id }) => id) : []);
  before.current = { docs, versions, fresh };
  return fresh;
}
