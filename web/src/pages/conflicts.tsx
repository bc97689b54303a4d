/** Concurrent values: what was written at the same time as what shows. */

import { writeJson } from "../api/json";
import { document as routes } from "../api/routes";
import { brief } from "../format";
import { useAnswer } from "../hooks";
import { href } from "../route";
import { Curl } from "../ui/copy";
import { Empty, Note, Trouble } from "../ui/notice";
import { Table } from "../ui/table";

export function Conflicts({ space, name, doc }: { space: string; name: string; doc: string }) {
  const request = routes(space, name, doc).conflicts();
  const { data, problem } = useAnswer(request);
  return (
    <>
      <Trouble problem={problem} />
      {data?.conflicts.length === 0 && (
        <Empty title="Nothing is hidden">
          <p>Where devices write one plain value at the same time, one of them shows, and the others would be listed here.</p>
        </Empty>
      )}
      {data && data.conflicts.length > 0 && (
        <>
          <Note>
            These values were written at the same time as those that show. To take one, put it into the <a href={href(["collections", name, "docs", doc])}>document</a> and save.
          </Note>
          <Table
            label="Concurrent values"
            head={
              <>
                <th scope="col">Where</th>
                <th scope="col">What was written</th>
                <th scope="col">Device</th>
              </>
            }
          >
            {data.conflicts.map(({ path, value, device }, at) => (
              <tr key={at}>
                <th scope="row">
                  <code>{path}</code>
                </th>
                <td class="wrap mono">{writeJson(value)}</td>
                <td>
                  <code>{device ? brief(device) : "–"}</code>
                </td>
              </tr>
            ))}
          </Table>
        </>
      )}
      <div class="foot">
        <Curl request={request} />
      </div>
    </>
  );
}
