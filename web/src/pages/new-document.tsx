export function NewDocument(_: Record<string, unknown>) { return null; }
