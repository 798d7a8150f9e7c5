import { hostname } from 'node:os';
import path from 'node:path';
import { parseCpuList } from './cpu-list.ts';
import { DNS_NAME } from './dns-name.ts';
import { AgentError } from './errors.ts';
import { parseIpNetwork } from './ip-network.ts';
import { libvirtUriProblem, SYSTEM_URI } from './libvirt-socket.ts';
import { LOG_LEVELS } from './log-level.ts';
import { nearestKey } from './nearest-key.ts';
import {
  type AddressFinding,
  defaultListen,
  findAddressProblems,
  halfAloneProblem,
} from './node-addresses.ts';
import { bytesQuantity, unquotedText } from './resources/field-schemas.ts';
import { runDirectoryExcess, SOCKET_PATH_LIMIT, socketPathExcess } from './socket-path.ts';
import { readYaml } from './yaml.ts';
import { QUOTE_ADDRESS, yamlProblem } from './yaml-problem.ts';
import * as z from './zod.ts';

const absolutePath = z
  .string()
  .refine((value) => path.isAbsolute(value), 'must be an absolute path');

const socketPath = absolutePath.superRefine((value, context) => {
  const excess = socketPathExcess(value);
  if (excess > 0) context.addIssue(tooLong("a socket's path has", excess));
});

const runFolder = absolutePath.superRefine((value, context) => {
  const excess = runDirectoryExcess(value);
  if (excess > 0) context.addIssue(tooLong('sockets of transfers below it have', excess));
});

function tooLong(what: string, excess: number): string {
  return `is too long, as ${what} at most ${SOCKET_PATH_LIMIT} bytes; shorten it by ${excess}`;
}

const libvirtUri = z.string().superRefine((value, context) => {
  const problem = libvirtUriProblem(value);
  if (problem !== undefined) context.addIssue(problem);
});

/** What is wrong with one is found for all of them at once, by `findAddressProblems`. */
const address = z.string({
  error: ({ input }) => (Array.isArray(input) ? `${QUOTE_ADDRESS}: "[::]:7443"` : undefined),
});

const NO_HOOK_USER = 'must be the name of a user without privileges, such as nobody';

const dnsLabel = z.string().regex(DNS_NAME, 'must be a DNS name, such as node-1');

