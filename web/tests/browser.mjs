// A browser that watches what the console does: requests that leave the origin, errors, overflow, and what axe finds.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const ARGUMENTS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];
const DIST = new URL("../dist/", import.meta.url).pathname;

// Pages that a test answers itself have no address, and so may not open WebSockets, unless this is off.
const BUILT = "--disable-features=LocalNetworkAccessChecks";

export const launch = (executablePath, built) => chromium.launch({ executablePath, args: built ? [...ARGUMENTS, BUILT] : ARGUMENTS });

/** Opens a tab. What it does wrong is added to `faults`. */
export async function tab(browser, node, { width, scheme, faults, built, token = node.token }) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: scheme, baseURL: node.url, reducedMotion: "reduce" });
  if (built) await context.route((url) => !/^\/(v1|graphql$)/.test(url.pathname), (route) => instead(route));
  if (token) {
    const kept = JSON.stringify({ token, account: "owner", role: "owner" });
    await context.addInitScript(`sessionStorage.getItem("left") || sessionStorage.setItem("cosmicsync.session", ${JSON.stringify(kept)})`);
  }
  const page = await context.newPage();
  const expected = new Set();
  page.on("console", (message) => {
    if (message.type() !== "error") return;
    // The browser tells of each answer that is an error, and of a node that is away: tests name what they ask for.
    const status = /status of (\d+)/.exec(message.text())?.[1];
    const away = /ERR_CONNECTION_(REFUSED|RESET)|ERR_EMPTY_RESPONSE|WebSocket connection to/.test(message.text()) && "away";
    if (!expected.has(status ? Number(status) : away)) faults.push({ kind: "console errors", where: page.url(), what: `${message.text()} ${message.location().url}` });
  });
  page.on("pageerror", (error) => faults.push({ kind: "console errors", where: page.url(), what: String(error) }));
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (["http:", "https:", "ws:", "wss:"].includes(url.protocol) && url.host !== new URL(node.url).host) {
      faults.push({ kind: "requests to elsewhere", where: page.url(), what: request.url() });
    }
  });
  return { page, context, expect: (...all) => all.forEach((one) => expected.add(one)) };
}

/** Answers with what was built last, under the policy of the real pages: to work on the console without building Rust. */
async function instead(route) {
  const { pathname } = new URL(route.request().url());
  const file = { "/": "index.html", "/docs": "docs.html", "/graphiql": "graphiql.html" }[pathname] ?? pathname.slice(1);
  const path = file.startsWith("vendor/") ? join(DIST, "..", file) : join(DIST, file);
  const types = { html: "text/html", js: "text/javascript", css: "text/css", svg: "image/svg+xml" };
  const style = pathname === "/" ? "" : "style-src 'self' 'unsafe-inline'; font-src 'self' data:; ";
  try {
    await route.fulfill({
      body: gunzipSync(readFileSync(`${path}.gz`)),
      contentType: types[file.split(".").pop()],
      headers: { "content-security-policy": `default-src 'self'; ${style}img-src 'self' data: blob:; object-src 'none'` },
    });
  } catch {
    await route.fulfill({ status: 404 });
  }
}

/** Looks at a page as it stands: its width, and what is wrong for whoever does not see it or has only a keyboard. */
export async function inspect(page, name, faults, { axe = true } = {}) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  const main = await page.evaluate(() => {
    const element = document.querySelector("main");
    return element ? element.scrollWidth - element.clientWidth : 0;
  });
  if (wide > 0 || main > 0) faults.push({ kind: "pages that overflow", where: name, what: `${Math.max(wide, main)} px` });
  if (!axe) return;
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  for (const { id, impact, nodes } of violations) {
    if (impact === "serious" || impact === "critical") {
      faults.push({ kind: "serious findings of axe", where: name, what: `${id}: ${nodes.slice(0, 3).map(({ html }) => html.slice(0, 160)).join(" | ")}` });
    }
  }
}
