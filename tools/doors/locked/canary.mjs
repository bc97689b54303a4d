// Searches all answers for forbidden content: strings that are only in forbidden places are searched in every byte of
// the answers, and hidden documents must be answered like absent ones.
import { say } from "../lib/figures.mjs";
import { asked } from "./asked.mjs";
import { follow } from "./followed.mjs";

/** A word in every forbidden value, key and name. */
const WORD = "canary";
/** A number in forbidden documents, for sums and sorts. */
const NUMBER = 7777777777;
const MINE = { by: { $var: "auth.account" } };

/** Fills the node with content that the readers may see, and with much that they may not. */
async function fill(node) {
  const put = (path, value, space = "home") => node.api("PUT", `spaces/${space}/collections/${path}`, value);
  const forbidden = (by) => ({ by, n: NUMBER, group: `${WORD}-group`, [`${WORD}-member`]: `${WORD}-value` });
  await node.api("POST", "spaces", { name: `${WORD}-space` });
  // Documents of others, in a collection with some of the reader's own.
  await put("mine/rules", {
    list: MINE,
    view: MINE,
    create: MINE,
    update: MINE,
    delete: { ...MINE, [`${WORD}-rule`]: null },
  });
  await put("mine/indexes/by_n", { fields: ["n"] });
  for (const at of [1, 2, 3]) await put(`mine/docs/own-${at}`, { by: "ada", n: at, group: "a" });
  for (const at of [1, 2, 3]) await put(`mine/docs/${WORD}-key-${at}`, forbidden("bob"));
  await put("mine/docs/hidden", forbidden("bob"));
  await put("mine/docs/gone", forbidden("bob"));
  await node.api("DELETE", "spaces/home/collections/mine/docs/gone");
  // A collection without rules, which is locked, under a name that a reader might guess.
  await put("vault/schema", { description: `${WORD}-schema`, properties: { [`${WORD}_field`]: { type: "string" } } });
  await put("vault/docs/hidden", forbidden("ada"));
  await put(`vault/indexes/${WORD}_index`, { fields: [`${WORD}-member`] });
  // A collection with a secret name.
  await put(`${WORD}-collection/docs/hidden`, forbidden("ada"));
  // Another space.
  await put("mine/docs/hidden", forbidden("ada"), `${WORD}-space`);
  // A public collection, for the end of streams.
  await put("open/rules", { list: {}, view: {}, create: {}, update: {}, delete: {} });
  await put("open/docs/own-1", { by: "ada", n: 1 });
  await node.api("POST", "accounts", { name: `${WORD}-account`, role: "owner" });
  await node.api("POST", "tokens", { name: `${WORD}-token` });
}

/** The readers: limited by the rules alone, or also by a token for a part of the node. */
async function readers(node) {
  const token = async (name, more) => (await node.api("POST", "tokens", { name, ...more })).secret;
  await node.api("POST", "accounts", { name: "ada", role: "editor" });
  await node.api("POST", "accounts", { name: "adas", role: "viewer" });
  const only = [{ space: "home", collection: "open" }];
  return {
    "an editor": { token: await token("reader 1", { account: "ada" }), own: 3 },
    "a viewer": { token: await token("reader 2", { account: "adas" }), own: 0 },
    "an owner's token for a collection": { token: await token("reader 3", { only }), own: 0 },
    "an editor's token for a collection": { token: await token("reader 4", { account: "ada", only }), own: 0 },
  };
}

/** Returns the forbidden content in a text. */
function found(text, ids) {
  const word = [WORD, String(NUMBER), ...ids].find((word) => text.includes(word));
  return word && text.slice(Math.max(0, text.indexOf(word) - 120), text.indexOf(word) + 120);
}

/** Makes requests and follows streams with a token; returns all answers. */
async function answers(node, token, own) {
  const all = [];
  for await (const answer of asked(node, token, own)) all.push({ ...answer, leak: found(answer.text, []) });
  const ids = new Set();
  for (const { what, text } of await follow(node, token, ids))
    all.push({ what, text, leak: found(text, ids), isStream: true });
  return all;
}

export async function canaries(node, faults) {
  await fill(node);
  let bodies = 0;
  for (const [name, { token, own }] of Object.entries(await readers(node))) {
    for (const { what, text, wanted, leak } of await answers(node, token, own)) {
      bodies += 1;
      if (leak) faults.add("leaks", `${name}: ${what}: ...${leak}...`);
      if (wanted !== undefined) faults.add("told", `${name}: ${what}: ${wanted}: ${text.slice(0, 300)}`);
    }
  }
  say(`${bodies} bodies were searched`);
  return bodies;
}

/** Checks that the search works: an owner receives the canary in every kind of stream, and in many answers. */
export async function control(node, faults) {
  await fill(node);
  const all = await answers(node, node.token, 0);
  const blind = all.filter(({ isStream, leak }) => isStream && !leak);
  for (const { what, text } of blind) faults.add("control", `${what}: ${text.slice(0, 300)}`);
  return all.filter(({ leak }) => leak).length;
}
