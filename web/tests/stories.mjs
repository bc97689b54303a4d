// What users do, from the first click to what they see. Each returns a figure.
import { join } from "node:path";

const PATIENCE = { timeout: 20_000 };

/** An edit in the console of one node appears in that of another, in a table and in an editor, without loading anew. */
async function edit(world) {
  const one = await world.open(world.first);
  const other = await world.open(world.second);
  const watching = await world.open(world.second);
  await other.page.goto("/#/collections/notes");
  await other.page.getByText("Shopping").waitFor(PATIENCE);
  await watching.page.goto("/#/collections/notes/docs/shop");
  await watching.page.getByLabel("Value (JSON)").waitFor(PATIENCE);
  await one.page.goto("/#/collections/notes/docs/shop");
  const editor = one.page.getByLabel("Value (JSON)");
  await editor.waitFor(PATIENCE);
  await editor.fill('{"title": "Groceries", "items": ["milk", "bread", "pears"], "done": false}');
  const begun = Date.now();
  await one.page.getByRole("button", { name: "Save" }).click();
  await other.page.getByText("Groceries").waitFor(PATIENCE);
  const took = Date.now() - begun;
  await watching.page.waitForFunction(() => document.querySelector("textarea")?.value.includes("pears"), undefined, PATIENCE);
  for (const { context } of [one, other, watching]) await context.close();
  return took;
}

/** Two edit one document: the second is told what changed, and chooses. Numbers keep their digits. */
async function clash(world) {
  const { page, context, expect } = await world.open(world.first);
  expect(412);
  await page.goto("/#/collections/notes/docs/trip");
  const editor = page.getByLabel("Value (JSON)");
  await editor.waitFor(PATIENCE);
  const text = await editor.inputValue();
  await editor.fill(text.replace('"days": 6', '"days": 7'));
  await world.first.api("PUT", "collections/notes/docs/trip", text.replace("Lisbon and Porto", "Porto alone"));
  await page.getByText("Somebody changed the document").waitFor(PATIENCE);
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Not saved").waitFor(PATIENCE);
  await page.getByText("Porto alone").waitFor(PATIENCE);
  await page.screenshot({ path: join(world.shots, "story-clash.png") });
  await page.getByRole("button", { name: "Save mine over it" }).click();
  await page.getByText("Saved", { exact: true }).waitFor(PATIENCE);
  const raw = await fetch(`${world.first.url}/v1/spaces/-/collections/notes/docs/trip`, { headers: { Authorization: `Bearer ${world.first.token}` } });
  const kept = await raw.text();
  if (!kept.includes("9007199254740993") || !kept.includes('"days":7') || !kept.includes("810.0")) throw new Error(`not as it was saved: ${kept}`);
  await context.close();
  return 1;
}

async function current(node, doc) {
  const [collection, key] = doc.split("/");
  const { docs } = await node.api("POST", `collections/${collection}/find`, { selector: { $key: key } });
  return docs[0];
}

/** Deletes, brings back and reverts. */
async function restore(world) {
  const { page, context, expect } = await world.open(world.first);
  expect(410);
  await world.first.api("PUT", "collections/notes/docs/kept", { title: "First" });
  await world.first.api("PUT", "collections/notes/docs/kept", { title: "Second" });
  await page.goto("/#/collections/notes/docs/kept");
  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await page.getByRole("button", { name: "Bring it back" }).click();
  await page.waitForFunction(() => document.querySelector("textarea")?.value.includes("Second"), undefined, PATIENCE);
  await page.getByRole("link", { name: "History" }).click();
  await page.getByRole("button", { name: /^Revert to/ }).last().click();
  await page.getByRole("dialog").getByRole("button", { name: "Revert" }).click();
  await page.getByText("The document has this value again").waitFor(PATIENCE);
  const { value } = await current(world.first, "notes/kept");
  if (value.title !== "First") throw new Error(`reverted to ${JSON.stringify(value)}`);
  await context.close();
  return 1;
}

