/** The console: the page that the address names, in its frame; without a token, the way in. */

import { useEffect } from "preact/hooks";
import { forgetSpaces, loadSpaces, useSpace, useSpaces } from "./hooks";
import { Accounts } from "./pages/accounts";
import { Audit } from "./pages/audit";
import { Backups } from "./pages/backups";
import { Collection } from "./pages/collection";
import { Collections } from "./pages/collections";
import { DocumentPage } from "./pages/document";
import { Log } from "./pages/log";
import { Login } from "./pages/login";
import { NewDocument } from "./pages/new-document";
import { Overview } from "./pages/overview";
import { Peers } from "./pages/peers";
import { QueryPage } from "./pages/query";
import { Spaces } from "./pages/spaces";
import { Tokens } from "./pages/tokens";
import { useMay } from "./roles";
import { useRoute, type Route } from "./route";
import { session } from "./session";
import { Shell } from "./shell";
import { useStore } from "./store";
import { Empty } from "./ui/notice";
import { Page } from "./ui/page";

export function App() {
  const { token } = useStore(session);
  const route = useRoute();
  const may = useMay();
  const first = may("look") ? "overview" : "collections";
  useEffect(() => {
    if (token) void loadSpaces();
    else forgetSpaces();
  }, [token]);
  if (!token || route.parts[0] === "login") return <Login />;
  return (
    <Shell section={route.parts[0] ?? first}>
      <Current route={route.parts.length > 0 ? route : { ...route, parts: [first] }} />
    </Shell>
  );
}

function Current({ route: { parts, query } }: { route: Route }) {
  const space = useSpace();
  const spaces = useSpaces();
  const [section, name, tab, key] = parts;
  switch (section) {
    case "overview":
      return <Overview />;
    case "peers":
      return <Peers />;
    case "spaces":
      return <Spaces />;
    case "accounts":
      return <Accounts />;
    case "tokens":
      return <Tokens />;
    case "audit":
      return <Audit />;
    case "log":
      return <Log />;
    case "backups":
      return <Backups />;
  }
  // The rest is about a space.
  if (!spaces) return null;
  const at = `${space}/${name}`;
  if (section === "query") return <QueryPage space={space} />;
  if (section !== "collections") return <NotFound />;
  if (!name) return <Collections space={space} />;
  if (tab === "docs" && key) return <DocumentPage key={`${at}/${key}`} space={space} name={name} doc={key} tab={parts[4] ?? "edit"} />;
  if (tab === "new") return <NewDocument key={at} space={space} name={name} />;
  return <Collection key={at} space={space} name={name} tab={tab ?? "docs"} query={query} />;
}

function NotFound() {
  return (
    <Page title="Not found">
      <Empty title="There is no such page">
        <p>
          Begin at the <a href="#/">overview</a>.
        </p>
      </Empty>
    </Page>
  );
}
