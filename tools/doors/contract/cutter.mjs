// A proxy to a node that cuts each connection after a number of bytes of the node's answer, anywhere in it.
import { connect, createServer } from "node:net";
import { once } from "node:events";

/** Listens, and cuts as many connections as there are budgets. Later ones stay open. */
export async function cutter(url, budgets) {
  const { hostname, port } = new URL(url);
  const left = [...budgets];
  const open = new Set();
  const state = { cuts: 0, isDone: budgets.length === 0 };
  const server = createServer((client) => {
    const node = connect({ host: hostname, port: Number(port) });
    let budget = left.shift() ?? Infinity;
    const end = () => {
      open.delete(client);
      client.destroy();
      node.destroy();
    };
    open.add(client);
    for (const side of [client, node]) side.on("error", end).on("close", end);
    client.pipe(node);
    node.on("data", (bytes) => {
      if (bytes.length < budget) {
        budget -= bytes.length;
        if (!client.write(bytes)) node.pause();
        return;
      }
      // Bytes before the cut are delivered; later ones are not.
      node.destroy();
      state.cuts += 1;
      state.isDone = left.length === 0;
      client.end(bytes.subarray(0, budget), end);
    });
    client.on("drain", () => node.resume());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = () => {
    server.close();
    open.forEach((client) => client.destroy());
  };
  return { state, host: `127.0.0.1:${server.address().port}`, close };
}
