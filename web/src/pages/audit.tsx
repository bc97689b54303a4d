/** The audit log: what concerned who may do what. */

import { useEffect, useState } from "preact/hooks";
import { audit } from "../api/routes";
import type { Audited } from "../api/types";
import { moment } from "../format";
import { useAnswer } from "../hooks";
import { Curl } from "../ui/copy";
import { Empty, Trouble } from "../ui/notice";
import { Page } from "../ui/page";
import { Table } from "../ui/table";

const PAGE = 100;

export function Audit() {
  const [before, setBefore] = useState<number>();
  const [rows, setRows] = useState<Audited[]>();
  const request = audit(before, PAGE);
  const { data, problem } = useAnswer(request);
  useEffect(() => {
    if (data) setRows((known) => (before === undefined ? data.rows : [...(known ?? []), ...data.rows]));
  }, [data]);
  const last = rows?.at(-1);
  return (
    <Page title="Audit" aside="logins, denials, and changes of accounts, tokens and rules" actions={<Curl request={request} />}>
      <Trouble problem={problem} />
      {rows?.length === 0 && <Empty title="Nothing yet">{<p>The next login or change of an account stands here.</p>}</Empty>}
      {rows && rows.length > 0 && (
        <Table
          label="The audit log, newest first"
          head={
            <>
              <th scope="col">When</th>
              <th scope="col">Who</th>
              <th scope="col">What</th>
              <th scope="col">About</th>
              <th scope="col">Done</th>
            </>
          }
        >
          {rows.map(({ number, at, who, what, about, done }) => (
            <tr key={number}>
              <td>
                <time dateTime={new Date(at).toISOString()}>{moment(at)}</time>
              </td>
              <th scope="row">{who}</th>
              <td>{what}</td>
              <td class="wrap">{about}</td>
              <td>{done ? <span class="tag tag-good">done</span> : <span class="tag tag-bad">denied</span>}</td>
            </tr>
          ))}
        </Table>
      )}
      {last && data?.rows.length === PAGE && (
        <p class="foot">
          <button type="button" onClick={() => setBefore(last.number)}>
            Show older ones
          </button>
        </p>
      )}
    </Page>
  );
}
