import { gzipSync } from "node:zlib";

/** Packs a file. The same bytes give the same bytes: gzip's head has no time and no system. */
export function packed(bytes) {
  const out = gzipSync(bytes, { level: 9 });
  out[9] = 255;
  return out;
}
