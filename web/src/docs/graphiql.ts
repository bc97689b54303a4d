/** GraphiQL over the node's `/graphql`, with the token of the console's session or one that is typed. */

import { GRAPHIQL, REACT, script, sessionToken, style } from "./vendored";

declare const React: { createElement(kind: unknown, props: object): unknown };
declare const ReactDOM: { createRoot(place: Element): { render(element: unknown): void } };
declare const GraphiQL: unknown;

const box = document.getElementById("token") as HTMLInputElement;
box.value = sessionToken();

async function fetcher(parameters: object): Promise<unknown> {
  const headers = { "Content-Type": "application/json", Authorization: `Bearer ${box.value.trim()}` };
  const response = await fetch("/graphql", { method: "POST", headers, body: JSON.stringify(parameters) });
  return response.json();
}

style(`${GRAPHIQL}.css`);
await script(REACT);
await script(`${GRAPHIQL}.js`);
const place = document.getElementById("graphiql") as HTMLElement;
const root = ReactDOM.createRoot(place);
const draw = () => root.render(React.createElement(GraphiQL, { fetcher, key: box.value, shouldPersistHeaders: false }));
box.addEventListener("change", draw);
draw();
