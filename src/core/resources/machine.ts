import * as z from '../zod.ts';
import { hyperv, smbios, vsock, watchdog } from './board.ts';
import { cloudInit } from './cloud-init.ts';
import { absolutePath, bytesQuantity, choice, cpuQuantity, labels } from './field-schemas.ts';
import { imageSource } from './image-source.ts';
import { lifecycle } from './lifecycle.ts';
import { MAX_NETWORKS, network } from './network.ts';
import { MAX_IOTHREADS, MAX_VOLUMES, volume } from './volume.ts';

/** Linux on x86 takes 2048 bytes with the closing NUL. */
const MAX_COMMAND_LINE_BYTES = 2047;
/** More than any model has. */
const MAX_FEATURES = 256;
const MAX_USER_DATA_BYTES = 1024 * 1024;

const resources = z.strictObject({
  cpu: cpuQuantity.meta({
    description: 'CPUs, such as `4` or `1500m`, 1 to 512; rounded up to whole virtual CPUs.',
  }),
  memory: bytesQuantity.meta({
    description:
      'Memory, such as `8Gi`; at least what the node is configured to ask for (512Mi), at most `4Pi`; rounded up to whole MiB.',
  }),
  disk: bytesQuantity.optional().meta({
    description:
      'Size of the disk `root`, 1Mi to 64Ti, which the agent makes, empty, for the first of `volumes`; see [disks](../disks.md). How it is attached a volume of that name may say.',
  }),
});

const device = z.strictObject({
  type: z.string().min(1).meta({ description: 'Kind of device, such as `gpu`.' }),
  vendor: z.string().min(1).optional().meta({ description: 'Vendor, such as `nvidia`.' }),
  model: z.string().min(1).optional().meta({ description: 'Model, such as `tesla-t4`.' }),
  count: z
    .int()
    .min(1, 'must be 1 or more')
    .max(64, 'must be at most 64')
    .optional()
    .meta({ description: 'How many; 1 if left out.' }),
});

const count = (what: string) =>
  z
    .int()
    .min(1, 'must be 1 or more')
    .max(512, 'must be at most 512')
    .meta({ description: `${what}, at least 1.` });

const cpu = z.strictObject({
  model: z
    .string()
    .regex(
      /^[A-Za-z0-9][\w.-]{0,63}$/,
      'must be host-passthrough, host-model or a QEMU model such as EPYC',
    )
    .optional()
    .meta({
      description:
        "`host-passthrough`, `host-model` or a QEMU model such as `EPYC`. If left out, a new VM has the node's default, and one that is there keeps what it has.",
    }),
  max: count('CPUs that it may have while it runs').optional().meta({
    description:
      'How many CPUs it may have while it runs, 1 to 512: up to these `resources.cpu` is changed without a restart. As many as it has if left out.',
  }),
  topology: z
    .strictObject({
      sockets: count('Sockets'),
      cores: count('Cores in each socket'),
      threads: count('Threads in each core'),
    })
    .optional()
    .meta({
      description:
        'How the CPUs are arranged; the product must be their number, with `max` that of those that it may have. One socket with all of them as cores if left out.',
    }),
  features: z
    .array(z.string().regex(/^[+-][a-z0-9._-]{1,40}$/, 'must be +FEATURE or -FEATURE'))
    .max(MAX_FEATURES, `must be at most ${MAX_FEATURES}`)
    .optional()
    .meta({
      description: `Features added (\`+avx2\`) to those of the model, or taken away (\`-avx2\`), by libvirt's names; at most ${MAX_FEATURES}.`,
    }),
  dedicated: z.boolean().optional().meta({
    description:
      'Each of its CPUs is one of the node, shared with nobody, of those that the node sets apart for that. Such a VM is not moved live.',
  }),
});

