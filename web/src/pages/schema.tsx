/** The schema of a collection: see it, try another one on the documents, declare it. */

import { useEffect, useState } from "preact/hooks";
import { send } from "../api/http";
import { objectMistake, writeJson } from "../api/json";
import { collection, nameOf } from "../api/routes";
import type { SchemaChecked } from "../api/types";
import { count, counted } from "../format";
import { useAction, useAnswer } from "../hooks";
import { href } from "../route";
import { Curl } from "../ui/copy";
import { Ask, CodeField } from "../ui/form";
import { Note, Trouble } from "../ui/notice";
import { Table } from "../ui/table";

const FIRST = `{
  "required": ["name"],
  "properties": {
    "name": {"type": "string"}
  }
}`;

interface Props {
  space: string;
  name: string;
}

interface Report {
  about: "tried" | "declared" | "checked";
  checked: SchemaChecked;
}

export function SchemaTab({ space, name }: Props) {
  const api = collection(space, name);
  const found = useAnswer(api.schema());
  const [text, setText] = useState(FIRST);
  const [report, setReport] = useState<Report>();
  const [dropping, setDropping] = useState(false);
  const { busy, problem, run } = useAction();
  const isMissing = found.problem?.code === "not_found";
  const current = isMissing ? undefined : found.data;
  const stands = current && writeJson(current.schema, 2);
  useEffect(() => {
    if (stands) setText(stands);
  }, [stands]);
  const mistake = objectMistake(text);

  const declare = (options: { dryRun?: boolean; force?: boolean }) =>
    run(
      async () => {
        const { data } = await send(api.putSchema(text, options));
        setReport({ about: options.dryRun ? "tried" : "declared", checked: data });
        if (!options.dryRun) await found.reload();
      },
      options.dryRun ? undefined : "Declared",
    );
  const check = () => run(async () => setReport({ about: "checked", checked: (await send(api.checkSchema())).data }));
  const drop = () =>
    run(async () => {
      await send(api.dropSchema());
      setDropping(false);
      setReport(undefined);
      await found.reload();
    }, "Taken away");
  return (
    <>
      <Trouble problem={isMissing ? undefined : found.problem} />
      {isMissing && <Note>This collection has no schema: its documents may have any shape. Write one, and try it on the documents first.</Note>}
      {current && (
        <p class="foot">
          <span>
            Schema <strong>number {current.number}</strong>
          </span>
          <button type="button" class="link" disabled={busy} onClick={() => void check()}>
            Check all documents
          </button>
          <button type="button" class="link bad" onClick={() => setDropping(true)}>
            Take it away
          </button>
        </p>
      )}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (!mistake) void declare({ dryRun: true });
        }}
      >
        <CodeField label="Schema (JSON Schema 2020-12)" value={text} rows={Math.min(30, Math.max(9, text.split("\n").length + 1))} error={mistake} onText={setText} />
        <Trouble problem={problem}>
          {problem?.code === "schema_violation" && (
            <button type="button" class="danger" disabled={busy} onClick={() => void declare({ force: true })}>
              Declare it all the same
            </button>
          )}
        </Trouble>
        <div class="row">
          <button type="submit" class="primary" disabled={busy || Boolean(mistake)}>
            Try on the documents
          </button>
          <button type="button" disabled={busy || Boolean(mistake)} onClick={() => void declare({})}>
            Declare
          </button>
          <Curl request={mistake ? undefined : api.putSchema(text, { dryRun: true })} />
        </div>
      </form>
      {report && <Reported name={name} {...report} />}
      <Ask open={dropping} title="Take the schema away?" action="Take it away" danger busy={busy} onAction={() => void drop()} onClose={() => setDropping(false)}>
        <p>Documents stay as they are, and may have any shape from then on, on every device.</p>
      </Ask>
    </>
  );
}

function Reported({ name, about, checked: { documents, invalid, examples } }: { name: string } & Report) {
  const all = counted(documents, "document");
  return (
    <section class="report" aria-label="Report">
      <Note kind={invalid === 0 ? "good" : "warn"}>
        {about === "tried" && "Nothing was declared. "}
        {invalid === 0 ? `All is well: ${all} compared.` : `${count(invalid)} of ${all} are not as it says.`}
      </Note>
      {examples.length > 0 && (
        <Table
          label="Documents that are not as the schema says"
          head={
            <>
              <th scope="col">Document</th>
              <th scope="col">Where</th>
              <th scope="col">What is wrong</th>
            </>
          }
        >
          {examples.flatMap((doc) =>
            doc.violations.map(({ pointer, message }, at) => (
              <tr key={`${doc.id}/${at}`}>
                <th scope="row">
                  <a href={href(["collections", name, "docs", nameOf(doc)])}>{doc.key ?? doc.id.slice(0, 10)}</a>
                </th>
                <td>
                  <code>{pointer || "/"}</code>
                </td>
                <td class="wrap">{message}</td>
              </tr>
            )),
          )}
        </Table>
      )}
    </section>
  );
}
