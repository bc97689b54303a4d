/** What a page says: problems where they arose, and short news that everybody hears. */

import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import type { Problem } from "../api/http";
import { store, useStore } from "../store";
import { Copy } from "./copy";

/** A problem: what went wrong, and what to do next. */
export function Trouble({ problem, children }: { problem?: Problem; children?: ComponentChildren }) {
  return (
    <div role="alert" class={problem ? "note note-bad" : "quiet"}>
      {problem && (
        <>
          <p>
            {sentence(problem.detail)} {problem.status > 0 && <code class="faint">{problem.code}</code>}
          </p>
          {problem.errors.length > 0 && (
            <ul>
              {problem.errors.map(({ pointer, message }) => (
                <li key={pointer + message}>
                  <code>{pointer || "/"}</code> {message}
                </li>
              ))}
            </ul>
          )}
          {problem.next && (
            <p class="next">
              Next: <code>{problem.next}</code> <Copy text={problem.next} label="Copy the next step" />
            </p>
          )}
          {children}
        </>
      )}
    </div>
  );
}

function sentence(text: string): string {
  const end = /[.!?)]$/.test(text) ? "" : ".";
  return text.charAt(0).toUpperCase() + text.slice(1) + end;
}

/** Something to know that is no error. */
export function Note({ kind = "info", children }: { kind?: "info" | "warn" | "good"; children: ComponentChildren }) {
  return (
    <div class={`note note-${kind}`} role="status">
      {children}
    </div>
  );
}

/** What stands where there is nothing yet: what to do about it. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {children}
    </div>
  );
}

const news = store<string>("");

/** Tells short news: "Saved". */
export function say(text: string): void {
  news.set(text);
}

/** Where news appear. */
export function News() {
  const text = useStore(news);
  useEffect(() => {
    if (!text) return;
    const timer = setTimeout(() => news.set(""), 4_000);
    return () => clearTimeout(timer);
  }, [text]);
  return (
    <div class="news" role="status" aria-live="polite">
      {text && <span>{text}</span>}
    </div>
  );
}
