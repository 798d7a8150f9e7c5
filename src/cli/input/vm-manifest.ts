import { parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { DiskBus, DiskCache, DiskFormat, Firmware, PowerState } from '../../client/api.ts';
import type { VmInput } from '../../client/vm-calls.ts';
import { AgentError } from '../../core/errors.ts';
import { API_VERSION } from '../output/documents.ts';
import { parseQuantity } from '../output/quantities.ts';
import { describeIssues, schemaMessages } from './schema-issues.ts';

const POWER_STATES = {
  Running: PowerState.POWER_STATE_RUNNING,
  Stopped: PowerState.POWER_STATE_STOPPED,
} as const;
const FIRMWARES = { bios: Firmware.FIRMWARE_BIOS, uefi: Firmware.FIRMWARE_UEFI } as const;
const BUSES = {
  virtio: DiskBus.DISK_BUS_VIRTIO,
  scsi: DiskBus.DISK_BUS_SCSI,
  sata: DiskBus.DISK_BUS_SATA,
} as const;
const FORMATS = { raw: DiskFormat.DISK_FORMAT_RAW, qcow2: DiskFormat.DISK_FORMAT_QCOW2 } as const;
const CACHES = {
  none: DiskCache.DISK_CACHE_NONE,
  writeback: DiskCache.DISK_CACHE_WRITEBACK,
  writethrough: DiskCache.DISK_CACHE_WRITETHROUGH,
  directsync: DiskCache.DISK_CACHE_DIRECTSYNC,
} as const;

const quantity = z.union([z.string(), z.int().min(0)]).transform((value, context) => {
  const bytes = parseQuantity(String(value));
  if (bytes !== undefined) return bytes;
  context.addIssue('must be a quantity such as 512Mi or 2Gi');
  return z.NEVER;
});

const diskSchema = z.strictObject({
  name: z.string(),
  target: z.string(),
  bus: z.enum(keysOf(BUSES)).optional(),
  format: z.enum(keysOf(FORMATS)),
  path: z.string(),
  readOnly: z.boolean().optional(),
  shared: z.boolean().optional(),
  bootOrder: z.int().min(0).optional(),
  cache: z.enum(keysOf(CACHES)).optional(),
});

const bootSchema = z
  .strictObject({
    firmware: z.enum(keysOf(FIRMWARES)).optional(),
    kernel: z
      .strictObject({
        path: z.string(),
        initrd: z.string().optional(),
        commandLine: z.string().optional(),
      })
      .optional(),
  })
  .refine((boot) => boot.firmware === undefined || boot.kernel === undefined, {
    error: 'must be either firmware or kernel, not both',
  });

const vmSchema = z.strictObject({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal('VirtualMachine'),
  metadata: z.strictObject({
    name: z.string().min(1),
    namespace: z.string().optional(),
    uid: z.string().optional(),
    labels: z.record(z.string(), z.string()).optional(),
    annotations: z.record(z.string(), z.string()).optional(),
    // What `get -o yaml` prints and the agent sets itself.
    generation: z.unknown().optional(),
    createTime: z.unknown().optional(),
  }),
  spec: z.strictObject({
    powerState: z.enum(keysOf(POWER_STATES)).optional(),
    cpu: z.strictObject({ vcpus: z.int().min(1), model: z.string().optional() }),
    memory: z.strictObject({ size: quantity }),
    boot: bootSchema.optional(),
    disks: z.array(diskSchema).optional(),
    machineType: z.string().optional(),
  }),
  status: z.unknown().optional(),
});

type Manifest = z.infer<typeof vmSchema>;

/** The VMs of a YAML or JSON text, several documents allowed. Fails with INVALID_SPEC; `file` is named in messages. */
export function parseVmManifests(text: string, file: string): VmInput[] {
  // An alias bomb or a key given twice is refused by the parser.
  const documents = parseAllDocuments(text, { uniqueKeys: true });
  if (!Array.isArray(documents)) throw new AgentError('INVALID_SPEC', `${file} is empty`);
  const vms: VmInput[] = [];
  for (const [index, document] of documents.entries()) {
    const where = documents.length === 1 ? file : `${file}, document ${index + 1}`;
    const [problem] = [...document.errors, ...document.warnings];
    if (problem !== undefined) {
      throw new AgentError('INVALID_SPEC', `${where} is no YAML: ${problem.message}`);
    }
    const content: unknown = document.toJS();
    // Left by a `---` at the end.
    if (content === null || content === undefined) continue;
    vms.push(toVm(checkManifest(content, where)));
  }
  if (vms.length === 0) throw new AgentError('INVALID_SPEC', `${file} is empty`);
  return vms;
}

function checkManifest(content: unknown, where: string): Manifest {
  const result = vmSchema.safeParse(content, schemaMessages);
  if (result.success) return result.data;
  throw new AgentError('INVALID_SPEC', `${where} does not describe a VM`, {
    violations: describeIssues(result.error, vmSchema),
  });
}

function toVm({ metadata, spec }: Manifest): VmInput {
  const { name, namespace, uid, labels, annotations } = metadata;
  return {
    metadata: {
      name,
      namespace: namespace ?? '',
      uid: uid ?? '',
      labels: labels ?? {},
      annotations: annotations ?? {},
    },
    spec: {
      cpu: { vcpus: spec.cpu.vcpus, model: spec.cpu.model ?? '' },
      memory: { sizeBytes: spec.memory.size },
      disks: (spec.disks ?? []).map((disk) => ({
        name: disk.name,
        target: disk.target,
        path: disk.path,
        format: FORMATS[disk.format],
        bus: disk.bus === undefined ? DiskBus.DISK_BUS_UNSPECIFIED : BUSES[disk.bus],
        readOnly: disk.readOnly ?? false,
        shared: disk.shared ?? false,
        bootOrder: disk.bootOrder ?? 0,
        cache: disk.cache === undefined ? DiskCache.DISK_CACHE_UNSPECIFIED : CACHES[disk.cache],
      })),
      machineType: spec.machineType ?? '',
      powerState:
        spec.powerState === undefined
          ? PowerState.POWER_STATE_UNSPECIFIED
          : POWER_STATES[spec.powerState],
      ...bootOf(spec.boot),
    },
  };
}

function bootOf(boot: Manifest['spec']['boot']): Pick<NonNullable<VmInput['spec']>, 'boot'> {
  if (boot?.kernel !== undefined) {
    const { path, initrd = '', commandLine = '' } = boot.kernel;
    const value = { kernelPath: path, initrdPath: initrd, commandLine };
    return { boot: { method: { $case: 'kernel', value } } };
  }
  if (boot?.firmware === undefined) return {};
  return { boot: { method: { $case: 'firmware', value: FIRMWARES[boot.firmware] } } };
}

function keysOf<K extends string>(table: Readonly<Record<K, unknown>>): K[] {
  return Object.keys(table) as K[];
}
