/** The log of the node: its last lines, and new ones as they come. */

import { useEffect, useRef, useState } from "preact/hooks";
import { Problem, send } from "../api/http";
import { node } from "../api/routes";
import type { LogLine } from "../api/types";
import { moment } from "../format";
import { Curl } from "../ui/copy";
import { Field, TextField } from "../ui/form";
import { Empty, Note, Trouble } from "../ui/notice";
import { Page } from "../ui/page";

/** Lines that the page keeps. */
const KEPT = 1_000;
/** Lines of a request. */
const PAGE = 500;
/** How long a request waits for a line. */
const WAIT_MS = 20_000;
/** Pause after a request that failed. */
const RETRY_MS = 3_000;

/** Severities, the worst first. */
const LEVELS = ["error", "warn", "info", "debug", "trace"];

export function Log() {
  const [level, setLevel] = useState("trace");
  const [text, setText] = useState("");
  const [follows, setFollows] = useState(true);
  const { lines, missed, problem } = useLog(follows);
  const shown = lines?.filter((line) => LEVELS.indexOf(line.level) <= LEVELS.indexOf(level) && line.message.includes(text));
  const end = useRef<HTMLDivElement>(null);
  const newest = shown?.at(-1)?.number;
  useEffect(() => {
    const box = end.current;
    if (box && follows) box.scrollTop = box.scrollHeight;
  }, [newest, follows]);
  return (
    <Page title="Log" aside="the last lines; no content of documents and no secrets" actions={<Curl request={node.log(undefined, PAGE, 0)} />}>
      <div class="row">
        <Field label="At least">
          {(tied) => (
            <select {...tied} value={level} onChange={(event) => setLevel(event.currentTarget.value)}>
              {LEVELS.map((one) => (
                <option key={one}>{one}</option>
              ))}
            </select>
          )}
        </Field>
        <TextField label="With the text" value={text} onText={setText} autocomplete="off" />
        <button type="button" aria-pressed={!follows} onClick={() => setFollows(!follows)}>
          {follows ? "Pause" : "Follow"}
        </button>
      </div>
      <Trouble problem={problem} />
      {missed > 0 && <Note kind="warn">{missed} lines came faster than they were read, and are no longer kept.</Note>}
      {shown?.length === 0 && <Empty title="No lines">{<p>What the node writes to its log stands here.</p>}</Empty>}
      {shown && shown.length > 0 && (
        <div ref={end} class="log" role="log" aria-label="Lines of the log, oldest first" tabIndex={0}>
          {shown.map((line) => (
            <Line key={line.number} line={line} />
          ))}
        </div>
      )}
    </Page>
  );
}

function Line({ line: { at, level, target, message } }: { line: LogLine }) {
  const tag = level === "error" ? "tag-bad" : level === "warn" ? "tag-warn" : "";
  return (
    <p>
      <time dateTime={new Date(at).toISOString()}>{moment(at)}</time> <span class={`tag ${tag}`}>{level}</span>{" "}
      <span class="faint">{target}</span> <span>{message}</span>
    </p>
  );
}

/** The last lines, and new ones while it follows. */
function useLog(follows: boolean): { lines?: LogLine[]; missed: number; problem?: Problem } {
  const [state, setState] = useState<{ lines?: LogLine[]; missed: number; problem?: Problem }>({ missed: 0 });
  const next = useRef<number>(undefined);
  useEffect(() => {
    if (!follows) return;
    const abort = new AbortController();
    const follow = async () => {
      while (!abort.signal.aborted) {
        try {
          const after = next.current;
          const { data } = await send(node.log(after, PAGE, after === undefined ? 0 : WAIT_MS), abort.signal);
          // A node that was started anew counts its lines from 1 again.
          next.current = data.next;
          setState((before) => ({
            lines: [...(before.lines ?? []), ...data.lines].slice(-KEPT),
            missed: before.missed + data.missed,
          }));
        } catch (error) {
          if (abort.signal.aborted) return;
          setState((before) => ({ ...before, problem: Problem.of(error) }));
          await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
        }
      }
    };
    void follow();
    return () => abort.abort();
  }, [follows]);
  return state;
}
