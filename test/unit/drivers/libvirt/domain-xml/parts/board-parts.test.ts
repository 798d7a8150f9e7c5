import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Machine } from '../../../../../../src/core/resources/machine.ts';
import { buildDomainXml } from '../../../../../../src/drivers/libvirt/domain-xml/build-domain-xml.ts';
import { DomainDocument } from '../../../../../../src/drivers/libvirt/domain-xml/domain-document.ts';
import type { DomainXmlOptions } from '../../../../../../src/drivers/libvirt/domain-xml/domain-part.ts';
import { expectedExtras, readExtras } from '../../../../../fixtures/domain-xml/any-board.ts';
import {
  definition,
  kvmOptions,
  machine,
  tcgOptions,
} from '../../../../../fixtures/domain-xml/definitions.ts';

const CARD = { model: 'i6300esb', action: 'reset' } as const;

/** A domain of ours, as it is made or as somebody has changed it. */
function made(
  changes: Partial<Machine>,
  options: DomainXmlOptions = tcgOptions,
  edit: (xml: string) => string = (xml) => xml,
): DomainDocument {
  return DomainDocument.parse(edit(buildDomainXml(definition({}, changes), options)));
}

function changed(
  from: DomainDocument,
  changes: Partial<Machine>,
  options: DomainXmlOptions = tcgOptions,
): DomainDocument {
  return from.withMachine(machine(changes), options);
}

const withDevice = (device: string) => (xml: string) =>
  xml.replace('  </devices>', `    ${device}\n  </devices>`);

test('a watchdog changes what it does, and goes with the manifest that has had it', () => {
  const ours = made({ watchdog: CARD });
  const other = changed(ours, { watchdog: { ...CARD, action: 'pause' } });
  assert.deepEqual(readExtras(other).watchdogs, ['i6300esb pause']);
  assert.deepEqual(other.drift, ['watchdog']);
  assert.deepEqual(readExtras(changed(ours, {})).watchdogs, []);
  const lost = made({ watchdog: CARD }, tcgOptions, (xml) => xml.replace(/<watchdog [^>]*>/, ''));
  assert.deepEqual(lost.drift, ['watchdog']);
});

test('a watchdog of another maker stays until a manifest has one, and that of the board stays and does the same', () => {
  const foreign = made({}, tcgOptions, withDevice("<watchdog model='ib700' action='none'/>"));
  assert.deepEqual(readExtras(changed(foreign, {})).watchdogs, ['ib700 none']);
  assert.deepEqual(foreign.drift, []);
  const taken = changed(foreign, { watchdog: CARD });
  assert.deepEqual(readExtras(taken).watchdogs, ['i6300esb reset']);
  // libvirt adds it to every q35 since 9.1, and refuses two that do different things.
  const board = made({}, tcgOptions, withDevice("<watchdog model='itco'/>"));
  const both = changed(board, { watchdog: { ...CARD, action: 'poweroff' } });
  assert.deepEqual(readExtras(both).watchdogs, ['itco poweroff', 'i6300esb poweroff']);
  assert.deepEqual(readExtras(changed(board, { watchdog: CARD })).watchdogs, [
    'itco undefined',
    'i6300esb reset',
  ]);
});

test('an address that somebody has given the socket stays unless the manifest has it chosen', () => {
  const own = "<vsock model='virtio'><cid auto='no' address='77'/></vsock>";
  const foreign = made({}, tcgOptions, withDevice(own));
  for (const wanted of [{}, { vsock: {} }]) {
    assert.equal(changed(foreign, wanted).toString(), foreign.toString());
  }
  assert.deepEqual(readExtras(changed(foreign, { vsock: { cid: 'auto' } })).cids, ['yes']);
  assert.deepEqual(readExtras(changed(made({ vsock: {} }), {})).cids, []);
});

test('entries of SMBIOS that no manifest has named stay, and nothing is left of ours alone', () => {
  const smbios = { manufacturer: 'Us', serial: '1', assetTag: 'A' };
  const ours = made({ firmware: { type: 'bios', smbios } });
  assert.deepEqual(readExtras(changed(ours, {})), expectedExtras(machine(), tcgOptions));
  assert.doesNotMatch(changed(ours, {}).toString(), /sysinfo/);
  const more = made({ firmware: { type: 'bios', smbios } }, tcgOptions, (xml) =>
    xml
      .replace('<system>', "<system>\n      <entry name='family'>Theirs</entry>")
      .replace("<sysinfo type='smbios'>", "$&<bios><entry name='vendor'>V</entry></bios>"),
  );
  assert.deepEqual(more.drift, []);
  const left = readExtras(changed(more, { firmware: { type: 'bios', smbios: { sku: 'k' } } }));
  assert.deepEqual(left.smbios, ['bios vendor V', 'system family Theirs', 'system sku k']);
  const none = readExtras(changed(more, {}));
  assert.deepEqual(
    [none.smbios, none.mode],
    [['bios vendor V', 'system family Theirs'], 'sysinfo'],
  );
  const turned = made({}, tcgOptions, (xml) => xml.replace('</os>', "<smbios mode='host'/></os>"));
  const shown = changed(turned, { firmware: { type: 'bios', smbios } });
  assert.deepEqual(
    readExtras(shown),
    expectedExtras(machine({ firmware: { type: 'bios', smbios } }), tcgOptions),
  );
});

