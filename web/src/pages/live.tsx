/** A live query: an answer that is kept up, and what changed in it. */

import { useRef, useState } from "preact/hooks";
import type { Problem } from "../api/http";
import { objectMistake, shown } from "../api/json";
import { collection, nameOf } from "../api/routes";
import type { Document, LiveEvent } from "../api/types";
import { counted, moment } from "../format";
import { useFollow } from "../hooks";
import { href } from "../route";
import { Curl } from "../ui/copy";
import { Empty, Trouble } from "../ui/notice";
import { DocumentTable } from "./document-table";
import { QueryInputs, queryOf, useAsked } from "./query-form";

const LOG_MAX = 200;

interface Line {
  at: number;
  number: number;
  event: LiveEvent;
}

interface State {
  docs: Document[];
  log: Line[];
}

/** The answer after an event. */
export function applied(docs: Document[], event: LiveEvent): Document[] {
  const id = event.event === "removed" ? event.id : event.doc.id;
  if (event.event === "changed") return docs.map((doc) => (doc.id === id ? event.doc : doc));
  const rest = docs.filter((doc) => doc.id !== id);
  if (event.event === "removed") return rest;
  const at = event.after === null ? 0 : rest.findIndex((doc) => doc.id === event.after) + 1;
  return [...rest.slice(0, at), event.doc, ...rest.slice(at)];
}

export function Live({ space, name }: { space: string; name: string }) {
  const [asked, set] = useAsked();
  const [running, setRunning] = useState(false);
  const [state, setState] = useState<State>({ docs: [], log: [] });
  const [problem, setProblem] = useState<Problem>();
  const number = useRef(0);
  const mistake = asked.selector.trim() ? objectMistake(asked.selector) : undefined;
  const query = mistake ? undefined : queryOf(asked);

  const lines = (events: LiveEvent[]): Line[] => events.map((event) => ({ at: Date.now(), number: ++number.current, event }));
  useFollow(running && query ? { kind: "query", space, collection: name, ...query } : undefined, {
    ready: (events) => setState((before) => ({ docs: events.reduce(applied, []), log: before.log })),
    batch: (events) =>
      setState((before) => ({
        docs: events.reduce(applied, before.docs),
        log: [...lines(events).reverse(), ...before.log].slice(0, LOG_MAX),
      })),
    problem: (told) => {
      setProblem(told);
      setRunning(false);
    },
  });
  const toggle = (event: Event) => {
    event.preventDefault();
    setProblem(undefined);
    setState({ docs: [], log: [] });
    setRunning(!running);
  };
  return (
    <>
      <form class="card" onSubmit={toggle}>
        <fieldset disabled={running}>
          <legend class="hidden">The query to follow</legend>
          <QueryInputs asked={asked} set={set} mistake={mistake} />
        </fieldset>
        <Trouble problem={problem} />
        <div class="row">
          <button type="submit" class={running ? undefined : "primary"} disabled={!query}>
            {running ? "Stop" : "Follow"}
          </button>
          <Curl request={query && collection(space, name).live(query)} />
          <p class="faint" role="status">
            {running && `${counted(state.docs.length, "document")} in the answer`}
          </p>
        </div>
      </form>
      {!running && state.docs.length === 0 && (
        <Empty title="An answer that is kept up">
          <p>Follow a query, then change a document on any device: what changes appears here as it happens.</p>
        </Empty>
      )}
      {running && (
        <div class="halves">
          <DocumentTable name={name} docs={state.docs} fields={query?.fields} />
          <section class="card" aria-label="What changed">
            <h2>What changed</h2>
            {state.log.length === 0 && <p class="faint">Nothing yet.</p>}
            <ol class="log" aria-live="polite" aria-relevant="additions">
              {state.log.map((line) => (
                <LogLine key={line.number} line={line} name={name} />
              ))}
            </ol>
          </section>
        </div>
      )}
    </>
  );
}

const KINDS: Record<LiveEvent["event"], string> = { added: "tag tag-good", changed: "tag", moved: "tag", removed: "tag tag-warn" };

function LogLine({ line: { at, event }, name }: { line: Line; name: string }) {
  const doc = event.event === "removed" ? event : event.doc;
  const text = event.event === "removed" ? "" : shown(event.doc.value).slice(0, 160);
  return (
    <li>
      <time class="faint">{moment(at)}</time> <span class={KINDS[event.event]}>{event.event}</span>{" "}
      <a href={href(["collections", name, "docs", nameOf(doc)])}>{doc.key ?? doc.id.slice(0, 10)}</a>
      {text && <code class="faint"> {text}</code>}
    </li>
  );
}
