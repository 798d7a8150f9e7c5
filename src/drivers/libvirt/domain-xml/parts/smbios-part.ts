import type { Machine } from '../../../../core/resources/machine.ts';
import { type DomainPart, nextStart } from '../domain-part.ts';
import type { XmlEditor } from '../xml-editor.ts';
import { element, type XmlNode } from '../xml-node.ts';
import type { XmlElement } from '../xml-parser.ts';
import { attributeOf, childrenOf, findElement, textOf } from '../xml-query.ts';

type Smbios = NonNullable<NonNullable<Machine['firmware']>['smbios']>;

/** Where libvirt has each. The UUID of the system is that of the domain, and nobody's to choose. */
const PLACES = {
  manufacturer: ['system', 'manufacturer'],
  product: ['system', 'product'],
  version: ['system', 'version'],
  serial: ['system', 'serial'],
  sku: ['system', 'sku'],
  family: ['system', 'family'],
  assetTag: ['chassis', 'asset'],
} as const satisfies Record<keyof Smbios, readonly [block: string, entry: string]>;

const FIELDS = Object.keys(PLACES) as readonly (keyof Smbios)[];

const OF_SMBIOS = nextStart('firmware.smbios');

/** Whether a field is this part's, among those of the firmware. */
export function isOfSmbios(field: string): boolean {
  return OF_SMBIOS(field) !== undefined;
}

/** What has the firmware show what the domain says; for `<os>`. */
export function smbiosModeNode({ firmware }: Machine): XmlNode | undefined {
  return isGiven(firmware?.smbios) ? element('smbios', { mode: 'sysinfo' }) : undefined;
}

/** What the guest reads of who has made its hardware. */
export const smbiosPart: DomainPart = {
  drift: 'smbios',

  effectOf: OF_SMBIOS,

  build({ firmware }) {
    const { smbios = {} } = firmware ?? {};
    return { domain: [isGiven(smbios) ? sysinfoNode(smbios) : undefined] };
  },

  /** What somebody else has set that no manifest has named stays. */
  change(editor, domain, { firmware }, { before }) {
    const { smbios = {} } = firmware ?? {};
    const { smbios: had = {} } = before?.firmware ?? {};
    if (!isGiven(smbios) && !isGiven(had)) return;
    if (isGiven(smbios)) changeMode(editor, domain);
    const sysinfo = childrenOf(domain, 'sysinfo').find(
      (one) => attributeOf(one, 'type') === 'smbios',
    );
    if (sysinfo !== undefined && isEmptied(sysinfo, smbios, had)) {
      editor.remove(sysinfo);
      // libvirt does not start a domain that is to show what is not there.
      const mode = findElement(domain, 'os', 'smbios');
      if (mode !== undefined) editor.remove(mode);
    } else if (sysinfo !== undefined) changeSysinfo(editor, sysinfo, smbios, had);
    else if (isGiven(smbios)) editor.append(domain, sysinfoNode(smbios));
  },
};

function isGiven(smbios: Smbios | undefined): boolean {
  return FIELDS.some((field) => smbios?.[field] !== undefined);
}

function sysinfoNode(smbios: Smbios): XmlNode {
  return element(
    'sysinfo',
    { type: 'smbios' },
    ...(['system', 'chassis'] as const).map((block) => blockNode(block, entriesOf(smbios, block))),
  );
}

function entriesOf(smbios: Smbios, block: string): ReadonlyMap<string, string> {
  return new Map(
    FIELDS.flatMap((field) => {
      const [of, name] = PLACES[field];
      const value = smbios[field];
      return of === block && value !== undefined ? [[name, value]] : [];
    }),
  );
}

/** libvirt takes no empty block. */
function blockNode(block: string, entries: ReadonlyMap<string, string>): XmlNode | undefined {
  if (entries.size === 0) return undefined;
  return element(block, {}, ...Array.from(entries, ([name, value]) => entryNode(name, value)));
}

function entryNode(name: string, value: string): XmlNode {
  return element('entry', { name }, value);
}

function changeMode(editor: XmlEditor, domain: XmlElement): void {
  const os = findElement(domain, 'os');
  if (os === undefined) return;
  const mode = findElement(os, 'smbios');
  if (mode === undefined) editor.append(os, element('smbios', { mode: 'sysinfo' }));
  else if (attributeOf(mode, 'mode') !== 'sysinfo') editor.setAttribute(mode, 'mode', 'sysinfo');
}

/** Whether nothing would be left of it. */
function isEmptied(sysinfo: XmlElement, wanted: Smbios, had: Smbios): boolean {
  if (isGiven(wanted)) return false;
  return childrenOf(sysinfo).every((block) =>
    childrenOf(block).every((entry) =>
      entriesOf(had, block.name).has(attributeOf(entry, 'name') ?? ''),
    ),
  );
}

function changeSysinfo(editor: XmlEditor, sysinfo: XmlElement, wanted: Smbios, had: Smbios): void {
  for (const block of ['system', 'chassis']) {
    const present = findElement(sysinfo, block);
    const entries = entriesOf(wanted, block);
    const gone = [...entriesOf(had, block).keys()].filter((name) => !entries.has(name));
    const node = blockNode(block, entries);
    if (present === undefined) {
      if (node !== undefined) editor.append(sysinfo, node);
      continue;
    }
    const old = childrenOf(present, 'entry');
    const isLeft = old.some((entry) => !gone.includes(attributeOf(entry, 'name') ?? ''));
    if (!isLeft && node === undefined) {
      editor.remove(present);
      continue;
    }
    changeEntries(editor, present, entries, gone);
  }
}

function changeEntries(
  editor: XmlEditor,
  block: XmlElement,
  entries: ReadonlyMap<string, string>,
  gone: readonly string[],
): void {
  const old = new Map(
    childrenOf(block, 'entry').map((entry) => [attributeOf(entry, 'name') ?? '', entry]),
  );
  for (const [name, value] of entries) {
    const entry = old.get(name);
    if (entry === undefined) editor.append(block, entryNode(name, value));
    else if (textOf(entry) !== value) editor.setText(entry, value);
  }
  for (const name of gone) {
    const entry = old.get(name);
    if (entry !== undefined) editor.remove(entry);
  }
}