const firmware = z.strictObject({
  // Without a default: what is filled in for Windows is another than else.
  type: choice('FIRMWARE_TYPE', ['bios', 'uefi']).optional().meta({
    description: 'SeaBIOS or OVMF; bios if left out, and with `os: windows` uefi.',
  }),
  secureBoot: z.boolean().optional().meta({
    description:
      'Only signed boot loaders are started; with uefi and q35. The variables of UEFI are kept apart for a VM with and without it.',
  }),
  secureBootKeys: choice('SECURE_BOOT_KEYS', ['microsoft', 'none']).optional().meta({
    description:
      "Whose signatures count with secureBoot: Microsoft's keys, which distributions and Windows are signed for, unless given; with none the guest enrolls its own, and starts anything until then.",
  }),
  tpm: z
    .strictObject({
      version: z.enum(['2.0'], 'must be "2.0"').meta({ description: 'Version of the standard.' }),
    })
    .optional()
    .meta({
      description:
        "A trusted platform module, emulated by the node's swtpm. What it keeps belongs to the VM, and moves with it.",
    }),
  nvram: choice('NVRAM_POLICY', ['keep', 'reset']).optional().meta({
    description:
      "What becomes of UEFI's variables: keep, unless given, or reset, which has them made anew at each start.",
  }),
  smbios: smbios.optional().meta({
    description:
      "What the guest reads of who has made its hardware. Its UUID there is the VM's. What is left out is QEMU's.",
  }),
});

const kernel = z.strictObject({
  path: absolutePath.meta({ description: 'Absolute path of the kernel image on the node.' }),
  initrd: absolutePath
    .optional()
    .meta({ description: 'Absolute path of the initial RAM disk on the node.' }),
  commandLine: z
    .string()
    .refine(
      (text) => Buffer.byteLength(text) <= MAX_COMMAND_LINE_BYTES && /^[ -~]*$/.test(text),
      `must be printable ASCII of at most ${MAX_COMMAND_LINE_BYTES} characters in one line`,
    )
    .optional()
    .meta({
      description: `Kernel command line: printable ASCII, at most ${MAX_COMMAND_LINE_BYTES} bytes.`,
    }),
});

const display = z.strictObject({
  type: choice('DISPLAY_TYPE', ['vnc', 'none']).default('vnc').meta({
    description:
      'A screen that is seen by VNC, through a socket that root of the node alone may open (`novactl vm vnc`), or none.',
  }),
  video: choice('VIDEO_MODEL', ['vga', 'virtio', 'bochs']).optional().meta({
    description:
      'Its graphics card: vga, unless given, works with every firmware and guest; virtio is for Linux; bochs for UEFI without legacy VGA.',
  }),
  tablet: z.boolean().optional().meta({
    description:
      "A USB tablet, so that the guest's pointer is where that of the viewer is; true if left out.",
  }),
});

