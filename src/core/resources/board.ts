import * as z from '../zod.ts';
import { choice, line } from './field-schemas.ts';

/** SMBIOS has its strings by the byte; QEMU takes them whole. */
const MAX_SMBIOS_BYTES = 255;

export const watchdog = z.strictObject({
  model: choice('WATCHDOG_MODEL', ['i6300esb', 'itco']).default('i6300esb').meta({
    description:
      'What the guest sees: a PCI card that most systems have a driver for, or the one of the q35 board (libvirt 9.1 and later).',
  }),
  action: choice('WATCHDOG_ACTION', [
    'reset',
    'poweroff',
    'shutdown',
    'pause',
    'none',
    'dump',
    'inject-nmi',
  ])
    .default('reset')
    .meta({
      description:
        'What happens once the guest has not answered it in time: it is reset, its power is cut, it is asked to power off, it is paused, nothing, its memory is dumped to a file of libvirt, or it gets a non-maskable interrupt.',
    }),
});

export const vsock = z.strictObject({
  cid: z.enum(['auto'], 'must be auto').optional().meta({
    description:
      'Its address: `auto`, one that no other VM of the node has; another one at each start. If left out, a new VM has that, and one that is there keeps its own.',
  }),
});

const smbiosText = (what: string) =>
  line(MAX_SMBIOS_BYTES)
    .refine((text) => text !== '', 'must not be empty')
    .optional()
    .meta({ description: `${what}.` });

export const smbios = z.strictObject({
  manufacturer: smbiosText('Who has made the system'),
  product: smbiosText('Name of the product'),
  version: smbiosText('Its version'),
  serial: smbiosText('Its serial number'),
  sku: smbiosText('Its stock-keeping unit'),
  family: smbiosText('Family of products that it belongs to'),
  assetTag: smbiosText('Asset tag of the case'),
});

export const ENLIGHTENMENTS = [
  'relaxed',
  'vapic',
  'spinlocks',
  'vpindex',
  'runtime',
  'synic',
  'stimer',
  'reset',
  'frequencies',
  'reenlightenment',
  'tlbflush',
  'ipi',
  'evmcs',
  'avic',
] as const;

export const hyperv = z.strictObject({
  enabled: z.boolean().default(true).meta({ description: 'Whether it has them.' }),
  features: z
    .array(z.enum(ENLIGHTENMENTS, `must be ${ENLIGHTENMENTS.join(', ')}`))
    .min(1, 'must name at least one, or be left out')
    .max(ENLIGHTENMENTS.length, 'must name each only once')
    .optional()
    .meta({
      description: `Which, by libvirt's names (${ENLIGHTENMENTS.map((name) => `\`${name}\``).join(' ')}); those that Windows gains from and every processor with KVM has if left out.`,
    }),
});
