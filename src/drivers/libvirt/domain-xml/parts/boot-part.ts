import { isDeepStrictEqual } from 'node:util';
import { type Machine, machine as machineSchema } from '../../../../core/resources/machine.ts';
import { type DomainPart, nextStart } from '../domain-part.ts';
import { extraAttributes, wordsOf } from '../kept-words.ts';
import type { XmlEditor } from '../xml-editor.ts';
import { element, type XmlNode } from '../xml-node.ts';
import type { XmlElement } from '../xml-parser.ts';
import { attributeOf, childrenOf, findElement, textOf } from '../xml-query.ts';
import { isOfSmbios, smbiosModeNode } from './smbios-part.ts';
import { isOfTpm } from './tpm-part.ts';

export interface DomainBoot {
  readonly firmware: 'bios' | 'uefi';
  /** With whose keys; undefined without it. */
  readonly secureBoot: 'microsoft' | 'none' | undefined;
  readonly kernel:
    | {
        readonly path: string;
        readonly initrd: string | undefined;
        readonly commandLine: string | undefined;
      }
    | undefined;
}

export function readBoot(domain: XmlElement): DomainBoot {
  const os = findElement(domain, 'os');
  const uefi =
    attributeOf(os, 'firmware') === 'efi' ||
    attributeOf(findElement(os, 'loader'), 'type') === 'pflash';
  const path = textOf(findElement(os, 'kernel'));
  return {
    firmware: uefi ? 'uefi' : 'bios',
    secureBoot: uefi ? readSecureBoot(os) : undefined,
    kernel:
      path === undefined
        ? undefined
        : {
            path,
            initrd: textOf(findElement(os, 'initrd')),
            commandLine: textOf(findElement(os, 'cmdline')) || undefined,
          },
  };
}

function readSecureBoot(os: XmlElement | undefined): DomainBoot['secureBoot'] {
  const features = childrenOf(findElement(os, 'firmware'), 'feature');
  const find = (name: string) => features.find((one) => attributeOf(one, 'name') === name);
  const named = attributeOf(find('secure-boot'), 'enabled');
  // Of a domain that somebody else has chosen the image for.
  const isSecure = (named ?? attributeOf(findElement(os, 'loader'), 'secure')) === 'yes';
  if (!isSecure) return undefined;
  return attributeOf(find('enrolled-keys'), 'enabled') === 'no' ? 'none' : 'microsoft';
}

/** As libvirt keeps it, such as `pc-q35-7.2`. */
export function readMachineType(domain: XmlElement): string {
  return attributeOf(findElement(domain, 'os', 'type'), 'machine') ?? '';
}

const OF_BOOT = nextStart('machineType', 'firmware', 'kernel');

export const bootPart: DomainPart = {
  drift: 'boot',

  effectOf: (field) => (isOfTpm(field) || isOfSmbios(field) ? undefined : OF_BOOT(field)),

  build(machine, options) {
    const boot = bootOf(machine);
    const type = machine.machineType ?? options.defaultMachineType;
    return {
      domain: [
        element(
          'os',
          { firmware: firmwareAttribute(boot) },
          element('type', { arch: 'x86_64', machine: type }, 'hvm'),
          ...firmwareNodes(boot, options.nvramPath),
          ...kernelNodes(boot),
          smbiosModeNode(machine),
        ),
      ],
    };
  },

  change(editor, domain, machine, { nvramPath }) {
    const os = findElement(domain, 'os');
    if (os === undefined) return;
    changeMachineType(editor, domain, machine);
    if (machine.volumes?.some((volume) => volume.bootOrder !== undefined) === true) {
      // libvirt adds <boot dev='hd'/> where no disk has an order, and refuses both together.
      for (const boot of childrenOf(os, 'boot')) editor.remove(boot);
    }
    const before = readBoot(domain);
    const wanted = bootOf(machine);
    if (before.firmware !== wanted.firmware || before.secureBoot !== wanted.secureBoot) {
      replaceChildren(editor, os, FIRMWARE_ELEMENTS, firmwareNodes(wanted, nvramPath));
      const attribute = firmwareAttribute(wanted);
      if (attribute === undefined) editor.removeAttribute(os, 'firmware');
      else editor.setAttribute(os, 'firmware', attribute);
    }
    if (!isDeepStrictEqual(before.kernel, wanted.kernel)) {
      replaceChildren(editor, os, KERNEL_ELEMENTS, kernelNodes(wanted));
    }
  },

  read(domain) {
    const os = findElement(domain, 'os');
    const { firmware, secureBoot, kernel } = readBoot(domain);
    const { shape } = machineSchema;
    const machineType = shape.machineType.safeParse(readMachineType(domain) || undefined);
    const checked = shape.kernel.safeParse(kernel && withoutUndefined(kernel));
    const hasKernel = checked.success && checked.data !== undefined;
    const ofUefi = {
      type: firmware,
      ...(secureBoot !== undefined && { secureBoot: true }),
      ...(secureBoot === 'none' && { secureBootKeys: secureBoot }),
    };
    return {
      machine: {
        ...(machineType.success && machineType.data && { machineType: machineType.data }),
        ...(firmware === 'uefi' && { firmware: ofUefi }),
        ...(checked.data && { kernel: withoutUndefined(checked.data) }),
      },
      said: childrenOf(domain, 'os'),
      kept: [
        ...(machineType.success ? [] : [`machine type ${readMachineType(domain)}`]),
        ...childrenOf(os).flatMap((child) => keptOf(child, hasKernel)),
      ],
    };
  },
};

