/** Tables. On a narrow screen they scroll sideways in themselves, and the page does not. */

import type { ComponentChildren } from "preact";

export function Table({ label, head, children }: { label: string; head: ComponentChildren; children: ComponentChildren }) {
  return (
    <div class="scroll" role="region" aria-label={label} tabIndex={0}>
      <table>
        <thead>
          <tr>{head}</tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

export type Direction = "asc" | "desc" | undefined;

/** The head of a column that sorts: up, down, not at all. */
export function SortHead({ name, direction, onSort }: { name: string; direction: Direction; onSort(next: Direction): void }) {
  const next: Direction = direction === undefined ? "asc" : direction === "asc" ? "desc" : undefined;
  const spoken = direction === undefined ? "none" : direction === "asc" ? "ascending" : "descending";
  return (
    <th scope="col" aria-sort={spoken}>
      <button type="button" class="sort" onClick={() => onSort(next)}>
        {name}
        <span class="sort-mark" aria-hidden="true">
          {direction === "asc" ? "↑" : direction === "desc" ? "↓" : ""}
        </span>
      </button>
    </th>
  );
}

/** Names and values. */
export function Facts({ facts }: { facts: [string, ComponentChildren][] }) {
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
