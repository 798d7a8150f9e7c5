import { stat } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { type AgentConfig, configWarnings } from '../core/agent-config.ts';
import { folderProblem } from '../core/file-words.ts';
import { findForeignAddresses } from '../core/node-addresses.ts';
import { findSecondLibvirt } from './node/second-libvirt.ts';

/** What is odd about the configuration on this host and no reason not to start: each a sentence with the way on. */
export async function startWarnings(config: AgentConfig): Promise<readonly string[]> {
  const local = Object.values(networkInterfaces()).flatMap((found) => found ?? []);
  const addresses = local.map(({ address }) => address);
  const foreign = findForeignAddresses(config, addresses);
  return [
    ...configWarnings(config),
    ...foreign.map(({ path, problem }) => `${path.join('.')}: ${problem}`),
    ...(await openKey(config.tls.key)),
    ...closedRunDirectory(config.runDirectory),
    ...otherUser(),
    ...(await openHookFolder(config.lifecycle)),
    ...(await secondLibvirt(config)),
  ];
}

async function openKey(key: string): Promise<readonly string[]> {
  const found = await stat(key).catch(() => undefined);
  if (found === undefined || (found.mode & 0o077) === 0) return [];
  const mode = (found.mode & 0o777).toString(8);
  return [`tls.key: ${key} can be read by others (mode ${mode}); chmod 600 ${key}`];
}

async function secondLibvirt({ hypervisor }: AgentConfig): Promise<readonly string[]> {
  const found = await findSecondLibvirt(hypervisor);
  return found === undefined ? [] : [found];
}

async function openHookFolder({
  hooks,
  hookFolder,
}: AgentConfig['lifecycle']): Promise<readonly string[]> {
  if (!hooks) return [];
  const found = await stat(hookFolder).catch(() => undefined);
  const until = 'until then no hook is run';
  if (found?.isDirectory() !== true) {
    return [
      `lifecycle.hookFolder: ${hookFolder} is no folder; install -d -m 755 ${hookFolder}; ${until}`,
    ];
  }
  if (found.uid === 0 && (found.mode & 0o022) === 0) return [];
  return [
    `lifecycle.hookFolder: others than root can write to ${hookFolder}; chown root ${hookFolder} && chmod go-w ${hookFolder}; ${until}`,
  ];
}

function closedRunDirectory(folder: string): readonly string[] {
  const problem = folderProblem(folder);
  return problem === undefined
    ? []
    : [`runDirectory: ${folder} ${problem}; until then no VM can migrate`];
}

function otherUser(): readonly string[] {
  const user = process.getuid?.() ?? 0;
  if (user === 0) return [];
  return [
    `The agent runs as user ${user}; libvirt, migrations and images need it to be root: sudo, or User=root in its unit`,
  ];
}
