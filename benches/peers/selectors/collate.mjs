// Lines of {a, b}, each of which may be missing, to lines of -1, 0, 1 or error, by pouchdb-collate.
import { collate } from "pouchdb-collate";
import { answer } from "./lines.mjs";

await answer(({ a, b }) => {
  try {
    return Math.sign(collate(a, b));
  } catch {
    return "error";
  }
});
