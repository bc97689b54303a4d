/** A new document. */

import { useState } from "preact/hooks";
import { send } from "../api/http";
import { objectMistake } from "../api/json";
import { collection, document as routes, nameOf } from "../api/routes";
import { useAction } from "../hooks";
import { go, href, useRoute } from "../route";
import { Curl } from "../ui/copy";
import { CodeField, TextField } from "../ui/form";
import { Trouble } from "../ui/notice";
import { Page } from "../ui/page";

export function NewDocument({ space, name }: { space: string; name: string }) {
  const { query } = useRoute();
  const [key, setKey] = useState(query["key"] ?? "");
  const [text, setText] = useState('{\n  "name": ""\n}');
  const { busy, problem, run } = useAction();
  const mistake = objectMistake(text);
  const request = key ? routes(space, name, key).insert(text) : collection(space, name).create(text);
  const submit = (event: Event) => {
    event.preventDefault();
    if (mistake) return;
    void run(async () => {
      const { data } = await send(request);
      go(["collections", name, "docs", nameOf(data)]);
    }, "Made");
  };
  const crumbs = [
    { label: "Collections", href: href(["collections"]) },
    { label: name, href: href(["collections", name]) },
  ];
  return (
    <Page title="New document" crumbs={crumbs} actions={<Curl request={mistake ? undefined : request} />}>
      <form class="narrow" onSubmit={submit}>
        <TextField
          label="Key"
          value={key}
          onText={setKey}
          maxLength={255}
          hint="Names the document in its collection. Without one it has only an id, or the key that its schema makes."
        />
        <CodeField label="Value (JSON)" value={text} rows={14} error={mistake} onText={setText} />
        <Trouble problem={problem} />
        <div class="row">
          <button type="submit" class="primary" disabled={busy || Boolean(mistake)}>
            Make the document
          </button>
          <a class="button" href={href(["collections", name])}>
            Cancel
          </a>
        </div>
      </form>
    </Page>
  );
}