/** Imports a file that the user chooses, and sees what came. */
async function files(world) {
  const { page, context, expect } = await world.open(world.first);
  expect(404);
  await page.goto("/#/collections/cities/files");
  const csv = Buffer.from("zip,city\n00501,Holtsville\n01001,Agawam\n");
  await page.getByLabel("File", { exact: true }).setInputFiles({ name: "cities.csv", mimeType: "text/csv", buffer: csv });
  await page.getByLabel("Member that is the key").fill("zip");
  await page.getByRole("button", { name: "Import" }).click();
  await page.getByText("2 new documents").waitFor(PATIENCE);
  const downloading = page.waitForEvent("download");
  await page.getByLabel("Format of the file").selectOption("csv");
  await page.getByRole("button", { name: "Download" }).click();
  const download = await downloading;
  if (download.suggestedFilename() !== "cities.csv") throw new Error(download.suggestedFilename());
  await context.close();
  return 1;
}

/** The connection outlives a restart of the node: what changed meanwhile appears, without loading anew. */
async function again(world) {
  const { page, context, expect } = await world.open(world.second);
  expect("away", 503);
  await page.goto("/#/collections/notes");
  await page.getByText("Groceries").waitFor(PATIENCE);
  await page.getByText("Live", { exact: true }).first().waitFor(PATIENCE);
  await world.second.stop();
  await page.getByText("Connecting again").waitFor(PATIENCE);
  await world.first.api("PUT", "collections/notes/docs/late", { title: "Late news" });
  await world.second.start();
  await page.getByText("Late news").waitFor({ timeout: 60_000 });
  await context.close();
  return 1;
}

/** A live query stands in the order that the node answers with, while documents come, move and go. */
async function live(world) {
  const { page, context } = await world.open(world.first);
  await page.goto("/#/collections/notes/live?sort=title&fields=title");
  await page.getByRole("button", { name: "Follow" }).click();
  await page.getByText("in the answer").waitFor(PATIENCE);
  const put = (key, title) => world.first.api("PUT", `collections/notes/docs/${key}`, { title });
  const same = async () => {
    const { docs } = await world.first.api("POST", "collections/notes/find", { selector: {}, sort: ["title"] });
    const wanted = docs.map(({ key }) => key).join();
    const order = () => [...document.querySelectorAll("tbody th")].map((cell) => cell.textContent).join();
    await page.waitForFunction(`(${order})() === ${JSON.stringify(wanted)}`, undefined, PATIENCE);
  };
  await put("walker", "A first one");
  await same();
  await put("walker", "Zzz a last one");
  await same();
  await put("middle", "M");
  await put("walker", "N");
  await same();
  await world.first.api("DELETE", "collections/notes/docs/walker");
  await world.first.api("DELETE", "collections/notes/docs/middle");
  await same();
  await page.getByText("moved").first().waitFor(PATIENCE);
  await page.screenshot({ path: join(world.shots, "story-live.png") });
  await context.close();
  return 1;
}

/** With the keyboard alone: past the navigation, and a table sorted. */
async function keyboard(world) {
  const { page, context } = await world.open(world.first);
  await page.goto("/#/collections/notes");
  await page.getByText("Groceries").waitFor(PATIENCE);
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  const focused = await page.evaluate(() => document.activeElement?.id);
  if (focused !== "main") throw new Error(`the first link leads to ${focused}`);
  for (let presses = 0; presses < 40; presses += 1) {
    await page.keyboard.press("Tab");
    if ((await page.evaluate(() => document.activeElement?.textContent)) === "title") break;
  }
  await page.keyboard.press("Enter");
  await page.locator('th[aria-sort="ascending"]').waitFor(PATIENCE);
  await context.close();
  return 1;
}

/** A token is asked for, a wrong one refused with a reason, and leaving forgets it. */
async function login(world) {
  const { page, context, expect } = await world.open(world.first, { token: null });
  expect(401, 404);
  await page.goto("/");
  await page.getByRole("button", { name: "Token" }).click();
  await page.getByRole("textbox", { name: "Token" }).fill("cs_pat_wrong");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("alert").filter({ hasText: /token/i }).first().waitFor(PATIENCE);
  await page.getByRole("textbox", { name: "Token" }).fill(world.first.token);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "laptop" }).waitFor(PATIENCE);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor(PATIENCE);
  const kept = await page.evaluate(() => JSON.stringify([{ ...sessionStorage }, { ...localStorage }]));
  if (kept.includes("cs_pat_")) throw new Error(`kept: ${kept}`);
  await context.close();
  return 1;
}

