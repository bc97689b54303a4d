export function Accounts(_: Record<string, unknown>) { return null; }
