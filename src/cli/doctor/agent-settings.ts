import { z } from 'zod';
import { configFaults } from '../../core/agent-config.ts';
import { SYSTEM_URI } from '../../core/libvirt-socket.ts';
import { unquotedText } from '../../core/resources/field-schemas.ts';
import { readYaml } from '../../core/yaml.ts';
import { yamlProblem } from '../../core/yaml-problem.ts';

/** The few settings of the agent that the checks need, with the agent's defaults, also of a file that the agent would refuse. */
const settingsSchema = z.object({
  nodeName: unquotedText.optional(),
  socket: z.string().default('/run/novacron/agent.sock'),
  listen: z.string().optional(),
  httpListen: z.string().optional(),
  advertise: z.string().optional(),
  stateDirectory: z.string().default('/var/lib/novacron'),
  runDirectory: z.string().default('/run/novacron'),
  tls: z.object({ certificate: z.string(), key: z.string(), ca: z.string() }).optional(),
  hypervisor: z
    .object({
      uri: z.string().default(SYSTEM_URI),
      libvirtSocket: z.string().default('auto'),
      accelerator: z.string().default('auto'),
      consoleDirectory: z.string().default('/var/log/libvirt/qemu'),
    })
    .prefault({}),
  migration: z
    .object({ streamer: z.string().default('/usr/libexec/novacron/novacron-streamer') })
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
  if (text === undefined) return { settings, problem: 'there is no such file' };
  let document: unknown;
  try {
    document = readYaml(text) ?? {};
  } catch (error) {
    return { settings, problem: `it is no YAML: ${yamlProblem(text, error)}` };
  }
  const result = settingsSchema.safeParse(document);
  const faults = configFaults(document);
  if (result.success) return { settings: result.data, faults };
  return { settings, problem: faults.join('; ') };
}
