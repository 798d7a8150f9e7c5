import type { AgentClient } from '../../client/agent-client.ts';
import type { AgentTarget } from '../../client/target.ts';
import { agentEndFile, parseAgentEnd } from '../../core/agent-end.ts';
import { whyUnreadable } from '../../core/file-words.ts';
import { checkAgent, checkPeers } from './agent-checks.ts';
import { parseAgentSettings, type ReadSettings } from './agent-settings.ts';
import { checkCertificate, checkPermissions } from './certificate-checks.ts';
import { type Check, skipped } from './check.ts';
import { checkConsoleLogs } from './console-checks.ts';
import { checkImages, checkKeptDisks, type DiskQuestions } from './disk-checks.ts';
import type { Host } from './host.ts';
import { checkAutostart, checkHostShutdown } from './host-shutdown-checks.ts';
import {
  checkHostUuid,
  checkKvm,
  checkLibvirtSocket,
  checkLibvirtVersion,
  checkQemu,
} from './hypervisor-checks.ts';
import { checkOtherHypervisors } from './other-hypervisors.ts';
import { listPorts } from './port-checks.ts';
import {
  checkAddresses,
  checkClock,
  checkConfiguration,
  checkFolders,
  checkKernelLimits,
  checkProcessLimits,
  checkSpace,
  checkStreamer,
  spaceNeeds,
} from './system-checks.ts';

export interface DoctorOptions {
  readonly host: Host;
  readonly agentConfig: string;
  /** Where to ask the agent; undefined takes the socket of its configuration. */
  readonly target: AgentTarget | undefined;
  readonly open: (target: AgentTarget) => Promise<AgentClient>;
  readonly architecture: string;
  readonly nowMs: number;
  readonly checkTimeoutMs: number;
}

const CALL_DEADLINE_MS = 3_000;
const IN_TIME = 'it does not answer in time';

/** Everything that doctor looks at, in the order in which it is printed. */
export async function allChecks(options: DoctorOptions): Promise<readonly Check[]> {
  const { host, agentConfig, open, architecture, nowMs } = options;
  const read = await readSettings(host, agentConfig, options.checkTimeoutMs);
  const { settings } = read;
  const target = options.target ?? { address: `unix:${settings.socket}` };
  const getNode = async (signal: AbortSignal) => {
    using client = await open(target);
    return await client.node.get({ signal, deadlineMs: CALL_DEADLINE_MS });
  };
  const listVms = async (signal: AbortSignal) => {
    using client = await open(target);
    const call = { signal, deadlineMs: CALL_DEADLINE_MS };
    return await Array.fromAsync(client.vms.listAll({}, call));
  };
  const diskQuestions = (signal: AbortSignal): DiskQuestions => ({
    host,
    settings,
    nowMs,
    listVms: () => listVms(signal),
    listImages: async () => {
      using client = await open(target);
      return await client.images.list({ signal, deadlineMs: CALL_DEADLINE_MS });
    },
  });
  const findEnd = async () =>
    parseAgentEnd(await host.findText(agentEndFile(settings.runDirectory)).catch(() => undefined));
  const openPeer = (address: string, nodeName: string) =>
    open({ address, nodeName, tls: settings.tls });
  return [
    { name: 'configuration', run: async () => checkConfiguration(read, agentConfig) },
    {
      name: 'addresses',
      run: async () =>
        read.problem === undefined
          ? checkAddresses(settings, agentConfig, host.localAddresses())
          : skipped('The configuration cannot be read'),
    },
    { name: 'ports', run: async () => listPorts(settings) },
    {
      name: 'agent',
      // Not for as long as what hangs is waited for.
      run: (signal) =>
        checkAgent(() => getNode(signal), findEnd, options.checkTimeoutMs / 2, signal),
    },
    { name: 'libvirt socket', run: (signal) => checkLibvirtSocket(host, settings, signal) },
    { name: 'libvirt', run: (signal) => checkLibvirtVersion(host, settings, signal) },
    { name: 'QEMU', run: (signal) => checkQemu(host, settings, architecture, signal) },
    { name: 'KVM', run: () => checkKvm(host, settings) },
    {
      name: 'other hypervisors',
      run: (signal) => checkOtherHypervisors(host, settings, signal),
    },
    { name: 'console logs', run: () => checkConsoleLogs(host) },
    { name: 'host shutdown', run: (signal) => checkHostShutdown(host, signal) },
    {
      name: 'autostart',
      run: (signal) => checkAutostart(host, settings, () => listVms(signal), signal),
    },
    { name: 'host UUID', run: (signal) => checkHostUuid(host, settings, signal) },
    { name: 'streamer', run: (signal) => checkStreamer(host, settings, signal) },
    { name: 'certificate', run: () => checkCertificate(host, settings, nowMs) },
    { name: 'permissions', run: () => checkPermissions(host, settings) },
    { name: 'peers', run: (signal) => checkPeers(settings, openPeer, signal) },
    { name: 'clock', run: (signal) => checkClock(host, signal) },
    { name: 'folders', run: () => checkFolders(host, settings) },
    { name: 'disk space', run: () => checkSpace(host, spaceNeeds(settings)) },
    { name: 'kept disks', run: (signal) => checkKeptDisks(diskQuestions(signal), signal) },
    { name: 'images', run: (signal) => checkImages(diskQuestions(signal)) },
    { name: 'kernel limits', run: () => checkKernelLimits(host) },
    { name: 'process limits', run: () => checkProcessLimits(host) },
  ];
}

/** The defaults and a problem if the file cannot be read, or not in time. */
async function readSettings(host: Host, file: string, timeoutMs: number): Promise<ReadSettings> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(IN_TIME)), timeoutMs);
  try {
    return parseAgentSettings(await Promise.race([host.findText(file), late.promise]));
  } catch (error) {
    const { settings } = parseAgentSettings(undefined);
    const isLate = error instanceof Error && error.message === IN_TIME;
    return { settings, problem: `it cannot be read: ${isLate ? IN_TIME : whyUnreadable(error)}` };
  } finally {
    clearTimeout(timer);
  }
}
