/** The frame of a page: where it is, what it is called, what can be done. */

import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

export interface Crumb {
  label: string;
  href: string;
}

interface PageProps {
  title: string;
  crumbs?: Crumb[];
  actions?: ComponentChildren;
  /** Numbers and marks beside the title. */
  aside?: ComponentChildren;
  children: ComponentChildren;
}

/** The page that the browser loaded: whoever came by the keyboard begins above it, at the link that skips. */
let isFirst = true;

export function Page({ title, crumbs = [], actions, aside, children }: PageProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · CosmicSync`;
    // Whoever listens hears where they are; whoever looks sees no ring, as nobody tabbed here.
    if (!isFirst && document.activeElement === document.body) heading.current?.focus({ preventScroll: true });
    isFirst = false;
  }, [title]);
  return (
    <div class="page">
      {crumbs.length > 0 && (
        <nav class="crumbs" aria-label="Breadcrumbs">
          <ol>
            {crumbs.map(({ label, href }) => (
              <li key={href}>
                <a href={href}>{label}</a>
              </li>
            ))}
          </ol>
        </nav>
      )}
      <div class="head">
        <h1 ref={heading} tabIndex={-1}>
          {title}
        </h1>
        {aside && <div class="aside">{aside}</div>}
        {actions && <div class="actions">{actions}</div>}
      </div>
      {children}
    </div>
  );
}

/** Parts of a page, as links. */
export function Tabs({ tabs, current, label }: { tabs: (Crumb & { id: string })[]; current: string; label: string }) {
  const row = useRef<HTMLElement>(null);
  // Not by `scrollIntoView`: whoever came by the keyboard would then begin there.
  useEffect(() => {
    const shown = row.current?.querySelector<HTMLElement>("[aria-current]");
    if (row.current && shown) row.current.scrollLeft = shown.offsetLeft - (row.current.clientWidth - shown.offsetWidth) / 2;
  }, [current]);
  return (
    <nav ref={row} class="tabs" aria-label={label}>
      {tabs.map((tab) => (
        <a key={tab.id} href={tab.href} aria-current={tab.id === current ? "page" : undefined}>
          {tab.label}
        </a>
      ))}
    </nav>
  );
}