const configSchema = z.strictObject({
  /** The Kubernetes node's name; part of this node's identity `spiffe://novacron/node/NAME`. */
  nodeName: unquotedText.pipe(dnsLabel).prefault(() => hostname().toLowerCase()),
  /** Unix socket of the API, for root on this node only. */
  socket: socketPath.default('/run/novacron/agent.sock'),
  /** TCP address of the API, mutual TLS 1.3; by default all addresses of the family of `advertise`. */
  listen: address.optional(),
  /**
   * Where other nodes reach this node's API, and its transfers at the same host: an IP address and a port. Without, this node is
   * alone, and its API on its unix socket only.
   */
  advertise: address.optional(),
  /** Plain HTTP for /metrics, /healthz and /readyz. */
  httpListen: address.default('127.0.0.1:7480'),
  /** Journal and identity; must survive a reboot. */
  stateDirectory: absolutePath.default('/var/lib/novacron'),
  /** Sockets and transfers; must be the same path on all nodes, and must not survive a reboot. */
  runDirectory: runFolder.default('/run/novacron'),
  logLevel: z.enum(LOG_LEVELS).default('info'),
  tls: z
    .strictObject({
      certificate: absolutePath.default('/etc/novacron/pki/tls.crt'),
      key: absolutePath.default('/etc/novacron/pki/tls.key'),
      ca: absolutePath.default('/etc/novacron/pki/ca.crt'),
    })
    .prefault({}),
  hypervisor: z
    .strictObject({
      uri: libvirtUri.default(SYSTEM_URI),
      /** libvirt's own socket on this node, also for incoming migrations; `auto` takes the one that is there. */
      libvirtSocket: z.literal('auto').or(absolutePath).default('auto'),
      /** What VMs run on; `auto` takes kvm where a guest really boots with it. */
      accelerator: z.enum(['auto', 'kvm', 'tcg']).default('auto'),
      machineType: z.string().default('q35'),
      /** Default CPU model; `auto` takes host-model with kvm and qemu64 with tcg. */
      cpuModel: unquotedText.default('auto'),
      /** Where consoles are logged; written by libvirt's virtlogd. */
      consoleDirectory: absolutePath.default('/var/log/libvirt/qemu'),
      callWorkers: z.int().min(1).max(16).default(4),
      callTimeoutMs: z.int().min(100).max(600_000).default(10_000),
    })
    .prefault({}),
  images: z
    .strictObject({
      /** Folders that VMs may have images and kernels of, and images those behind them. */
      folders: z.array(absolutePath).default(['/var/lib/libvirt/images', '/var/lib/novacron']),
      /** Further folders of kernels and initial RAM disks. */
      bootFolders: z.array(absolutePath).default(['/boot']),
      /** Where disks are made that VMs ask for by their size; they may have those that are there. */
      diskFolder: absolutePath.default('/var/lib/libvirt/images'),
      /** The largest image that is fetched, also as its guest sees it. */
      maxImageBytes: z
        .int()
        .min(1)
        .max(2 ** 46)
        .default(2 ** 40),
      /** Images that no VM stands on are removed, the one first that was used longest ago, until all take no more than this. */
      cacheBytes: z
        .int()
        .min(0)
        .max(2 ** 50)
        .default(64 * 2 ** 30),
      /** Networks that images are never fetched from, also by redirection: this node itself, and those of clouds that tell secrets. */
      forbiddenNetworks: z
        .array(
          z
            .string()
            .refine(
              (text) => parseIpNetwork(text) !== undefined,
              'must be a network such as 169.254.0.0/16',
            ),
        )
        .default([
          '127.0.0.0/8',
          '::1/128',
          '169.254.0.0/16',
          'fe80::/10',
          '0.0.0.0/8',
          '::/128',
          '100.100.100.200/32',
          '192.0.0.192/32',
          'fd00:ec2::254/128',
        ]),
      /** Registries that images are fetched from without TLS, as HOST or HOST:PORT; none unless given. */
      insecureRegistries: z
        .array(z.string().regex(/^[A-Za-z0-9[\]:.-]+$/, 'must be HOST or HOST:PORT'))
        .default([]),
      /** Where `s3://BUCKET/PATH` is. */
      s3: z
        .strictObject({
          /** Such as `https://minio.example:9000`; AWS's own of the region unless given. */
          endpoint: z
            .string()
            .regex(/^https?:\/\/[^\s/?#@]+(\/[^\s?#]*)?$/, 'must be http(s)://HOST, without a user')
            .optional(),
          /** That requests are signed for. */
          region: z
            .string()
            .regex(/^[a-z0-9-]{1,64}$/, 'must be a region such as eu-central-1')
            .default('us-east-1'),
        })
        .prefault({}),
      /** Patterns of block devices that VMs may have; none unless given. */
      blockDevices: z.array(absolutePath).default([]),
    })
    .prefault({}),
  secrets: z
    .strictObject({
      /** Folder of the secrets that VMs may name. */
      folder: absolutePath.default('/etc/novacron/secrets'),
    })
    .prefault({}),
  cpu: z
    .strictObject({
      /** CPUs of this node, such as `2-7,10`, that only VMs with CPUs of their own run on; none unless given. */
      dedicated: unquotedText
        .default('')
        .refine((text) => parseCpuList(text) !== undefined, 'must be CPUs such as 2-7,10'),
    })
    .prefault({}),
  capacity: z
    .strictObject({
      /** Memory of this node that VMs may not have. */
      reservedMemoryBytes: z
        .int()
        .min(0)
        .default(1024 ** 3),
    })
    .prefault({}),
  limits: z
    .strictObject({
      /** The least memory that a new VM may have, as a quantity. */
      minMemory: bytesQuantity.default('512Mi'),
    })
    .prefault({}),
  vms: z
    .strictObject({
      /** How many VMs are started at once by their run strategies, as after a boot. */
      startsAtOnce: z.int().min(1).max(256).default(4),
    })
    .prefault({}),
  lifecycle: z
    .strictObject({
      /** Whether programs of this node are run around the life of VMs, as their manifests say; see docs/hooks.md. */
      hooks: z.boolean().default(false),
      /** The folder that those programs lie in, which root alone may write to. */
      hookFolder: absolutePath.default('/etc/novacron/hooks'),
      /** The user that they run as, who must have no privileges. */
      hookUser: unquotedText
        .refine((name) => name !== 'root' && !/^-|^\d+$/.test(name), NO_HOOK_USER)
        .default('nobody'),
    })
    .prefault({}),
  migration: z
    .strictObject({
      streamer: absolutePath.default('/usr/libexec/novacron/novacron-streamer'),
      /** Ports on which incoming transfers listen. */
      portMin: z.int().min(1024).max(65_535).default(49_152),
      portMax: z.int().min(1024).max(65_535).default(49_215),
      /** TLS connections of one transfer. */
      lanes: z.int().min(1).max(16).default(2),
      compression: z.enum(['auto', 'off']).default('auto'),
      /** All bytes of one migration together; 0 is unlimited. */
      bandwidthBytesPerSecond: z.int().min(0).default(0),
      maxDowntimeMs: z.int().min(1).max(60_000).default(100),
      /** How long a transfer waits for a lost link. */
      reconnectTimeoutMs: z.int().min(1_000).max(3_600_000).default(60_000),
    })
    .refine((value) => value.portMin <= value.portMax, {
      message: 'must not be below portMin',
      path: ['portMax'],
    })
    .prefault({}),
  /** Addresses of other nodes' agents by node name: for `migrate --to NAME`, and to ask them for VMs. */
  peers: z.record(dnsLabel, address).default({}),
});

type ConfigFile = z.infer<typeof configSchema>;
export type AgentConfig = Readonly<ConfigFile>;

/** Checks a configuration text; `file` is only named in messages. Fails with INVALID_CONFIG. */
export function parseConfig(text: string, file: string): AgentConfig {
  let document: unknown;
  try {
    document = readYaml(text) ?? {};
  } catch (error) {
    throw new AgentError('INVALID_CONFIG', `${file} is no YAML: ${yamlProblem(text, error)}`);
  }
  const result = configSchema.safeParse(document, { error: words });
  if (!result.success) throw invalid(file, describeIssues(result.error));
  const { advertise } = result.data;
  const problem = halfAloneProblem(document);
  if (problem !== undefined) throw invalid(file, [problem]);
  const listen = result.data.listen ?? (advertise && defaultListen(advertise));
  const config = { ...result.data, listen };
  const refused = findAddressProblems(config).filter((finding) => finding.refused);
  if (refused.length > 0) throw invalid(file, refused.map(describeFinding));
  return Object.freeze(config);
}

/** What is wrong with a document's keys and values, each by itself; addresses are looked at by `findAddressProblems`. */
export function configFaults(document: unknown): readonly string[] {
  const result = configSchema.safeParse(document, { error: words });
  return result.success ? [] : describeIssues(result.error);
}

/** What may be meant as it is, and is more often a mistake. */
export function configWarnings(config: AgentConfig): readonly string[] {
  return findAddressProblems(config).map(describeFinding);
}

function describeFinding({ path: at, problem }: AddressFinding): string {
  return `${at.join('.')}: ${problem}`;
}

function invalid(file: string, problems: readonly string[]): AgentError {
  return new AgentError('INVALID_CONFIG', `${file}: ${problems.join('; ')}`, {
    violations: problems.map((problem) => ({
      field: problem.slice(0, problem.indexOf(':')),
      description: problem,
    })),
  });
}

/** In the user's words, where the schema's own are those of programmers. */
function words(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code === 'invalid_type') {
    return issue.input === undefined || issue.input === null
      ? 'is missing'
      : `must be ${KINDS[issue.expected] ?? issue.expected}`;
  }
  if (issue.code === 'invalid_value') return `must be ${orList(issue.values.map(String))}`;
  return undefined;
}

const KINDS: Readonly<Record<string, string>> = {
  string: 'text; numbers and the like need quotes',
  number: 'a number',
  int: 'a whole number',
  array: 'a list',
  object: 'a group of keys, indented below it',
  record: 'a group of keys, indented below it',
};

function orList(values: readonly string[]): string {
  const last = values.at(-1) ?? '';
  return values.length === 1 ? last : `${values.slice(0, -1).join(', ')} or ${last}`;
}

function describeIssues({ issues }: z.ZodError): readonly string[] {
  return issues.flatMap(describeIssue);
}

function describeIssue(issue: z.core.$ZodIssue): string[] {
  const at = issue.path.join('.');
  if (issue.code !== 'unrecognized_keys') return [`${at || '(top level)'}: ${issue.message}`];
  return issue.keys.map((key) => {
    const where = at === '' ? key : `${at}.${key}`;
    const near = nearestKey(key, knownKeys(issue.path));
    return near === undefined
      ? `${where}: unknown key`
      : `${where}: unknown key; did you mean ${at === '' ? near : `${at}.${near}`}?`;
  });
}

/** The keys that the schema has at a path. */
function knownKeys(at: readonly PropertyKey[]): string[] {
  let schema: unknown = configSchema;
  for (const key of at) schema = shapeOf(schema)[String(key)];
  return Object.keys(shapeOf(schema));
}

function shapeOf(schema: unknown): Readonly<Record<string, unknown>> {
  let current = schema;
  // Defaults and prefaults wrap the object that has the keys.
  while (current instanceof z.ZodPrefault || current instanceof z.ZodDefault)
    current = current.unwrap();
  return current instanceof z.ZodObject ? current.shape : {};
}
