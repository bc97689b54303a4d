// An honest client in a thread of its own: it reads, writes and queries continuously, and reports the times.
import { parentPort, workerData } from "node:worker_threads";
import { Client, Histogram, wait } from "../lib/load.mjs";

const { url, token, pace } = workerData;
const client = new Client(url, { token, sockets: 1 });
const docs = "/v1/spaces/-/collections/honest/docs";
let histogram = new Histogram();
let errors = [];
let isOver = false;

parentPort.on("message", (message) => {
  if (message === "end") {
    isOver = true;
    return;
  }
  // The measurements since the last report.
  parentPort.postMessage({ p99: histogram.quantile(0.99), count: histogram.count, errors });
  histogram = new Histogram();
  errors = [];
});

const KINDS = [
  (at) => ["GET", `${docs}/d${at % 50}`],
  (at) => ["PUT", `${docs}/d${at % 50}`, JSON.stringify({ n: at })],
  (at) => ["POST", "/v1/spaces/-/collections/honest/find", JSON.stringify({ selector: { n: { $gt: at } }, limit: 10 })],
];

for (let at = 0; !isOver; at += 1) {
  const begun = performance.now();
  try {
    const { status } = await client.send(...KINDS[at % KINDS.length](Math.floor(at / KINDS.length)));
    if (status >= 400) errors.push(`status ${status}`);
  } catch (error) {
    errors.push(error.message);
  }
  histogram.add(performance.now() - begun);
  await wait(pace);
}
client.close();
parentPort.close();
