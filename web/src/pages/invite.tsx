/** Lets a device into a space: a line to paste there, and the same as a QR code. */

import { useEffect, useState } from "preact/hooks";
import { send } from "../api/http";
import { node } from "../api/routes";
import type { Device, Invite as Made, Space } from "../api/types";
import { moment } from "../format";
import { useAction, useAnswer } from "../hooks";
import { Copy } from "../ui/copy";
import { Ask } from "../ui/form";
import { Trouble } from "../ui/notice";
import { QrCode } from "../ui/qr";

/** Makes an invite when it is opened; a new one each time. */
export function Invite({ space, onClose }: { space?: Space; onClose(): void }) {
  const [made, setMade] = useState<Made>();
  const action = useAction();
  useEffect(() => {
    setMade(undefined);
    if (space) void action.run(async () => setMade((await send(node.invite(space.name))).data));
  }, [space?.id]);
  return (
    <Ask open={space !== undefined} title={`Let a device into ${space?.name ?? ""}`} onClose={onClose}>
      <Trouble problem={action.problem} />
      {made && (
        <>
          <p>
            On the other device, while this node runs. It works once, until {moment(made.expiresAt)}. Whoever has it can join.
          </p>
          <pre class="code wrap" tabIndex={0}>
            cosmicsync space join {made.invite}
          </pre>
          <p>
            <Copy text={`cosmicsync space join ${made.invite}`} label="Copy the command" />
          </p>
          <QrCode text={made.invite} label="The invite as a QR code" />
        </>
      )}
    </Ask>
  );
}

/** The devices of a space. */
export function Devices({ space, onClose }: { space: Space; onClose(): void }) {
  const { data, problem } = useAnswer(node.devices(space.name));
  return (
    <Ask open title={`Devices of ${space.name}`} onClose={onClose}>
      <Trouble problem={problem} />
      <ul class="plain">
        {data?.devices.map((device) => (
          <li key={device.device}>
            <code title={device.device}>{device.device.slice(0, 12)}</code> {device.name ?? ""} <span class="faint">{standing(device)}</span>
          </li>
        ))}
      </ul>
    </Ask>
  );
}

function standing({ this: own, connected, seenAt }: Device): string {
  if (own) return "this node";
  if (connected) return "connected";
  return seenAt ? `heard ${moment(seenAt)}` : "not heard since this node started";
}
