/** What was done to a document: each version can be seen, compared and made the value again. */

import { useState } from "preact/hooks";
import { send } from "../api/http";
import { writeJson } from "../api/json";
import { document as routes, nameOf } from "../api/routes";
import type { Revision } from "../api/types";
import { brief, moment } from "../format";
import { useAction, useAnswer, useFollow, useThrottle } from "../hooks";
import { Curl } from "../ui/copy";
import { Ask } from "../ui/form";
import { Trouble } from "../ui/notice";
import { Table } from "../ui/table";
import { Changes } from "./changes";

const STEP = 50;

interface Props {
  space: string;
  name: string;
  doc: string;
}

/** What is looked at: a version by itself, or what changed up to it. */
interface Look {
  version: string;
  before?: string;
}

export function History({ space, name, doc }: Props) {
  const api = routes(space, name, doc);
  const [limit, setLimit] = useState(STEP);
  const request = api.history(limit);
  const { data, problem, reload } = useAnswer(request);
  const refresh = useThrottle(reload, 300);
  const isThis = (id: { id: string; key?: string | null }) => nameOf(id) === doc || `~${id.id}` === doc;
  useFollow({ kind: "feed", space, collection: name }, { change: (change) => isThis(change) && refresh() });
  const [look, setLook] = useState<Look>();
  const [back, setBack] = useState<string>();
  const action = useAction();
  const revert = () =>
    action.run(async () => {
      await send(api.revert(back ?? ""));
      setBack(undefined);
      await reload();
    }, "The document has this value again");
  const entries = data?.entries ?? [];
  return (
    <>
      <Trouble problem={problem ?? (back ? undefined : action.problem)} />
      {data && (
        <Table
          label="History"
          head={
            <>
              <th scope="col">When</th>
              <th scope="col">What</th>
              <th scope="col" class="roomy">
                Device
              </th>
              <th scope="col">Version</th>
              <th scope="col">
                <span class="hidden">What can be done</span>
              </th>
            </>
          }
        >
          {entries.map((entry, at) => (
            <Row
              key={`${entry.log}/${entry.seq}`}
              entry={entry}
              isNow={at === 0}
              before={entries.slice(at + 1).find(({ version }) => version)?.version ?? undefined}
              onLook={setLook}
              onBack={setBack}
            />
          ))}
        </Table>
      )}
      <div class="foot">
        {data && data.more > 0 && (
          <button type="button" onClick={() => setLimit(limit + STEP)}>
            Show {Math.min(STEP, data.more)} more
          </button>
        )}
        <Curl request={request} />
      </div>
      {look && <Looked {...{ space, name, doc, look }} onClose={() => setLook(undefined)} />}
      <Ask open={back !== undefined} title="Go back to this version?" action="Revert" busy={action.busy} onAction={() => void revert()} onClose={() => setBack(undefined)}>
        <p>
          The document gets the value that it had at <code>{brief(back ?? "")}</code>, as a new change. Nothing is lost.
        </p>
        <Trouble problem={action.problem} />
      </Ask>
    </>
  );
}

interface RowProps {
  entry: Revision;
  isNow: boolean;
  before?: string;
  onLook(look: Look): void;
  onBack(version: string): void;
}

function Row({ entry: { at, kind, device, version }, isNow, before, onLook, onBack }: RowProps) {
  const id = version ? brief(version) : "";
  return (
    <tr>
      <td>
        <time dateTime={new Date(at).toISOString()}>{moment(at)}</time>
      </td>
      <td>
        <span class={kind === "deleted" || kind === "excluded" ? "tag tag-warn" : "tag"}>{kind}</span>
      </td>
      <td class="roomy">
        <code>{device ? brief(device) : "–"}</code>
      </td>
      <td>
        <code>{id || "–"}</code>
      </td>
      <td>
        {version && (
          <div class="row tight">
            {before && (
              <button type="button" class="link" aria-label={`Changes with ${id}`} onClick={() => onLook({ version, before })}>
                Changes
              </button>
            )}
            <button type="button" class="link" aria-label={`Value at ${id}`} onClick={() => onLook({ version })}>
              Value
            </button>
            {!isNow && (
              <button type="button" class="link" aria-label={`Revert to ${id}`} onClick={() => onBack(version)}>
                Revert
              </button>
            )}
          </div>
        )}
      </td>
    </tr>
  );
}

function Looked({ space, name, doc, look, onClose }: Props & { look: Look; onClose(): void }) {
  const api = routes(space, name, doc);
  const { version, before } = look;
  const value = useAnswer(before ? undefined : api.version(version));
  const diff = useAnswer(before ? api.diff(before, version) : undefined);
  const title = before ? `Changes with ${brief(version)}` : `Value at ${brief(version)}`;
  return (
    <section class="card" aria-label={title}>
      <div class="head">
        <h2>{title}</h2>
        <div class="actions">
          <Curl request={before ? api.diff(before, version) : api.version(version)} />
          <button type="button" onClick={onClose}>
            Close
          </button>
        </div>
      </div>
      <Trouble problem={value.problem ?? diff.problem} />
      {before && diff.data && <Changes diff={diff.data} />}
      {!before && value.data && (
        <pre class="code" tabIndex={0}>
          {writeJson(value.data.value, 2)}
        </pre>
      )}
    </section>
  );
}
