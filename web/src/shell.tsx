/** The frame of every page: where one can go, who one is, and whether the node is heard. */

import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { auth } from "./api/routes";
import { send } from "./api/http";
import { connection, type Connection } from "./api/socket";
import { useSpace, useSpaces } from "./hooks";
import { useMay, type Need } from "./roles";
import { go, href, useRoute } from "./route";
import { session } from "./session";
import { useStore } from "./store";
import { Icon, Mark, type IconName } from "./ui/icons";
import { News } from "./ui/notice";

interface Place {
  section: string;
  label: string;
  icon: IconName;
  need: Need;
}

const PLACES: Place[] = [
  { section: "overview", label: "Overview", icon: "overview", need: "look" },
  { section: "collections", label: "Collections", icon: "collections", need: "read" },
  { section: "query", label: "Query", icon: "query", need: "read" },
  { section: "peers", label: "Peers", icon: "peers", need: "look" },
  { section: "spaces", label: "Spaces", icon: "spaces", need: "look" },
];

const ADMIN: Place[] = [
  { section: "accounts", label: "Accounts", icon: "accounts", need: "look" },
  { section: "tokens", label: "Tokens", icon: "tokens", need: "look" },
  { section: "audit", label: "Audit", icon: "audit", need: "look" },
  { section: "log", label: "Log", icon: "log", need: "look" },
  { section: "backups", label: "Backups", icon: "backups", need: "own" },
];

export function Shell({ section, children }: { section: string; children: ComponentChildren }) {
  const [open, setOpen] = useState(false);
  const route = useRoute();
  const may = useMay();
  useEffect(() => setOpen(false), [route]);
  return (
    <div class="shell">
      <a class="skip" href="#main" onClick={skip}>
        Skip to the content
      </a>
      <header class="side" data-open={open}>
        <div class="side-top">
          <a class="brand" href={href([])}>
            <Mark /> CosmicSync
          </a>
          <button type="button" class="menu" aria-expanded={open} aria-controls="places" onClick={() => setOpen(!open)}>
            <Icon name={open ? "close" : "menu"} /> <span class="hidden">Menu</span>
          </button>
        </div>
        <div class="side-rest" id="places">
          <SpaceChoice />
          <nav aria-label="Main">
            <Links places={PLACES} section={section} />
            {may("look") && (
              <>
                <p class="side-label">Operation</p>
                <Links places={ADMIN} section={section} />
              </>
            )}
            <p class="side-label">For programs</p>
            <ul>
              <li>
                <a href="/docs">
                  <Icon name="docs" /> API reference
                </a>
              </li>
              <li>
                <a href="/graphiql">
                  <Icon name="out" /> GraphiQL
                </a>
              </li>
            </ul>
          </nav>
          <Who />
        </div>
      </header>
      <main id="main" tabIndex={-1}>
        {children}
      </main>
      <News />
    </div>
  );
}

/** The hash names pages, so the link moves the focus itself. */
function skip(event: Event): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

function Links({ places, section }: { places: Place[]; section: string }) {
  const may = useMay();
  return (
    <ul>
      {places.filter(({ need }) => may(need)).map((place) => (
        <li key={place.section}>
          <a href={href([place.section])} aria-current={place.section === section ? "page" : undefined}>
            <Icon name={place.icon} /> {place.label}
          </a>
        </li>
      ))}
    </ul>
  );
}

function SpaceChoice() {
  const spaces = useSpaces();
  const space = useSpace();
  if (!spaces || spaces.length < 2) return null;
  return (
    <div class="space-choice">
      <label for="space">Space</label>
      <select id="space" value={space} onChange={(event) => go(["collections"], { space: event.currentTarget.value })}>
        {spaces.map(({ id, name }) => (
          <option key={id} value={name}>
            {name}
          </option>
        ))}
      </select>
    </div>
  );
}

const HEARD: Record<Connection, string> = {
  idle: "Ready",
  connecting: "Connecting",
  live: "Live",
  lost: "Connecting again",
};

function Who() {
  const { account, role } = useStore(session);
  const state = useStore(connection);
  const leave = () => {
    // The token ends at the node too, where it is one of a login; others stay.
    void send(auth.logout()).catch(() => undefined);
    session.end();
  };
  return (
    <div class="who">
      <p>
        <span class={`dot dot-${state}`} aria-hidden="true" />
        <span role="status">{HEARD[state]}</span>
      </p>
      <p class="who-name">
        <span>
          {account ?? role ?? "token"} {account && role && <span class="faint">{role}</span>}
        </span>
        <button type="button" class="link" onClick={leave}>
          Sign out
        </button>
      </p>
    </div>
  );
}
