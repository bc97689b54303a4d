// A client with persistent connections that measures times: one request at a time on each, and a histogram.
import { Agent, request } from "node:http";

export class Client {
  constructor(url, { token, sockets = 1, timeout = 60_000 } = {}) {
    const { hostname, port } = new URL(url);
    this.agent = new Agent({ keepAlive: true, maxSockets: sockets });
    this.common = { hostname, port, agent: this.agent, timeout };
    this.headers = { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) };
  }

  /** Sends a request; resolves with the status and the length of the answer, or its text. */
  send(method, path, body, { isText = false, headers = {} } = {}) {
    return new Promise((resolve, reject) => {
      const length = body === undefined ? {} : { "Content-Length": Buffer.byteLength(body) };
      const sent = request({ ...this.common, method, path, headers: { ...this.headers, ...length, ...headers } });
      sent.on("response", (response) => {
        const pieces = [];
        response.on("data", (piece) => pieces.push(isText ? piece : piece.length));
        response.on("error", reject);
        response.on("end", () => {
          const text = isText ? Buffer.concat(pieces).toString("utf8") : undefined;
          resolve({ status: response.statusCode, text, headers: response.headers });
        });
      });
      sent.on("error", reject);
      sent.on("timeout", () => sent.destroy(new Error("no answer in time")));
      sent.end(body);
    });
  }

  close() {
    this.agent.destroy();
  }
}

/** Times in milliseconds, in buckets of 2 % each. */
export class Histogram {
  #buckets = new Uint32Array(1024);
  count = 0;

  add(ms) {
    const at = Math.round(Math.log(Math.max(ms, 0.01) / 0.01) / Math.log(1.02));
    this.#buckets[Math.min(at, 1023)] += 1;
    this.count += 1;
  }

  /** Returns the time below which this fraction of all times is. */
  quantile(part) {
    let left = Math.ceil(this.count * part);
    for (const [at, count] of this.#buckets.entries()) {
      left -= count;
      if (left <= 0) return 0.01 * 1.02 ** at;
    }
    return Infinity;
  }
}

export const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
