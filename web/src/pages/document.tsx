export function DocumentPage(_: Record<string, unknown>) { return null; }
