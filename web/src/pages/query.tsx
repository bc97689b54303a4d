export function QueryPage(_: Record<string, unknown>) { return null; }
