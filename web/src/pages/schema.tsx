export function SchemaTab(_: Record<string, unknown>) { return null; }
