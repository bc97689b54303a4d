export function Live(_: Record<string, unknown>) { return null; }
