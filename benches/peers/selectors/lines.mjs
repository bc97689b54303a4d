// Reads JSON, a value a line, from stdin; prints a line for each.
import { createInterface } from "node:readline";

const CHUNK = 4096;

export async function answer(each) {
  let answers = [];
  for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    answers.push(each(JSON.parse(line)));
    if (answers.length === CHUNK) {
      await print(answers);
      answers = [];
    }
  }
  await print(answers);
}

function print(answers) {
  const text = answers.map((answer) => `${answer}\n`).join("");
  return new Promise((resolve) => process.stdout.write(text, resolve));
}
