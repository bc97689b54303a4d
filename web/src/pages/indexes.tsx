export function Indexes(_: Record<string, unknown>) { return null; }
