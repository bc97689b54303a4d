/** The indexes of a collection: make, watch, check, build anew and drop them. */

import { useState } from "preact/hooks";
import { send } from "../api/http";
import { collection } from "../api/routes";
import type { Index, IndexChecked } from "../api/types";
import { count, counted } from "../format";
import { useAction, useAnswer, useInterval } from "../hooks";
import { Curl } from "../ui/copy";
import { Ask, TextField } from "../ui/form";
import { Empty, Note, Trouble } from "../ui/notice";
import { Table } from "../ui/table";

interface Props {
  space: string;
  name: string;
}

export function Indexes({ space, name }: Props) {
  const api = collection(space, name);
  const request = api.indexes();
  const { data, problem, reload } = useAnswer(request);
  const shown = useAnswer(api.show());
  const all = data?.indexes ?? [];
  const isBuilding = all.some(({ state }) => state === "building");
  useInterval(() => void reload(), isBuilding ? 1_000 : undefined);
  const action = useAction();
  const [checked, setChecked] = useState<{ index: string; found: IndexChecked }>();
  const [dropping, setDropping] = useState<string>();
  const check = (index: string) =>
    action.run(async () => setChecked({ index, found: (await send(api.checkIndex(index))).data }));
  const rebuild = (index: string) =>
    action.run(async () => {
      await send(api.rebuildIndex(index));
      await reload();
    }, "It is being built anew");
  const drop = () =>
    action.run(async () => {
      await send(api.dropIndex(dropping ?? ""));
      setDropping(undefined);
      await reload();
    }, "Dropped");
  return (
    <>
      <Trouble problem={problem ?? action.problem} />
      {checked && <Checked {...checked} />}
      {data && all.length === 0 && (
        <Empty title="No indexes yet">
          <p>An index makes queries over its fields fast. Its definition goes to every device, and each builds its own.</p>
        </Empty>
      )}
      {all.length > 0 && (
        <Table
          label="Indexes"
          head={
            <>
              <th scope="col">Name</th>
              <th scope="col">Fields</th>
              <th scope="col">State</th>
              <th scope="col" class="roomy">
                Lists
              </th>
              <th scope="col">
                <span class="hidden">What can be done</span>
              </th>
            </>
          }
        >
          {all.map((index) => (
            <tr key={index.name}>
              <th scope="row">{index.name}</th>
              <td>
                <code>{index.fields.join(", ")}</code>
              </td>
              <td>
                <State index={index} documents={shown.data?.documents} />
              </td>
              <td class="roomy">{index.lists ? "yes" : "no"}</td>
              <td>
                <div class="row tight">
                  <button type="button" class="link" aria-label={`Check ${index.name}`} disabled={action.busy} onClick={() => void check(index.name)}>
                    Check
                  </button>
                  <button type="button" class="link" aria-label={`Rebuild ${index.name}`} disabled={action.busy} onClick={() => void rebuild(index.name)}>
                    Rebuild
                  </button>
                  <button type="button" class="link bad" aria-label={`Drop ${index.name}`} onClick={() => setDropping(index.name)}>
                    Drop
                  </button>
                </div>
              </td>
            </tr>
          ))}
        </Table>
      )}
      <div class="foot">
        <Curl request={request} />
      </div>
      <NewIndex space={space} name={name} onMade={reload} />
      <Ask open={dropping !== undefined} title={`Drop the index ${dropping ?? ""}?`} action="Drop" danger busy={action.busy} onAction={() => void drop()} onClose={() => setDropping(undefined)}>
        <p>It goes away on every device. Documents stay as they are; queries that used it get slower.</p>
      </Ask>
    </>
  );
}

function State({ index: { name, state, documents }, documents: all }: { index: Index; documents?: number }) {
  if (state === "ready") return <span class="tag tag-good">ready</span>;
  const done = documents ?? 0;
  return (
    <span class="state">
      <span class="tag tag-warn">building</span>
      <progress max={Math.max(all ?? 0, done, 1)} value={done} aria-label={`How far ${name} is`} />
      {count(done)}
    </span>
  );
}

function Checked({ index, found: { documents, rows, missing, extra } }: { index: string; found: IndexChecked }) {
  const isWhole = missing === 0 && extra === 0;
  return (
    <Note kind={isWhole ? "good" : "warn"}>
      <strong>{index}</strong>: {counted(documents, "document")}, {counted(rows, "row")}.{" "}
      {isWhole ? "Nothing is missing and nothing extra." : `${count(missing)} missing, ${count(extra)} extra: rebuild it.`}
    </Note>
  );
}

function NewIndex({ space, name, onMade }: Props & { onMade(): Promise<void> }) {
  const [index, setIndex] = useState("");
  const [fields, setFields] = useState("");
  const { busy, problem, run } = useAction();
  const paths = fields.split(",").map((path) => path.trim()).filter(Boolean);
  const mistake = index && !/^[A-Za-z0-9_-]{1,64}$/.test(index) ? "Letters, digits, _ and -, at most 64" : undefined;
  const request = collection(space, name).putIndex(index || "NAME", paths);
  const submit = (event: Event) => {
    event.preventDefault();
    void run(async () => {
      await send(request);
      setIndex("");
      setFields("");
      await onMade();
    }, "Defined");
  };
  return (
    <form class="card" onSubmit={submit}>
      <h2>New index</h2>
      <div class="grid">
        <TextField label="Name" value={index} error={mistake} placeholder="by_state" onText={setIndex} required />
        <TextField label="Fields, in order" value={fields} placeholder="state, pop" class="mono" onText={setFields} required />
      </div>
      <Trouble problem={problem} />
      <div class="row">
        <button type="submit" class="primary" disabled={busy || !index || paths.length === 0 || Boolean(mistake)}>
          Define it
        </button>
        <Curl request={request} />
      </div>
    </form>
  );
}
