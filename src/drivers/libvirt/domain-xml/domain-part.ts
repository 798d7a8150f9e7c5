import type { Machine } from '../../../core/resources/machine.ts';
import type {
  ChangeEffect,
  DriftedPart,
  FieldValues,
  LiveSizes,
} from '../../hypervisor-domains.ts';
import type { XmlEditor } from './xml-editor.ts';
import type { XmlNode } from './xml-node.ts';
import type { XmlElement } from './xml-parser.ts';
import { attributeOf } from './xml-query.ts';

/** What a domain gets where its machine leaves it to the node. */
export interface DomainXmlOptions {
  readonly accelerator: 'kvm' | 'tcg';
  readonly defaultMachineType: string;
  readonly defaultCpuModel: string;
  /** File that the first serial console is logged to. */
  readonly consoleLogPath: string;
  /** File that the variables of UEFI are kept in. */
  readonly nvramPath: string;
  /** Image of the disk for cloud-init. */
  readonly seedPath: string;
  /** Needed under TCG with QEMU before 9.0, which otherwise loses dirty pages in a migration. */
  readonly oddRamSize: boolean;
  /** QEMU's path; undefined leaves the choice to libvirt. */
  readonly emulator?: string;
}

/** The same, and which domain it is: a part may have to know who a machine is. */
type BuildOptions = DomainXmlOptions & { readonly vmUid: string };

/** What a domain that is there may need of its node, and what its machine was until now. */
export type ChangeOptions = Pick<
  BuildOptions,
  'oddRamSize' | 'nvramPath' | 'seedPath' | 'vmUid'
> & {
  /** What it has that is named here and in the new machine no more is taken out. Undefined for a domain of another maker. */
  readonly before: Machine | undefined;
  /** As for a new domain; undefined where what is there is only looked at. */
  readonly defaultCpuModel?: string | undefined;
};

/** What a part adds to a domain that is made anew. */
interface PartNodes {
  readonly attributes?: Readonly<Record<string, string>>;
  readonly domain?: readonly (XmlNode | undefined)[];
  readonly devices?: readonly (XmlNode | undefined)[];
}

/** What a part understands of a domain that somebody else has made. */
export interface PartReading {
  /** In the form of a manifest; what the machine can say, and nothing that is only left out. */
  readonly machine?: MachineInput | undefined;
  /** Elements that need no further word: the machine says what they say, or `kept` says what it cannot. */
  readonly said?: readonly XmlElement[];
  /** What of these elements no machine can say, for people. */
  readonly kept?: readonly string[];
}

/** A machine, or a part of one, that nobody has checked. */
export type MachineInput = Readonly<Record<string, unknown>>;

/**
 * One kind of what a domain is made of. A new kind is a file in `parts/` and a line in the table of `domain-parts.ts`.
 * What a part reads of a domain, it offers as a function of its own beside this.
 */
export interface DomainPart {
  /** What it is called where somebody else has changed it; undefined for one that stays as it was made. */
  readonly drift?: DriftedPart;

  /** For a new domain. Fails with FEATURE_NOT_SUPPORTED for what this node cannot give. */
  build(machine: Machine, options: BuildOptions): PartNodes;

  /** Makes a domain's elements say what the machine wants. Touches only what differs; what it does not know stays. */
  change(editor: XmlEditor, domain: XmlElement, machine: Machine, options: ChangeOptions): void;

  /**
   * What a domain that somebody else has made has of it. `change` with this machine leaves that domain, once it is adopted, as it
   * is. What no part speaks of is kept, and named.
   */
  read?(domain: XmlElement): PartReading;

  /** When a change of a field of the machine is in force for a running domain; undefined for what is another part's. */
  effectOf(field: string, change?: FieldValues, sizes?: LiveSizes): ChangeEffect | undefined;
}

/** What a domain runs on. */
export function acceleratorOf(domain: XmlElement): DomainXmlOptions['accelerator'] {
  return attributeOf(domain, 'type') === 'kvm' ? 'kvm' : 'tcg';
}

/** What a field has that is asked for without its values. */
export const NOT_SET: FieldValues = { before: undefined, after: undefined };

/** The fields below some, named from the machine on, all in force at the next start. */
export function nextStart(...fields: readonly string[]): DomainPart['effectOf'] {
  return (field) =>
    fields.some(
      (own) => field === own || field.startsWith(`${own}.`) || field.startsWith(`${own}[`),
    )
      ? 'next-start'
      : undefined;
}
