import { hostname } from 'node:os';
import { z } from 'zod';
import { SYSTEM_URI } from '../../core/libvirt-socket.ts';
import { halfAloneProblem } from '../../core/node-addresses.ts';
import { unquotedText } from '../../core/resources/field-schemas.ts';
import { readYaml } from '../../core/yaml.ts';
import { yamlProblem } from '../../core/yaml-problem.ts';

/**
 * The few settings of the agent that the checks need, with the agent's defaults. The agent alone checks its
 * configuration; here everything unknown is ignored.
 */
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

export type ReadSettings =
  | { readonly settings: AgentSettings; readonly problem?: undefined }
  /** The defaults, and why the file could not be used. */
  | { readonly settings: AgentSettings; readonly problem: string };

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
  if (result.success) {
    const problem = halfAloneProblem(document);
    return problem === undefined ? { settings: result.data } : { settings: result.data, problem };
  }
  const issues = result.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
  return { settings, problem: issues.join('; ') };
}
