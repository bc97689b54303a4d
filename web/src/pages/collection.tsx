/** A collection: its documents, and all that belongs to it. */

import { href } from "../route";
import { Page, Tabs } from "../ui/page";
import { Browse } from "./browse";
import { Files } from "./files";
import { Indexes } from "./indexes";
import { Live } from "./live";
import { QueryForm } from "./query-form";
import { Rules } from "./rules";
import { SchemaTab } from "./schema";

const TABS = [
  { id: "docs", label: "Documents" },
  { id: "query", label: "Query" },
  { id: "live", label: "Live" },
  { id: "indexes", label: "Indexes" },
  { id: "schema", label: "Schema" },
  { id: "files", label: "Import & export" },
  { id: "rules", label: "Rules" },
];

interface Props {
  space: string;
  name: string;
  tab: string;
  query: Record<string, string>;
}

export function Collection({ space, name, tab, query }: Props) {
  const at = ["collections", name];
  const tabs = TABS.map(({ id, label }) => ({ id, label, href: href(id === "docs" ? at : [...at, id]) }));
  const place = { space, name };
  return (
    <Page title={name} crumbs={[{ label: "Collections", href: href(["collections"]) }]}>
      <Tabs tabs={tabs} current={tab} label={`Parts of ${name}`} />
      {tab === "docs" && <Browse {...place} query={query} />}
      {tab === "query" && <QueryForm {...place} />}
      {tab === "live" && <Live {...place} />}
      {tab === "indexes" && <Indexes {...place} />}
      {tab === "schema" && <SchemaTab {...place} />}
      {tab === "files" && <Files {...place} />}
      {tab === "rules" && <Rules {...place} />}
    </Page>
  );
}