/** A machine: what `spec.template.spec` of a VM is. */
export const machine = z.strictObject({
  resources: resources.meta({ description: 'How much of the node it gets.' }),
  image: imageSource.optional().meta({
    description:
      'What the disk `root` is made from, once; see [images](../images.md). The disk is of the size of the image, or of `resources.disk`.',
  }),
  networks: z
    .array(network)
    .max(MAX_NETWORKS, `must be at most ${MAX_NETWORKS}`)
    .optional()
    .meta({
      description: `Networks that it is on, an interface each, at most ${MAX_NETWORKS}. Interfaces that were added with other tools stay.`,
    }),
  volumes: z
    .array(volume)
    .max(MAX_VOLUMES, `must be at most ${MAX_VOLUMES}`)
    .optional()
    .meta({ description: `Disks and CD-ROMs, at most ${MAX_VOLUMES}.` }),
  devices: z.array(device).max(64, 'must be at most 64').optional().meta({
    description: 'Devices of the node that it is given.',
    notSupported: 'the agent cannot pass devices through yet; leave them out',
  }),
  userData: z
    .string()
    .refine(
      (text) => text.isWellFormed() && Buffer.byteLength(text) <= MAX_USER_DATA_BYTES,
      `must be valid Unicode of at most ${MAX_USER_DATA_BYTES} bytes`,
    )
    .optional()
    .meta({
      description:
        'cloud-init user data, handed to the guest on a disk of its own. Kept in a file of the agent, shown as its digest.',
    }),
  cloudInit: cloudInit.optional().meta({
    description:
      'What cloud-init in the guest is told beside user data, on the same disk; with an empty one it is told its name alone.',
  }),
  nodeSelector: labels.optional().meta({
    description: 'Labels that its node must have.',
    notApplicable: 'one node has no choice of nodes',
  }),
  affinity: z.record(z.string(), z.unknown()).optional().meta({
    leaf: 'struct',
    description: 'As in a Kubernetes pod.',
    notApplicable: 'one node has no choice of nodes',
  }),
  lifecycle: lifecycle.optional().meta({
    description:
      'Programs that the node runs around its life, where its configuration allows that; see [hooks](../hooks.md).',
  }),
  os: choice('GUEST_OS', ['linux', 'windows']).optional().meta({
    description:
      'What system its guest is: with windows, what that needs is filled in where the manifest leaves it open; see [Windows](../windows.md). Nothing is with linux, or if left out.',
  }),
  cpu: cpu.optional().meta({ description: 'Details of its processors.' }),
  memory: z
    .strictObject({
      max: bytesQuantity.optional().meta({
        description:
          'How much memory it may have while it runs, such as `16Gi`, at most `4Pi`, rounded up to whole MiB: up to this `resources.memory` is changed without a restart, where its guest has a driver for virtio-mem. As much as it has if left out; less it may have in any case.',
      }),
      hugepages: z.enum(['2Mi', '1Gi'], 'must be 2Mi or 1Gi').optional().meta({
        description:
          'Size of the huge pages that it is made of, which the node must have reserved. None if left out, and what somebody else has set stays.',
      }),
      freePageReporting: z.boolean().optional().meta({
        description:
          'Pages that the guest has freed are given back to the node at once; not those that are huge. If left out, it does so unless it has huge pages, and what somebody else has set stays.',
      }),
    })
    .optional()
    .meta({ description: 'Details of its memory.' }),
  clock: z
    .strictObject({
      offset: choice('CLOCK_OFFSET', ['utc', 'localtime']).optional().meta({
        description:
          "What it shows when the VM is started: UTC, as Linux expects it, or the time of the node's zone, as Windows does. utc if left out, and what somebody else has set stays.",
      }),
    })
    .optional()
    .meta({ description: 'The clock on its board.' }),
  machineType: z
    .string()
    .regex(
      /^(q35|pc|pc-(q35|i440fx)-[\w.-]{1,32})$/,
      'must be q35, pc or a version of them such as pc-q35-7.2',
    )
    .optional()
    .meta({
      description:
        "QEMU machine type. If left out, a new VM has the node's default, and one that is there keeps what it has.",
    }),
  firmware: firmware.optional().meta({ description: 'Its firmware; BIOS if left out.' }),
  kernel: kernel.optional().meta({ description: 'A Linux kernel that is given to it directly.' }),
  display: display.optional().meta({
    description: 'Its screen. None if left out, and what somebody else has set stays.',
  }),
  watchdog: watchdog.optional().meta({
    description: 'A watchdog, which the guest has to answer again and again once it has begun to.',
  }),
  vsock: vsock.optional().meta({
    description: 'A socket between the guest and programs of its node (virtio-vsock).',
  }),
  hyperv: hyperv.optional().meta({
    description:
      'Hyper-V enlightenments, by which Windows knows that it is a guest; with KVM. None if left out, and what somebody else has set stays.',
  }),
  iothreads: z
    .int()
    .min(1, 'must be 1 or more')
    .max(MAX_IOTHREADS, `must be at most ${MAX_IOTHREADS}`)
    .optional()
    .meta({
      description:
        'How many threads of their own read and write disks; which has which says `iothread` of a volume. None if left out, and what somebody else has set stays.',
    }),
  ioErrorResume: choice('IO_ERROR_RESUME', ['manual', 'auto']).optional().meta({
    description:
      'Who lets it go on that a disk error has paused: manual, unless given, waits for `novactl vm resume`; auto goes on by itself once there is room again, see [disks](../disks.md).',
  }),
  console: z
    .strictObject({
      log: z
        .boolean()
        .optional()
        .meta({
          description: 'Whether the first serial console is logged; true if left out.',
          notSupportedValues: { false: 'the agent logs every console; leave it out' },
        }),
    })
    .optional()
    .meta({ description: 'Its console.' }),
});

export type Machine = z.output<typeof machine>;
