export function Rules(_: Record<string, unknown>) { return null; }
