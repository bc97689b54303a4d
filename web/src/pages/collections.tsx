/** The collections of a space. */

import { useState } from "preact/hooks";
import { collections } from "../api/routes";
import { count, counted } from "../format";
import { useAnswer, useFollow, useThrottle } from "../hooks";
import { go, href } from "../route";
import { Curl } from "../ui/copy";
import { Ask, TextField } from "../ui/form";
import { Icon } from "../ui/icons";
import { Empty, Trouble } from "../ui/notice";
import { Page } from "../ui/page";
import { Table } from "../ui/table";

const NAME_MISTAKE = /^[^_/][^/]*$/;

export function Collections({ space }: { space: string }) {
  const request = collections(space);
  const { data, problem, reload } = useAnswer(request);
  const refresh = useThrottle(reload, 1_000);
  useFollow({ kind: "feed", space }, { change: refresh, gap: refresh });
  const [asking, setAsking] = useState(false);
  const all = data?.collections;
  const sum = all?.reduce((sum, { documents }) => sum + documents, 0) ?? 0;
  return (
    <Page
      title="Collections"
      aside={all && `${counted(sum, "document")} in ${space}`}
      actions={
        <>
          <Curl request={request} />
          <button type="button" class="primary" onClick={() => setAsking(true)}>
            <Icon name="plus" /> New collection
          </button>
        </>
      }
    >
      <Trouble problem={problem} />
      {all?.length === 0 && (
        <Empty title="No collections yet">
          <p>A collection is there once it has a document. Make one here, or import a file:</p>
          <pre class="code" tabIndex={0}>cosmicsync import FILE.csv --collection NAME</pre>
        </Empty>
      )}
      {all && all.length > 0 && (
        <Table
          label="Collections"
          head={
            <>
              <th scope="col">Name</th>
              <th scope="col" class="number">
                Documents
              </th>
              <th scope="col">Imported from</th>
              <th scope="col">Key</th>
              <th scope="col">Merging texts</th>
            </>
          }
        >
          {all.map(({ name, documents, format, id, text }) => (
            <tr key={name}>
              <th scope="row">
                <a href={href(["collections", name])}>{name}</a>
              </th>
              <td class="number">{count(documents)}</td>
              <td>{format ?? <span class="faint">–</span>}</td>
              <td>{id ? <code>{id}</code> : <span class="faint">–</span>}</td>
              <td>{text.length > 0 ? <code>{text.join(", ")}</code> : <span class="faint">–</span>}</td>
            </tr>
          ))}
        </Table>
      )}
      <NewCollection open={asking} onClose={() => setAsking(false)} />
    </Page>
  );
}

function NewCollection({ open, onClose }: { open: boolean; onClose(): void }) {
  const [name, setName] = useState("");
  const mistake = name && !NAME_MISTAKE.test(name) ? "A name has no slash, and does not begin with _" : undefined;
  const next = (tab: string) => name && !mistake && go(["collections", name, tab]);
  return (
    <Ask open={open} title="New collection" action="Add its first document" onAction={() => next("new")} onClose={onClose}>
      <p>A collection comes with its first document.</p>
      <TextField label="Name" value={name} onText={setName} error={mistake} maxLength={255} required />
      <p>
        <button type="button" class="link" disabled={!name || Boolean(mistake)} onClick={() => next("files")}>
          Import a file instead
        </button>
      </p>
    </Ask>
  );
}
