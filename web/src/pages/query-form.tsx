export function QueryForm(_: Record<string, unknown>) { return null; }
