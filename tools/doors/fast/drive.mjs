// Paced load: a number of connections, each of which sends its next request when it is due and the answer before has
// come. The generator is idle most of the time, so the times are the server's.
import { monitorEventLoopDelay } from "node:perf_hooks";
import { random } from "../lib/random.mjs";
import { Client, Histogram, wait } from "../lib/load.mjs";

/** The times of an operation. */
class Measured {
  histogram = new Histogram();
  errors = [];
  bytes = 0;
}

/**
 * Drives a server for some seconds. `operations` is a list of `{name, weight, make}`; `make` returns the method, path
 * and body of a request. Times of the first `warm` seconds are ignored; errors never are.
 */
export async function drive({ url, token, operations, connections, rate, seconds, warm = 0, seed = 1 }) {
  const measured = new Map(operations.map(({ name }) => [name, new Measured()]));
  const total = operations.reduce((sum, { weight }) => sum + weight, 0);
  const interval = (connections / rate) * 1000;
  const begun = performance.now();
  const late = monitorEventLoopDelay({ resolution: 1 });
  late.enable();
  const cpu = process.cpuUsage();

  async function connection(at) {
    const client = new Client(url, { token });
    const dice = random(seed * 1000 + at);
    const state = { at, dice, count: 0 };
    let due = begun + dice.next() * interval;
    while (due < begun + seconds * 1000) {
      const now = performance.now();
      if (due > now) await wait(due - now);
      let ticket = dice.next() * total;
      const operation = operations.find(({ weight }) => (ticket -= weight) < 0) ?? operations[0];
      const told = measured.get(operation.name);
      const { method, path, body, headers, done } = operation.make(state);
      const sent = performance.now();
      try {
        const { status, text } = await client.send(method, path, body, { isText: true, headers });
        if (sent >= begun + warm * 1000) told.histogram.add(performance.now() - sent);
        told.bytes = Math.max(told.bytes, text.length, body?.length ?? 0);
        if (status >= 400) told.errors.push(`${method} ${path}: ${status} ${text.slice(0, 200)}`);
        else done?.(text);
      } catch (error) {
        told.errors.push(`${method} ${path}: ${error.message}`);
      }
      state.count += 1;
      // Delays are not made up for: the pace is that of a client that waits.
      due = Math.max(due + interval, performance.now() - interval);
    }
    client.close();
  }

  await Promise.all(Array.from({ length: connections }, (_, at) => connection(at)));
  late.disable();
  const { user, system } = process.cpuUsage(cpu);
  const busy = (user + system) / 1000 / (performance.now() - begun);
  return { measured, busy, late: late.percentile(99) / 1e6 };
}
