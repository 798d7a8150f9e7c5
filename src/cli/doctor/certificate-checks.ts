import { judgeNodeCertificate } from '../../core/node-certificate.ts';
import type { AgentSettings } from './agent-settings.ts';
import { type Finding, failure, ok, skipped, warning } from './check.ts';
import type { Host } from './host.ts';

export async function checkCertificate(
  host: Host,
  { advertise, tls, nodeName }: AgentSettings,
  nowMs: number,
): Promise<Finding> {
  if (advertise === undefined) return skipped('The node is alone and needs none');
  const files = [tls.certificate, tls.key, tls.ca] as const;
  const [certificate, key, ca] = await Promise.all(files.map((file) => host.findText(file)));
  if (certificate === undefined || key === undefined || ca === undefined) {
    const missing = files.filter((_, index) => [certificate, key, ca][index] === undefined);
    return failure(
      `${missing.join(' and ')} ${missing.length === 1 ? 'does' : 'do'} not exist`,
      `Issue it where the CA is: novactl pki issue node ${nodeName} --out DIR, and copy the files here; or correct tls (docs/install.md)`,
    );
  }
  const judged = judgeNodeCertificate({ certificate, key, ca, files: tls, nodeName }, nowMs);
  if ('daysLeft' in judged) {
    return ok(`Valid for ${judged.daysLeft} days, signed by the CA, names the node`);
  }
  return (judged.kind === 'ending' ? warning : failure)(judged.problem, judged.toDo);
}

/** A key that others can read is no secret; a socket that others can open is no boundary. */
export async function checkPermissions(
  host: Host,
  { tls, socket }: AgentSettings,
): Promise<Finding> {
  const key = await host.findInfo(tls.key);
  if (key !== undefined && (key.mode & 0o077) !== 0) {
    return failure(
      `${tls.key} can be read by others (mode ${key.mode.toString(8)})`,
      `chmod 600 ${tls.key}`,
    );
  }
  const info = await host.findInfo(socket);
  if (info?.kind === 'socket' && (info.mode & 0o007) !== 0) {
    return failure(
      `Every user can open ${socket} (mode ${info.mode.toString(8)})`,
      `chmod 600 ${socket}`,
    );
  }
  if (host.userId() !== 0) {
    return warning(
      'doctor does not run as root, so it cannot look at everything',
      'Run it with sudo',
    );
  }
  return ok('The key and the socket are for their owner only');
}
