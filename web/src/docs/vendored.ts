/** The vendored pages' files (build/vendor.mjs), and how they are loaded. */

export const SCALAR = "/vendor/scalar-1.46.4.js";
export const REACT = "/vendor/react-18.3.1.js";
export const GRAPHIQL = "/vendor/graphiql-3.0.10";

/** Loads a script. */
export function script(src: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const element = document.createElement("script");
    element.src = src;
    element.onload = () => resolve();
    element.onerror = () => reject(new Error(`${src} cannot be loaded`));
    document.head.append(element);
  });
}

/** Loads a style. */
export function style(href: string): void {
  const element = document.createElement("link");
  element.rel = "stylesheet";
  element.href = href;
  document.head.append(element);
}

/** The token of the console's session in this tab, if there is one. */
export function sessionToken(): string {
  try {
    return (JSON.parse(sessionStorage.getItem("cosmicsync.session") ?? "{}") as { token?: string }).token ?? "";
  } catch {
    return "";
  }
}
