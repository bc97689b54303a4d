// Proves the console in a browser over real nodes: `node prove.mjs --binary PATH --towns FILE.csv [--shots FOLDER]
// [--built] [--only PAGE]`. Prints a line of JSON for each figure; what is wrong goes to stderr, and the status says so.
// `--built` shows web/dist in place of what the program embeds.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { inspect, launch, tab } from "./tests/browser.mjs";
import { joined, owner } from "./tests/node.mjs";
import { PAGES } from "./tests/pages.mjs";
import { STORIES } from "./tests/stories.mjs";

const { values: options } = parseArgs({
  options: {
    binary: { type: "string" },
    towns: { type: "string" },
    shots: { type: "string", default: new URL("target/shots", import.meta.url).pathname },
    chromium: { type: "string", default: process.env.CHROMIUM ?? "/usr/bin/chromium" },
    only: { type: "string" },
    built: { type: "boolean", default: false },
  },
});
const KINDS = ["requests to elsewhere", "console errors", "pages that overflow", "serious findings of axe", "pages that do not show what they should", "stories that fail"];
const VIEWS = [1280, 390].flatMap((width) => ["light", "dark"].map((scheme) => ({ width, scheme })));
const faults = [];
const { built } = options;

function figure(name, value, n) {
  console.log(JSON.stringify({ name, value, n }));
}

/** Visits a page in one view. */
async function visit(opened, view, { name, at, seen, fill, click, then, settle = 150, statuses = [] }) {
  const { page, expect } = opened;
  expect(...statuses);
  const where = `${name} ${view.width} ${view.scheme}`;
  try {
    await page.goto(`/${at}`);
    await page.reload();
    await page.getByText(seen).first().waitFor({ timeout: 30_000 });
    if (fill) await page.getByLabel(fill[0], { exact: true }).fill(fill[1]);
    if (click) {
      await page.getByRole("button", { name: click }).first().click();
      await page.getByText(then).first().waitFor({ timeout: 30_000 });
    }
    await page.waitForTimeout(settle);
  } catch (error) {
    faults.push({ kind: "pages that do not show what they should", where, what: error.message.split("\n")[0] });
  }
  await page.screenshot({ path: join(options.shots, `${name}-${view.width}-${view.scheme}.png`) });
  await inspect(page, where, faults);
}

/** The bytes that the first page takes, packed. */
async function firstLoad(browser, node) {
  const { page, context } = await tab(browser, node, { width: 1280, scheme: "light", faults, token: null });
  const sizes = [];
  page.on("requestfinished", (request) => sizes.push(request.sizes().then((size) => size.responseBodySize)));
  await page.goto("/", { waitUntil: "networkidle" });
  const sum = (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
  await page.screenshot({ path: join(options.shots, "login.png") });
  await inspect(page, "login", faults);
  await context.close();
  return sum / 1024;
}

async function prove(folder) {
  mkdirSync(options.shots, { recursive: true });
  const first = await owner(options.binary, folder, options);
  const second = await joined(options.binary, folder, first);
  const browser = await launch(options.chromium, built);
  try {
    const pages = PAGES.filter(({ name }) => !options.only || name.startsWith(options.only));
    for (const view of VIEWS) {
      const opened = await tab(browser, first, { ...view, faults, built });
      for (const page of pages) await visit(opened, view, page);
      await opened.context.close();
    }
    figure("first load, KiB", Math.ceil(await firstLoad(browser, first)), 1);
    for (const [name, story] of Object.entries(STORIES).filter(([name]) => !options.only || name.includes(options.only))) {
      try {
        const open = (node, more) => tab(browser, node, { width: 1280, scheme: "light", faults, built, ...more });
        figure(name, await story({ first, second, open, shots: options.shots, faults }), 1);
      } catch (error) {
        faults.push({ kind: "stories that fail", where: name, what: error.message });
      }
    }
    const n = pages.length * VIEWS.length;
    for (const kind of KINDS) figure(kind, faults.filter((fault) => fault.kind === kind).length, n);
  } finally {
    await browser.close();
    await Promise.all([first.stop(), second.stop()]);
  }
}

const folder = mkdtempSync(join(tmpdir(), "console-"));
try {
  await prove(folder);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
for (const { kind, where, what } of faults) console.error(`${kind}: ${where}: ${what}`);
process.exitCode = faults.length === 0 ? 0 : 1;
