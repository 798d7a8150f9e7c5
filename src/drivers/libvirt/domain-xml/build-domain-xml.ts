import { machineToStart } from '../../../core/ejected-media.ts';
import type { VmDefinition } from '../../../core/vm-definition.ts';
import { hypervisorNameOf } from '../../hypervisor-domains.ts';
import type { DomainXmlOptions } from './domain-part.ts';
import { DOMAIN_PARTS } from './domain-parts.ts';
import { metadataNode } from './metadata.ts';
import { element, renderXml } from './xml-node.ts';

/** The XML of a domain that is to be defined anew. Fails with INVALID_SPEC for values that XML cannot carry. */
export function buildDomainXml(definition: VmDefinition, options: DomainXmlOptions): string {
  const machine = machineToStart(definition);
  const own = { ...options, vmUid: definition.uid };
  const built = DOMAIN_PARTS.map((part) => part.build(machine, own));
  const domain = element(
    'domain',
    {
      type: options.accelerator === 'kvm' ? 'kvm' : 'qemu',
      ...Object.assign({}, ...built.map(({ attributes }) => attributes)),
    },
    element('name', {}, hypervisorNameOf(definition)),
    element('uuid', {}, definition.uid),
    element('metadata', {}, metadataNode(definition)),
    ...built.flatMap((nodes) => nodes.domain ?? []),
    element(
      'devices',
      {},
      options.emulator === undefined ? undefined : element('emulator', {}, options.emulator),
      ...built.flatMap(({ devices }) => devices ?? []),
    ),
  );
  return `${renderXml(domain)}\n`;
}
