/** Files into a collection and out of it, and the end of it. */

import { useRef, useState } from "preact/hooks";
import { download, send, upload } from "../api/http";
import { collection } from "../api/routes";
import type { Imported } from "../api/types";
import { bytes, count, counted, duration } from "../format";
import { useAction } from "../hooks";
import { go, href } from "../route";
import { Curl } from "../ui/copy";
import { Ask, Field, TextField } from "../ui/form";
import { Note, Trouble } from "../ui/notice";
import { Facts } from "../ui/table";

const FORMATS = ["csv", "tsv", "ndjson", "json", "xml"];

interface Props {
  space: string;
  name: string;
}

export function Files(place: Props) {
  return (
    <div class="halves">
      <Import {...place} />
      <Export {...place} />
      <Removal {...place} />
    </div>
  );
}

function Import({ space, name }: Props) {
  const [file, setFile] = useState<File>();
  const [id, setId] = useState("");
  const [numbers, setNumbers] = useState("");
  const [format, setFormat] = useState("");
  const [part, setPart] = useState<number>();
  const [done, setDone] = useState<Imported>();
  const stop = useRef<() => void>(undefined);
  const { busy, problem, run } = useAction();
  const request = (dryRun: boolean) =>
    collection(space, name).import(file ?? new Blob(), { format: format || guessed(file), id, numbers: numbers.replaceAll(/\s*,\s*/g, ","), ...(dryRun && { dryRun }) });
  const start = (dryRun: boolean) =>
    run(async () => {
      setDone(undefined);
      setPart(0);
      const sending = upload(request(dryRun), setPart);
      stop.current = sending.stop;
      try {
        setDone(await sending.done);
      } finally {
        setPart(undefined);
      }
    });
  return (
    <form
      class="card"
      onSubmit={(event) => {
        event.preventDefault();
        void start(false);
      }}
    >
      <h2>Import</h2>
      <Field label="File" hint="Of any size: it is read as it comes.">
        {(tied) => <input {...tied} type="file" accept=".csv,.tsv,.json,.ndjson,.jsonl,.xml,.txt" onChange={(event) => setFile(event.currentTarget.files?.[0])} />}
      </Field>
      <div class="grid">
        <TextField label="Member that is the key" value={id} placeholder="none" class="mono" onText={setId} hint="Import again, and rows under the same key take each other's place." />
        <TextField label="Columns of numbers" value={numbers} placeholder="none" class="mono" onText={setNumbers} hint="Of a table, separated by commas. All other cells are texts." />
        <Field label="Format">
          {(tied) => (
            <select {...tied} value={format} onChange={(event) => setFormat(event.currentTarget.value)}>
              <option value="">as the file says</option>
              {FORMATS.map((one) => (
                <option key={one}>{one}</option>
              ))}
            </select>
          )}
        </Field>
      </div>
      <Trouble problem={problem} />
      {part !== undefined && (
        <div class="row" role="status">
          <progress max={1} value={part === 1 ? undefined : part} aria-label="How much was sent" />
          <span>{part < 1 ? `${Math.floor(part * 100)} % sent` : "The node finishes"}</span>
          <button type="button" onClick={() => stop.current?.()}>
            Stop
          </button>
        </div>
      )}
      <div class="row">
        <button type="submit" class="primary" disabled={busy || !file}>
          Import
        </button>
        <button type="button" disabled={busy || !file} onClick={() => void start(true)}>
          Try without storing
        </button>
        <Curl request={file && request(false)} />
      </div>
      {done && <Result name={name} done={done} />}
    </form>
  );
}

function guessed(file: File | undefined): string | undefined {
  const ending = file?.name.split(".").pop()?.toLowerCase();
  if (ending === "jsonl") return "ndjson";
  return ending && FORMATS.includes(ending) ? ending : undefined;
}

function Result({ name, done }: { name: string; done: Imported }) {
  const { dry_run, documents, replaced, unchanged, format, elapsed_ms, columns, note } = done;
  return (
    <div class="report">
      <Note kind={dry_run ? "info" : "good"}>
        {dry_run ? (
          <>Nothing was stored. The file has {counted(documents, "row")}.</>
        ) : (
          <>
            {counted(documents, "new document")} in {duration(elapsed_ms)}. <a href={href(["collections", name])}>See them</a>
          </>
        )}
        {note && <p>{note}</p>}
      </Note>
      <Facts
        facts={[
          ["Format", format],
          ["Read", bytes(done.bytes)],
          ["Replaced", count(replaced)],
          ["Unchanged", count(unchanged)],
          ...(columns ? [["Columns", <code>{columns.join(", ")}</code>] as [string, preact.ComponentChildren]] : []),
        ]}
      />
    </div>
  );
}

function Export({ space, name }: Props) {
  const [format, setFormat] = useState("ndjson");
  const { busy, problem, run } = useAction();
  const request = collection(space, name).export(format);
  const save = () =>
    run(async () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(await download(request));
      link.download = `${name}.${format}`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    }, "The file is there");
  return (
    <section class="card" aria-label="Export">
      <h2>Export</h2>
      <Field label="Format of the file" hint="NDJSON and JSON keep every value; the others are for tables.">
        {(tied) => (
          <select {...tied} value={format} onChange={(event) => setFormat(event.currentTarget.value)}>
            {["ndjson", "json", "csv", "tsv", "xml"].map((one) => (
              <option key={one}>{one}</option>
            ))}
          </select>
        )}
      </Field>
      <Trouble problem={problem} />
      <div class="row">
        <button type="button" class="primary" disabled={busy} onClick={() => void save()}>
          {busy ? "Reading…" : "Download"}
        </button>
        <Curl request={request} />
      </div>
    </section>
  );
}

function Removal({ space, name }: Props) {
  const [asking, setAsking] = useState(false);
  const [typed, setTyped] = useState("");
  const { busy, problem, run } = useAction();
  const request = collection(space, name).remove();
  const remove = () =>
    run(async () => {
      await send(request);
      go(["collections"]);
    }, "Deleted");
  return (
    <section class="card" aria-label="Delete the collection">
      <h2>Delete the collection</h2>
      <p class="faint">All its documents, its indexes and its schema go, on every device.</p>
      <div class="row">
        <button type="button" class="danger" onClick={() => setAsking(true)}>
          Delete {name}
        </button>
        <Curl request={request} />
      </div>
      <Ask
        open={asking}
        title={`Delete ${name}?`}
        action="Delete all of it"
        danger
        busy={busy || typed !== name}
        onAction={() => typed === name && void remove()}
        onClose={() => setAsking(false)}
      >
        <TextField label="Type its name to go on" value={typed} onText={setTyped} autocomplete="off" />
        <Trouble problem={problem} />
      </Ask>
    </section>
  );
}
