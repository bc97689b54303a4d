/** The query page: choose a collection, then ask. */

import { collections } from "../api/routes";
import { useAnswer } from "../hooks";
import { href, refine, useRoute } from "../route";
import { Field } from "../ui/form";
import { Empty, Trouble } from "../ui/notice";
import { Page } from "../ui/page";
import { QueryForm } from "./query-form";

export function QueryPage({ space }: { space: string }) {
  const { query } = useRoute();
  const { data, problem } = useAnswer(collections(space));
  const names = data?.collections.map(({ name }) => name) ?? [];
  const name = query["in"] ?? names[0];
  return (
    <Page title="Query">
      <Trouble problem={problem} />
      {data && names.length === 0 && (
        <Empty title="There is nothing to ask yet">
          <p>
            Make a <a href={href(["collections"])}>collection</a> first.
          </p>
        </Empty>
      )}
      {name && (
        <>
          <Field label="Collection">
            {(tied) => (
              <select {...tied} class="short" value={name} onChange={(event) => refine({ in: event.currentTarget.value })}>
                {names.map((one) => (
                  <option key={one}>{one}</option>
                ))}
              </select>
            )}
          </Field>
          <QueryForm key={name} space={space} name={name} />
        </>
      )}
    </Page>
  );
}
