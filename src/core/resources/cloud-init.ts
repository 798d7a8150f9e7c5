import { readYaml } from '../yaml.ts';
import { yamlProblem } from '../yaml-problem.ts';
import * as z from '../zod.ts';
import { choice, line } from './field-schemas.ts';
import { secretName } from './secret-name.ts';

const MAX_NETWORK_CONFIG_BYTES = 64 * 1024;
const MAX_KEYS = 64;
const MAX_KEY_BYTES = 16 * 1024;
/** Options may stand before the kind of the key (sshd(8), AUTHORIZED_KEYS FILE FORMAT). */
const PUBLIC_KEY = /(^|\s)(ssh|ecdsa|sk-ssh|sk-ecdsa)-\S+ [A-Za-z0-9+/=]{16,}( |$)/;
const HOST_NAME =
  /^(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$/;

const networkConfig = z.string().check((context) => {
  const problem = networkConfigProblem(context.value);
  if (problem !== undefined) {
    context.issues.push({ code: 'custom', message: problem, input: context.value });
  }
});

/** What cloud-init takes for no configuration at all it does not complain about where anybody looks. */
function networkConfigProblem(text: string): string | undefined {
  if (Buffer.byteLength(text) > MAX_NETWORK_CONFIG_BYTES) {
    return `must be at most ${MAX_NETWORK_CONFIG_BYTES} bytes`;
  }
  let document: unknown;
  try {
    document = readYaml(text);
  } catch (error) {
    return `is no YAML: ${yamlProblem(text, error)}`;
  }
  const outer = document as { readonly network?: unknown; readonly version?: unknown } | null;
  const inner = (outer?.network ?? outer ?? {}) as {
    readonly version?: unknown;
    readonly config?: unknown;
  };
  if (inner.version === 1 || inner.version === 2 || inner.config === 'disabled') return undefined;
  return 'must be a network configuration of cloud-init with "version: 2" or "version: 1", or "config: disabled"';
}

/** What cloud-init in a guest is told beside its user data. */
export const cloudInit = z.strictObject({
  dataSource: choice('CLOUD_INIT_DATA_SOURCE', ['nocloud', 'configdrive']).optional().meta({
    description:
      "How it is told: nocloud, unless given, or configdrive, OpenStack's, which cloudbase-init in Windows reads; that one has no networkConfig.",
  }),
  instanceId: z
    .string()
    .regex(/^[A-Za-z0-9][\w.-]{0,63}$/, 'must be 1 to 64 letters, digits, ".", "_" or "-"')
    .optional()
    .meta({
      description:
        "The guest does what it does at its first boot again when this is another one. The VM's uid if left out, which nothing changes.",
    }),
  hostname: z
    .string()
    .regex(HOST_NAME, 'must be a host name of at most 253 characters, such as web.example.org')
    .optional()
    .meta({ description: "Name that the guest gives itself; the VM's name if left out." }),
  sshAuthorizedKeys: z
    .array(
      line(MAX_KEY_BYTES).refine((text) => PUBLIC_KEY.test(text), {
        error: 'must be a public key as ssh-keygen writes it, such as "ssh-ed25519 AAAA… me@here"',
      }),
    )
    .max(MAX_KEYS, `must be at most ${MAX_KEYS}`)
    .optional()
    .meta({
      description: "Public keys that may log in as the image's first user, such as `debian`.",
    }),
  passwordSecret: secretName.optional().meta({
    description:
      "Name of a file in the node's folder of secrets (`/etc/novacron/secrets`) with the password of the image's first user in one line, plain or hashed. Read when the VM is made, and when this names another one; it moves with the VM.",
  }),
  networkConfig: networkConfig.optional().meta({
    description:
      'Configuration of its networks in version 2 or 1, as YAML; no place for secrets, as everybody on the node can read it. If left out, the guest asks by DHCP on its first network.',
  }),
});
