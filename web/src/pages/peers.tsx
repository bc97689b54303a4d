export function Peers(_: Record<string, unknown>) { return null; }
