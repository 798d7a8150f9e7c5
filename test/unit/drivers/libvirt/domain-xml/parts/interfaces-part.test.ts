import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { macOf } from '../../../../../../src/core/resources/mac-address.ts';
import type { Network } from '../../../../../../src/core/resources/network.ts';
import { buildDomainXml } from '../../../../../../src/drivers/libvirt/domain-xml/build-domain-xml.ts';
import { DomainDocument } from '../../../../../../src/drivers/libvirt/domain-xml/domain-document.ts';
import { effectOf } from '../../../../../../src/drivers/libvirt/domain-xml/domain-parts.ts';
import { definition, tcgOptions } from '../../../../../fixtures/domain-xml/definitions.ts';

const LAN: Network = { name: 'lan', type: 'bridge', bridge: 'br0' };
const WAN: Network = {
  name: 'br1',
  type: 'bridge',
  mac: '52:54:00:ab:cd:ef',
  model: 'virtio',
  queues: 4,
};
const { uid } = definition();
const MAC = macOf(uid, LAN);

function build(...networks: readonly Network[]): DomainDocument {
  return DomainDocument.parse(
    buildDomainXml(definition({}, { networks: [...networks] }), tcgOptions),
  );
}

function changed(document: DomainDocument, ...networks: readonly Network[]): DomainDocument {
  const { spec } = definition({}, { networks: [...networks] });
  return document.withMachine(spec.template.spec, tcgOptions);
}

/** The same domain after somebody has edited it by hand. */
function edited(document: DomainDocument, from: string | RegExp, to: string): DomainDocument {
  const text = document.toString();
  const next = text.replace(from, to);
  assert.notEqual(next, text);
  return DomainDocument.parse(next);
}

const off = { model: 'virtio', hostDevice: undefined };

test('a network becomes an interface on its bridge, found again by its name', () => {
  const document = build(LAN, WAN);
  assert.deepEqual(document.interfaces, [
    { name: 'lan', mac: MAC, bridge: 'br0', ...off },
    { name: 'br1', mac: '52:54:00:ab:cd:ef', bridge: 'br1', ...off },
  ]);
  assert.match(document.toString(), /<driver queues='4'\/>/);
  assert.deepEqual(document.drift, []);
});

test('the address follows from the uid and the name, so it outlives changes of all else', () => {
  const before = build(LAN);
  const after = changed(before, { ...LAN, bridge: 'br9', model: 'e1000e' });
  assert.deepEqual(after.interfaces, [
    { name: 'lan', mac: MAC, bridge: 'br9', model: 'e1000e', hostDevice: undefined },
  ]);
  assert.equal(changed(after, LAN).interfaces[0]?.mac, MAC);
  assert.deepEqual(changed(changed(before), LAN).interfaces, before.interfaces);
});

test('what is given, taken and changed is said by the elements, and nothing else is touched', () => {
  const both = build(LAN, WAN);
  assert.equal(changed(both, LAN, WAN).toString(), both.toString());
  assert.deepEqual(
    changed(both, WAN).interfaces.map(({ name }) => name),
    ['br1'],
  );
  const { queues: _queues, mac: _mac, ...plain } = WAN;
  const simpler = changed(both, LAN, plain);
  assert.doesNotMatch(simpler.toString(), /<driver queues=|<mac address='52:54/);
  assert.match(changed(simpler, LAN, { ...plain, queues: 2 }).toString(), /<driver queues='2'\/>/);
  assert.deepEqual(changed(changed(both), LAN, WAN).interfaces, both.interfaces);
});

test('what libvirt and others add to an interface is no drift, be it that its link is down', () => {
  const document = edited(
    build(LAN),
    /<source bridge='br0'\/>/,
    "<source bridge='br0'/><target dev='vnet3'/><link state='down'/><mtu size='9000'/><driver name='qemu'/>",
  );
  assert.deepEqual(document.drift, []);
  assert.equal(changed(document, LAN).toString(), document.toString());
  assert.equal(document.interfaces[0]?.hostDevice, 'vnet3');
});

for (const [what, from, to] of [
  ['another address', MAC, '52:54:00:00:00:01'],
  ['another bridge', "bridge='br0'", "bridge='br9'"],
  [
    'another model',
    "type='virtio'/>\n      <alias name='ua-net",
    "type='rtl8139'/>\n      <alias name='ua-net",
  ],
  ['queues', "<alias name='ua-net-lan'", "<driver queues='8'/><alias name='ua-net-lan'"],
  [
    'a port of Open vSwitch',
    "<source bridge='br0'/>",
    "<source bridge='br0'/><virtualport type='openvswitch'/>",
  ],
  [
    'a network of libvirt',
    /<interface type='bridge'>([^]*)<source bridge='br0'/,
    "<interface type='network'>$1<source network='default'",
  ],
  ['nothing', /<interface[^]*<\/interface>/, ''],
  ['a second of the same name', /(<interface[^]*<\/interface>)/, '$1$1'],
] as const) {
  test(`${what} in its place is drift, which is put back`, () => {
    const document = edited(build(LAN), from, to);
    assert.deepEqual(document.drift, ['networks']);
    const back = changed(document, LAN);
    assert.deepEqual(back.drift, []);
    assert.deepEqual(back.interfaces, build(LAN).interfaces);
  });
}

test('interfaces of other makers stay as they are, and are told', () => {
  const file = '../../../../../fixtures/domain-xml/libvirt/kitchen-sink.xml';
  const sink = DomainDocument.parse(readFileSync(new URL(file, import.meta.url), 'utf8'));
  const others = sink.interfaces;
  assert.ok(others.length >= 3);
  const { name, bridge } = others.find(({ mac }) => mac === '52:54:00:aa:bb:03') ?? {};
  assert.deepEqual([name, bridge], ['eth0', undefined]);
  const given = changed(sink, LAN);
  assert.deepEqual(
    given.interfaces.map(({ mac }) => mac),
    [...others.map(({ mac }) => mac), macOf(sink.uuid, LAN)],
  );
  assert.deepEqual(changed(given).interfaces, others);
});

test('an interface that comes or goes, its bridge and its link are changed while the guest runs', () => {
  const field = 'spec.template.spec.networks';
  for (const one of [field, `${field}[0]`, `${field}[0].mac`, `${field}[0].model`]) {
    assert.equal(effectOf(one), 'next-start', one);
  }
  const network = { name: 'lan', type: 'bridge' };
  assert.equal(effectOf(`${field}[0]`, { before: undefined, after: network }), 'live');
  assert.equal(effectOf(`${field}[0]`, { before: network, after: undefined }), 'live');
  assert.equal(effectOf(`${field}[1].bridge`), 'live');
  assert.equal(effectOf(`${field}[0].link`), 'live');
  assert.equal(effectOf(`${field}[0].ipv4.method`), 'now');
  assert.equal(effectOf(`${field}[0].ipv4`), 'now');
});

function ports(document: DomainDocument): number {
  return document.toString().match(/pcie-root-port/g)?.length ?? 0;
}

test('each interface has a place of its own on the bus, beside those that are spare', () => {
  assert.equal(ports(build(LAN, WAN)), ports(build()) + 2);
});
