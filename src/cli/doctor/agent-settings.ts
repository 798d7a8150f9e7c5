import { hostname } from 'node:os';
import { configFaults } from '../../core/agent-config.ts';
import { SYSTEM_URI } from '../../core/libvirt-socket.ts';
import { halfAloneProblem } from '../../core/node-addresses.ts';
import { unquotedText } from '../../core/resources/field-schemas.ts';
import { readYaml } from '../../core/yaml.ts';
import { yamlProblem } from '../../core/yaml-problem.ts';
import * as z from '../../core/zod.ts';

/** The few settings of the agent that the checks need, with the agent's defaults, also of a file that the agent would refuse. */
const settingsSchema = z.object({
  nodeName: unquotedText.prefault(() => hostname().toLowerCase()),
  socket: z.string().default('/run/novacron/agent.sock'),
  listen: z.string().optional(),
  httpListen: z.string().default('127.0.0.1:7480'),
  advertise: z.string().optional(),
  stateDirectory: z.string().default('/var/lib/novacron'),
  runDirectory: z.string().default('/run/novacron'),
  tls: z
    .object({
      certificate: z.string().default('/etc/novacron/pki/tls.crt'),
      key: z.string().default('/etc/novacron/pki/tls.key'),
      ca: z.string().default('/etc/novacron/pki/ca.crt'),
    })
    .prefault({}),
  hypervisor: z
    .object({
      uri: z.string().default(SYSTEM_URI),
      libvirtSocket: z.string().default('auto'),
      accelerator: z.string().default('auto'),
      consoleDirectory: z.string().default('/var/log/libvirt/qemu'),
    })
    .prefault({}),
  images: z
    .object({
      diskFolder: z.string().default('/var/lib/libvirt/images'),
      cacheBytes: z.number().default(64 * 2 ** 30),
    })
    .prefault({}),
  migration: z
    .object({
      streamer: z.string().default('/usr/libexec/novacron/novacron-streamer'),
      portMin: z.number().default(49_152),
      portMax: z.number().default(49_215),
    })
    .prefault({}),
  peers: z.record(z.string(), z.string()).default({}),
});

export type AgentSettings = z.infer<typeof settingsSchema>;

export interface ReadSettings {
  /** The defaults where the file could not be used. */
  readonly settings: AgentSettings;
  /** Why it could not; undefined if it could. */
  readonly problem?: string;
  /** For what the agent refuses it. */
  readonly faults?: readonly string[];
}

export function parseAgentSettings(text: string | undefined): ReadSettings {
  const settings = settingsSchema.parse({});
  if (text === undefined)
    return {
      settings,
      problem: 'there is no such file; an empty one will do for a node that is alone',
    };
  let document: unknown;
  try {
    document = readYaml(text) ?? {};
  } catch (error) {
    return { settings, problem: `it is no YAML: ${yamlProblem(text, error)}` };
  }
  const result = settingsSchema.safeParse(document);
  const half = result.success ? halfAloneProblem(document) : undefined;
  const faults = [...configFaults(document), ...(half === undefined ? [] : [half])];
  if (result.success) return { settings: result.data, faults };
  return { settings, problem: faults.join('; ') };
}