test('enlightenments and their clock come and go with KVM, and without it a domain is left as it is', () => {
  const hyperv = { enabled: true } as const;
  const plain = made({}, kvmOptions);
  const all = changed(plain, { hyperv }, kvmOptions);
  assert.deepEqual(readExtras(all), expectedExtras(machine({ hyperv }), kvmOptions));
  assert.equal(readExtras(all).enlightenments.length, 10);
  assert.match(all.toString(), /<spinlocks state='on' retries='8191'\/>/);
  const ours = made({ hyperv }, kvmOptions);
  assert.deepEqual(ours.drift, []);
  for (const without of [{}, { hyperv: { enabled: false } }]) {
    const after = changed(ours, without, kvmOptions);
    assert.deepEqual(readExtras(after), expectedExtras(machine(), kvmOptions));
    assert.doesNotMatch(after.toString(), /<hyperv/);
  }
  const tcg = made({ hyperv });
  assert.doesNotMatch(tcg.toString(), /<hyperv|hypervclock/);
  assert.deepEqual(tcg.drift, []);
  assert.equal(changed(made({}), { hyperv }).toString(), made({}).toString());
});

test('enlightenments that another maker has set stay until a manifest speaks of them, and those that none can name stay then', () => {
  const own =
    "<hyperv mode='passthrough'><relaxed state='off'/><ipi state='on'/><vendor_id state='on' value='x'/></hyperv>";
  const foreign = made({}, kvmOptions, (xml) => xml.replace('</features>', `${own}</features>`));
  assert.equal(changed(foreign, {}, kvmOptions).toString(), foreign.toString());
  const features = ['relaxed', 'vapic'] as const;
  const after = changed(
    foreign,
    { hyperv: { enabled: true, features: [...features] } },
    kvmOptions,
  );
  assert.deepEqual(readExtras(after).enlightenments, ['relaxed', 'vapic', 'vendor_id']);
  assert.match(after.toString(), /<hyperv mode='custom'>/);
  const off = changed(foreign, { hyperv: { enabled: false } }, kvmOptions);
  assert.deepEqual(readExtras(off).enlightenments, ['vendor_id']);
});

test('a domain without features gets enlightenments too', () => {
  const bare = made({}, kvmOptions, (xml) => xml.replace(/<features>[^]*<\/features>/, ''));
  const after = changed(bare, { hyperv: { enabled: true, features: ['relaxed'] } }, kvmOptions);
  assert.deepEqual(readExtras(after).enlightenments, ['relaxed']);
});

function pages(from: DomainDocument): readonly (string | undefined)[] {
  return [from.hugepages, /freePageReporting='(\w+)'/.exec(from.toString())?.[1]];
}

test('huge pages come and go, what else somebody has said of the memory stays, and no guest gives them back', () => {
  const ours = made({ memory: { hugepages: '2Mi' } });
  assert.deepEqual([pages(ours), ours.drift], [['2Mi', 'off'], []]);
  assert.deepEqual(pages(changed(ours, { memory: { hugepages: '1Gi' } })), ['1Gi', 'off']);
  assert.deepEqual(pages(changed(ours, {})), [undefined, 'on']);
  assert.deepEqual(pages(changed(made({}), { memory: { hugepages: '2Mi' } })), ['2Mi', 'off']);
  const backing = '<memoryBacking><hugepages/><nosharepages/></memoryBacking>';
  const foreign = made({}, tcgOptions, (xml) => xml.replace('<os>', `${backing}<os>`));
  assert.equal(changed(foreign, {}).toString(), foreign.toString());
  const larger = changed(foreign, { memory: { hugepages: '1Gi' } });
  assert.deepEqual(pages(larger), ['1Gi', 'off']);
  assert.match(larger.toString(), /<nosharepages\/>/);
});

test('a guest in huge pages has no odd size, which only whole pages could have', () => {
  const odd = { ...tcgOptions, oddRamSize: true };
  const huge = { memory: { hugepages: '2Mi' } } as const;
  assert.doesNotMatch(made(huge, odd).toString(), /memory-backend-ram/);
  const both = changed(made({}, odd), huge, odd);
  assert.doesNotMatch(both.toString(), /memory-backend-ram/);
  assert.match(
    changed(both.withDefinition(definition({}, huge)), {}, odd).toString(),
    /memory-backend-ram/,
  );
});

test('a TPM goes with the manifest that has had it, and one that none has named stays', () => {
  const tpm = { version: '2.0' } as const;
  const ours = made({ firmware: { type: 'bios', tpm } });
  assert.doesNotMatch(changed(ours, {}).toString(), /<tpm/);
  const node = "<tpm model='tpm-tis'><backend type='emulator' version='2.0'/></tpm>";
  const foreign = made({}, tcgOptions, withDevice(node));
  assert.deepEqual(foreign.drift, []);
  assert.equal(changed(foreign, {}).toString(), foreign.toString());
});

test('what the manifest has said of the clock and of free pages, and says no more, is as in a new VM', () => {
  const ours = made({ clock: { offset: 'localtime' }, memory: { freePageReporting: false } });
  const after = changed(ours, {}).withDefinition(definition());
  assert.equal(after.toString(), made({}).toString());
  const foreign = made({}, tcgOptions, (xml) =>
    xml
      .replace("freePageReporting='on'", "freePageReporting='off'")
      .replace("offset='utc'", "offset='localtime'"),
  );
  assert.notEqual(foreign.toString(), made({}).toString());
  assert.equal(changed(foreign, {}).toString(), foreign.toString());
  // Guests in huge pages report none, whoever has set those.
  const pages = '<memoryBacking><hugepages/></memoryBacking></domain>';
  const huge = made({ memory: { freePageReporting: false } }, tcgOptions, (xml) =>
    xml.replace('</domain>', pages),
  );
  assert.match(changed(huge, {}).toString(), /freePageReporting='off'/);
});
