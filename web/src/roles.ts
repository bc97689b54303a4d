/** What a role may do. The node decides; this keeps pages away that it would refuse. */

import type { Role } from "./api/types";
import { session } from "./session";
import { useStore } from "./store";

/** To read documents, to look at the node, to manage it, to have all that it holds. */
export type Need = "read" | "look" | "manage" | "own";

const MAY: Record<Role, Need[]> = {
  owner: ["read", "look", "manage", "own"],
  admin: ["read", "look", "manage"],
  editor: ["read"],
  viewer: ["read"],
  auditor: ["look"],
};

/** Whether whoever signed in may do something. */
export function useMay(): (need: Need) => boolean {
  const { role } = useStore(session);
  return (need) => role === undefined || MAY[role].includes(need);
}
