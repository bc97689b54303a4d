export function Spaces(_: Record<string, unknown>) { return null; }
