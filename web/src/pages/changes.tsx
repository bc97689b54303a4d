/** The difference between two versions, line by line. */

import { shown, type Json } from "../api/json";
import type { Diff } from "../api/types";

export function Changes({ diff }: { diff: Diff }) {
  if (diff.patch.length === 0) return <p class="faint">Both versions have the same value.</p>;
  return (
    <ul class="changes">
      {diff.patch.map(({ op, path, value }, at) => (
        <li key={at}>
          <code>{path || "/"}</code>
          {op !== "add" && <Side kind="del" value={diff.before[at]} />}
          {op !== "remove" && <Side kind="ins" value={value} />}
        </li>
      ))}
    </ul>
  );
}

function Side({ kind, value }: { kind: "del" | "ins"; value: Json | undefined }) {
  const text = typeof value === "string" ? JSON.stringify(value) : shown(value);
  return kind === "del" ? (
    <del>
      <span class="hidden">before: </span>
      {text}
    </del>
  ) : (
    <ins>
      <span class="hidden">after: </span>
      {text}
    </ins>
  );
}
