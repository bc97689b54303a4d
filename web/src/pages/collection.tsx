/** A collection: its documents, and all that belongs to it. */

import { useMay, type Need } from "../roles";
import { href } from "../route";
import { Page, Tabs } from "../ui/page";
import { Browse } from "./browse";
import { Files } from "./files";
import { Indexes } from "./indexes";
import { Live } from "./live";
import { QueryForm } from "./query-form";
import { Rules } from "./rules";
import { SchemaTab } from "./schema";

const TABS: { id: string; label: string; need: Need }[] = [
  { id: "docs", label: "Documents", need: "read" },
  { id: "query", label: "Query", need: "read" },
  { id: "live", label: "Live", need: "read" },
  { id: "indexes", label: "Indexes", need: "manage" },
  { id: "schema", label: "Schema", need: "read" },
  { id: "files", label: "Import & export", need: "manage" },
  { id: "rules", label: "Rules", need: "manage" },
];

interface Props {
  space: string;
  name: string;
  tab: string;
  query: Record<string, string>;
}

export function Collection({ space, name, tab, query }: Props) {
  const at = ["collections", name];
  const may = useMay();
  const shown = TABS.filter(({ need }) => may(need));
  const tabs = shown.map(({ id, label }) => ({ id, label, href: href(id === "docs" ? at : [...at, id]) }));
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