/** The machine says all of these, or libvirt has chosen them. */
const SAID: readonly string[] = ['type', 'firmware'];
/** What libvirt writes down where nobody has chosen. */
const USUAL_BOOT = 'hd';

function keptOf(child: XmlElement, hasKernel: boolean): readonly string[] {
  const { name } = child;
  if (SAID.includes(name) || (hasKernel && KERNEL_ELEMENTS.includes(name))) return [];
  if (name === 'boot' && attributeOf(child, 'dev') === USUAL_BOOT) return [];
  if (name === 'loader' || name === 'nvram') return [`${name} ${textOf(child) ?? ''}`.trim()];
  const [words, text] = [wordsOf(child), extraAttributes(child, {}).join(' ')];
  return [words === name ? `${name} ${text}`.trim() : words];
}

function withoutUndefined(value: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).filter(([, part]) => part !== undefined));
}

/** What another firmware, or another kernel, must not leave behind. */
const FIRMWARE_ELEMENTS = ['loader', 'nvram', 'firmware'];
const KERNEL_ELEMENTS = ['kernel', 'initrd', 'cmdline'];

function bootOf({ firmware, kernel }: Machine): DomainBoot {
  return {
    firmware: firmware?.type ?? 'bios',
    secureBoot:
      firmware?.secureBoot === true ? (firmware.secureBootKeys ?? 'microsoft') : undefined,
    kernel: kernel && {
      path: kernel.path,
      initrd: kernel.initrd,
      commandLine: kernel.commandLine || undefined,
    },
  };
}

/** The value of `<os firmware=…>`: libvirt then finds a UEFI image by itself. */
function firmwareAttribute({ firmware }: DomainBoot): 'efi' | undefined {
  return firmware === 'uefi' ? 'efi' : undefined;
}

function firmwareNodes(
  { firmware, secureBoot }: DomainBoot,
  nvramPath: string,
): readonly XmlNode[] {
  if (firmware === 'bios') return [];
  return [
    // Left open, libvirt takes the host's first image, which may or may not enforce secure boot.
    element('firmware', {}, ...secureBootNodes(secureBoot)),
    // Left open, libvirt names the file for the domain, and a namesake would start with what is left of another's.
    element('nvram', {}, variablesPath(nvramPath, secureBoot)),
  ];
}

/** libvirt switches on what else it takes: QEMU's system management mode. */
function secureBootNodes(secureBoot: DomainBoot['secureBoot']): readonly XmlNode[] {
  if (secureBoot === undefined) return [feature('secure-boot', 'no')];
  return [
    feature('enrolled-keys', secureBoot === 'microsoft' ? 'yes' : 'no'),
    feature('secure-boot', 'yes'),
  ];
}

function feature(name: string, enabled: 'yes' | 'no'): XmlNode {
  return element('feature', { enabled, name });
}

/** Variables that were made without keys have none, and would go on starting anything. */
function variablesPath(nvramPath: string, secureBoot: DomainBoot['secureBoot']): string {
  if (secureBoot === undefined) return nvramPath;
  const kind = secureBoot === 'microsoft' ? '-secure' : '-secure-own';
  return nvramPath.replace(/(?=_VARS\.fd$)/, kind);
}

function kernelNodes({ kernel }: DomainBoot): readonly XmlNode[] {
  if (kernel === undefined) return [];
  return [
    element('kernel', {}, kernel.path),
    ...(kernel.initrd === undefined ? [] : [element('initrd', {}, kernel.initrd)]),
    ...(kernel.commandLine === undefined ? [] : [element('cmdline', {}, kernel.commandLine)]),
  ];
}

function replaceChildren(
  editor: XmlEditor,
  os: XmlElement,
  names: readonly string[],
  nodes: readonly XmlNode[],
): void {
  for (const child of childrenOf(os)) if (names.includes(child.name)) editor.remove(child);
  for (const node of nodes) editor.append(os, node);
}

/** A machine type that is left open stays: the guest has it already. */
function changeMachineType(editor: XmlEditor, domain: XmlElement, machine: Machine): void {
  const wanted = machine.machineType;
  if (wanted === undefined || isSameMachine(readMachineType(domain), wanted)) return;
  const type = findElement(domain, 'os', 'type');
  if (type !== undefined) editor.setAttribute(type, 'machine', wanted);
}

/** libvirt replaces an alias such as `q35` by the versioned name when the domain is defined. */
function isSameMachine(present: string, wanted: string): boolean {
  if (wanted === 'q35') return /^(pc-)?q35(-|$)/.test(present);
  if (wanted === 'pc') return present === 'pc' || present.startsWith('pc-i440fx-');
  return present === wanted;
}
