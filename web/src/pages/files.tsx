export function Files(_: Record<string, unknown>) { return null; }
