/** How a query is answered, in words. */

import type { Plan } from "../api/types";
import { counted } from "../format";
import { Facts, Table } from "../ui/table";

const PLANS: Record<Plan["plan"], string> = {
  get: "The documents that it names are read",
  index: "An index brings what may match",
  union: "Several indexes bring what may match",
  scan: "Every document of the collection is read",
};
const SORTS: Record<Plan["sort"], string> = { index: "comes in order from the index", memory: "is sorted in memory", none: "is not sorted" };
const REJECTED: Record<string, string> = {
  building: "it is being built",
  prefix: "the selector says nothing of its first field",
  order: "it is not in the order that is asked for",
  wider: "another one brings less",
};

export function PlanCard({ plan }: { plan: Plan }) {
  return (
    <section class="card" aria-label="The plan">
      <h2>Plan</h2>
      <Facts
        facts={[
          ["How", <span class={plan.plan === "scan" ? "tag tag-warn" : "tag tag-good"}>{plan.plan}</span>],
          ["Which means", PLANS[plan.plan]],
          ["The answer", SORTS[plan.sort]],
          ["Behind", plan.behind ? `${counted(plan.behind, "document")} are read one by one` : "no index is behind"],
        ]}
      />
      {plan.indexes.length > 0 && (
        <Table
          label="Indexes that are read"
          head={["Index", "Fields", "Equal", "Bounded", "Ranges", "Direction"].map((name) => (
            <th scope="col" key={name}>
              {name}
            </th>
          ))}
        >
          {plan.indexes.map((part) => (
            <tr key={part.index}>
              <th scope="row">{part.index}</th>
              <td>
                <code>{part.fields.join(", ")}</code>
              </td>
              <td>{part.equal}</td>
              <td>{part.bounded ? "yes" : "no"}</td>
              <td>{part.ranges}</td>
              <td>{part.direction}</td>
            </tr>
          ))}
        </Table>
      )}
      {plan.rejected.length > 0 && (
        <ul class="faint rejected">
          {plan.rejected.map(({ index, why }) => (
            <li key={index}>
              <code>{index}</code> is not read: {REJECTED[why] ?? why}
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
