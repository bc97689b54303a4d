/** The reference of the API, drawn by Scalar from the description that the node serves. Nothing comes from elsewhere. */

import { SCALAR, script, sessionToken } from "./vendored";

declare const Scalar: { createApiReference(place: string, options: object): void };

await script(SCALAR);
Scalar.createApiReference("#reference", {
  url: "/v1/openapi.json",
  withDefaultFonts: false,
  telemetry: false,
  showDeveloperTools: "never",
  hideClientButton: true,
  mcp: { disabled: true },
  agent: { disabled: true },
  authentication: { preferredSecurityScheme: "token", securitySchemes: { token: { token: sessionToken() } } },
  persistAuth: false,
});
