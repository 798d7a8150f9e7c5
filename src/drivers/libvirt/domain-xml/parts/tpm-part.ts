import { type DomainPart, nextStart } from '../domain-part.ts';
import { element, type XmlNode } from '../xml-node.ts';
import type { XmlElement } from '../xml-parser.ts';
import { attributeOf, childrenOf, findElement } from '../xml-query.ts';

/** Whether a field is this part's, among those of the firmware. */
export function isOfTpm(field: string): boolean {
  return OF_TPM(field) !== undefined;
}

const OF_TPM = nextStart('firmware.tpm');

/**
 * A TPM that swtpm emulates. libvirt keeps its state in a folder named for the domain's UUID, removes that with the domain, and has
 * QEMU send it in a migration.
 */
export const tpmPart: DomainPart = {
  drift: 'tpm',

  effectOf: OF_TPM,

  build({ firmware }) {
    return { devices: [firmware?.tpm === undefined ? undefined : tpmNode()] };
  },

  /** One that no manifest has named is somebody else's. */
  change(editor, domain, { firmware }, { before }) {
    const devices = findElement(domain, 'devices');
    const present = findElement(devices, 'tpm');
    const isWanted = firmware?.tpm !== undefined;
    if (present === undefined) {
      if (isWanted && devices !== undefined) editor.append(devices, tpmNode());
    } else if (!isWanted && before?.firmware?.tpm !== undefined && isEmulated(present)) {
      editor.remove(present);
    }
  },

  read(domain) {
    const tpms = childrenOf(findElement(domain, 'devices'), 'tpm').filter(isEmulated);
    const [tpm] = tpms;
    if (tpm === undefined) return {};
    const model = attributeOf(tpm, 'model') ?? 'tpm-tis';
    const ownParts = childrenOf(findElement(tpm, 'backend')).map(({ name }) => name);
    return {
      machine: { firmware: { tpm: { version: '2.0' } } },
      said: tpms,
      kept: [
        ...(model === 'tpm-crb' ? [] : [`tpm model=${model}`]),
        ...ownParts.map((name) => `tpm ${name}`),
      ],
    };
  },
};

/** One of the host's that somebody has handed through is theirs, and so is one of another standard. */
function isEmulated(tpm: XmlElement): boolean {
  const backend = findElement(tpm, 'backend');
  return (
    attributeOf(backend, 'type') === 'emulator' &&
    (attributeOf(backend, 'version') ?? '2.0') === '2.0'
  );
}

function tpmNode(): XmlNode {
  return element(
    'tpm',
    { model: 'tpm-crb' },
    element('backend', { type: 'emulator', version: '2.0' }),
  );
}
