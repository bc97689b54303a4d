// Lines of {selector, doc} to lines of true, false or error, by mingo.
import { Query } from "mingo";
import { answer } from "./lines.mjs";

await answer(({ selector, doc }) => {
  try {
    return new Query(selector).test(doc);
  } catch {
    return "error";
  }
});
