import { defineConfig } from "vite";

// `npm run dev` serves the sources and sends requests of the API to a node.
const node = process.env["COSMICSYNC_URL"] ?? "http://127.0.0.1:7521";

export default defineConfig({
  build: {
    target: "es2022",
    outDir: "target/site",
    emptyOutDir: true,
    // Everything is a file of its own: the content security policy allows no data: scripts or styles.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: { input: ["index.html", "docs.html", "graphiql.html"] },
  },
  server: { host: "127.0.0.1", proxy: { "/v1": { target: node, ws: true }, "/graphql": node } },
});