/** An account signs in and may do what its role and the rules let it; a link signs an owner in, once. */
async function people(world) {
  const ada = await world.open(world.first, { token: null });
  ada.expect(401, 403, 404);
  await ada.page.goto("/");
  await ada.page.getByLabel("Account", { exact: true }).fill("ada");
  await ada.page.getByLabel("Password").fill("not this one");
  await ada.page.getByRole("button", { name: "Sign in" }).click();
  await ada.page.getByText("the password is wrong").waitFor(PATIENCE);
  await ada.page.getByLabel("Password").fill("a long password");
  await ada.page.getByRole("button", { name: "Sign in" }).click();
  await ada.page.getByRole("heading", { name: "Collections" }).waitFor(PATIENCE);
  await ada.page.goto("/#/collections/notes/docs/shop");
  const editor = ada.page.getByLabel("Value (JSON)");
  await editor.waitFor(PATIENCE);
  await editor.fill((await editor.inputValue()).replace('"done": false', '"done": true'));
  await ada.page.getByRole("button", { name: "Save" }).click();
  await ada.page.getByRole("alert").filter({ hasText: /rule|forbidden/i }).first().waitFor(PATIENCE);
  await ada.page.screenshot({ path: join(world.shots, "story-rule.png") });
  await ada.page.getByRole("button", { name: "Sign out" }).click();
  await ada.page.getByRole("heading", { name: "Sign in" }).waitFor(PATIENCE);
  await ada.context.close();

  const link = world.first.run("login");
  const owner = await world.open(world.first, { token: null });
  await owner.page.goto(link);
  await owner.page.getByRole("button", { name: "Continue" }).click();
  await owner.page.getByRole("heading", { name: "laptop" }).waitFor(PATIENCE);
  if (owner.page.url().includes("link=")) throw new Error("the link stays in the address");
  await owner.context.close();
  const late = await world.open(world.first, { token: null });
  late.expect(401);
  await late.page.goto(link);
  await late.page.getByRole("button", { name: "Continue" }).click();
  await late.page.getByRole("alert").filter({ hasText: /link/i }).first().waitFor(PATIENCE);
  await late.context.close();
  return 1;
}

/** A second space, and a collection that begins in it. It comes last: `-` names the only space. */
async function spaces(world) {
  const { page, context, expect } = await world.open(world.first);
  expect(404);
  await page.goto("/#/spaces");
  await page.getByRole("button", { name: "New space" }).click();
  await page.getByRole("dialog").getByLabel("Name").fill("work");
  await page.getByRole("button", { name: "Make it" }).click();
  await page.getByRole("link", { name: "work" }).click();
  await page.getByText("No collections yet").waitFor(PATIENCE);
  await page.getByRole("button", { name: "New collection" }).click();
  await page.getByRole("dialog").getByLabel("Name").fill("plans");
  await page.getByRole("button", { name: "Add its first document" }).click();
  await page.getByLabel("Key").fill("one");
  await page.getByLabel("Value (JSON)").fill('{"what": "a plan"}');
  await page.getByRole("button", { name: "Make the document" }).click();
  await page.getByRole("heading", { name: "one" }).waitFor(PATIENCE);
  await page.getByRole("link", { name: "plans" }).click();
  await page.getByText("a plan", { exact: true }).waitFor(PATIENCE);
  await page.getByLabel("Space").selectOption("home");
  await page.getByRole("link", { name: "towns" }).waitFor(PATIENCE);
  await page.screenshot({ path: join(world.shots, "story-spaces.png") });
  await context.close();
  return 1;
}

/** The vendored pages draw what they should. */
async function programs(world) {
  const reference = await world.open(world.first);
  await reference.page.goto("/docs");
  await reference.page.getByRole("heading", { name: "CosmicSync" }).first().waitFor({ timeout: 60_000 });
  await reference.page.screenshot({ path: join(world.shots, "docs.png") });
  await reference.context.close();
  const graphiql = await world.open(world.first);
  graphiql.expect(404, 405, 401, 400);
  await graphiql.page.goto("/graphiql");
  await graphiql.page.locator(".graphiql-container").waitFor({ timeout: 60_000 });
  await graphiql.page.waitForTimeout(500);
  await graphiql.page.screenshot({ path: join(world.shots, "graphiql.png") });
  await graphiql.context.close();
  return 1;
}

export const STORIES = {
  "an edit appears in another node's console, ms": edit,
  "a clash is told and settled": clash,
  "deleted, brought back and reverted": restore,
  "imported and exported": files,
  "a node comes back": again,
  "a live query keeps its order": live,
  "with the keyboard alone": keyboard,
  "signed in and out": login,
  "accounts, rules and a link": people,
  "reference and GraphiQL": programs,
  "a second space": spaces,
};
