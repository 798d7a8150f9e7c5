import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { test } from 'node:test';
import { parse } from 'yaml';
import { configWarnings, parseConfig } from '../../../src/core/agent-config.ts';
import { AgentError } from '../../../src/core/errors.ts';

const MINIMAL = `
nodeName: a
advertise: 10.0.0.1:7443
tls: {certificate: /etc/novacron/tls.crt, key: /etc/novacron/tls.key, ca: /etc/novacron/ca.crt}
`;

function refusal(text: string): string {
  try {
    parseConfig(text, 'agent.yaml');
  } catch (error) {
    assert.ok(error instanceof AgentError);
    assert.equal(error.reason, 'INVALID_CONFIG');
    return error.message;
  }
  return assert.fail('it was accepted');
}

test('what is left out takes its default', () => {
  const config = parseConfig(MINIMAL, 'agent.yaml');
  assert.equal(config.socket, '/run/novacron/agent.sock');
  assert.equal(config.migration.lanes, 2);
  assert.equal(config.hypervisor.accelerator, 'auto');
});

test('hooks are off by default, and never run as root', () => {
  const { lifecycle } = parseConfig(MINIMAL, 'agent.yaml');
  const defaults = { hooks: false, hookFolder: '/etc/novacron/hooks', hookUser: 'nobody' };
  assert.deepEqual(lifecycle, defaults);
  for (const hookUser of ['root', '"0"', '-x']) {
    const said = refusal(`${MINIMAL}\nlifecycle: {hookUser: ${hookUser}}`);
    assert.match(
      said,
      /lifecycle\.hookUser: must be the name of a user without privileges/,
      hookUser,
    );
  }
  assert.match(refusal(`${MINIMAL}\nlifecycle: {hookFolder: hooks}`), /must be an absolute path/);
});

const networks = (text: string) => `${MINIMAL}\nimages: {forbiddenNetworks: [${text}]}`;

test('networks that no image may come from are such, before anything is made', () => {
  const { images } = parseConfig(networks('10.0.0.0/8, "fd00::/8"'), 'agent.yaml');
  assert.deepEqual(images.forbiddenNetworks, ['10.0.0.0/8', 'fd00::/8']);
  for (const wrong of ['10.0.0.1', '10.0.0.0/33', 'localhost', '"fd00::/129"']) {
    assert.match(
      refusal(networks(wrong)),
      /images\.forbiddenNetworks\.0: must be a network such as 169\.254\.0\.0\/16/,
      wrong,
    );
  }
});

test('registries without TLS and another S3 are named in the settings, and none unless they are', () => {
  const none = parseConfig(MINIMAL, 'agent.yaml').images;
  assert.deepEqual([none.insecureRegistries, none.s3], [[], { region: 'us-east-1' }]);
  const given =
    'images: {insecureRegistries: ["registry.example:5000"], s3: {endpoint: "https://s3.example:9000", region: eu-central-1}}';
  const { insecureRegistries, s3 } = parseConfig(`${MINIMAL}\n${given}`, 'agent.yaml').images;
  assert.deepEqual(insecureRegistries, ['registry.example:5000']);
  assert.deepEqual(s3, { endpoint: 'https://s3.example:9000', region: 'eu-central-1' });
  for (const [wrong, message] of [
    ['insecureRegistries: ["http://registry.example"]', /must be HOST or HOST:PORT/],
    [
      's3: {endpoint: "https://key:secret@s3.example"}',
      /must be http\(s\):\/\/HOST, without a user/,
    ],
    ['s3: {region: "eu central"}', /must be a region such as eu-central-1/],
  ] as const) {
    assert.match(refusal(`${MINIMAL}\nimages: {${wrong}}`), message);
  }
});

test('an unknown key is refused with its path and the nearest known key', () => {
  assert.match(
    refusal(`${MINIMAL}\nmigration: {lane: 3}`),
    /migration\.lane: unknown key; did you mean migration\.lanes\?/,
  );
  assert.match(
    refusal(`${MINIMAL}\nloglevel: info`),
    /loglevel: unknown key; did you mean logLevel\?/,
  );
  assert.match(refusal(`${MINIMAL}\nfrobnicate: 1`), /frobnicate: unknown key$/);
});

test('a missing or wrong value is refused with its path', () => {
  assert.match(refusal('advertise: localhost'), /advertise: .*HOST:PORT/);
  assert.match(refusal(`${MINIMAL}\nlisten: localhost`), /listen: .*HOST:PORT/);
  assert.match(refusal(`${MINIMAL}\nmigration: {lanes: 99}`), /migration\.lanes: /);
  assert.match(refusal(`${MINIMAL}\nsocket: run/agent.sock`), /socket: must be an absolute path/);
});

for (const [uri, why] of [
  ['qemu:///session', /libvirt of one user only/],
  ['qemu+ssh://other/system', /of another host/],
  ['qemu://other/system', /of another host/],
  ['test:///default', /not that of QEMU/],
  ['lxc:///', /not that of QEMU/],
  ['nonsense', /no URI of libvirt/],
] as const) {
  test(`the libvirt of ${uri} is not taken for that of this host, and the way on is named`, () => {
    const said = refusal(`${MINIMAL}\nhypervisor: {uri: "${uri}"}`);
    assert.match(said, /hypervisor\.uri: /);
    assert.match(said, why);
    assert.match(said, /leave it out, or name the socket of this host's/);
  });
}

test('a path that is too long for a socket is refused before anything is made', () => {
  const folder = `/${'x'.repeat(100)}`;
  assert.match(
    refusal(`${MINIMAL}\nsocket: ${folder}/agent.sock`),
    /^agent\.yaml: socket: .* shorten it by 5$/,
  );
  assert.match(refusal(`${MINIMAL}\nrunDirectory: ${folder}`), /runDirectory: .*shorten it by/);
});

test('what is wrong with a value is said in the words of whoever writes it', () => {
  assert.match(refusal('migration: {lanes: }'), /migration\.lanes: is missing$/);
  assert.match(
    refusal(`${MINIMAL}\nhypervisor: {accelerator: fpga}`),
    /hypervisor\.accelerator: must be auto, kvm or tcg$/,
  );
  assert.match(refusal(`${MINIMAL}\nmigration: {lanes: two}`), /lanes: must be a number$/);
  assert.match(refusal(`${MINIMAL}\nimages: {folders: /x}`), /images\.folders: must be a list$/);
});

test('a node that says nothing of others has the name of its host, and is alone', () => {
  const config = parseConfig('', 'agent.yaml');
  assert.equal(config.nodeName, hostname().toLowerCase());
  assert.deepEqual([config.advertise, config.listen], [undefined, undefined]);
});

test('a node that others shall reach has its certificate in the usual place', () => {
  const { tls, listen } = parseConfig('advertise: 10.0.0.1:7443', 'agent.yaml');
  assert.equal(listen, '0.0.0.0:7443');
  assert.deepEqual(tls, {
    certificate: '/etc/novacron/pki/tls.crt',
    key: '/etc/novacron/pki/tls.key',
    ca: '/etc/novacron/pki/ca.crt',
  });
});

for (const key of ['listen: 10.0.0.1:7443', 'tls: {ca: /ca}', 'peers: {b: 10.0.0.2:7443}']) {
  test(`"${key}" without the address for others is no node that is alone, but a mistake`, () => {
    const name = key.split(':')[0];
    const expected = new RegExp(`^agent\\.yaml: advertise: missing, and without it ${name} would`);
    assert.match(refusal(key), expected);
  });
}

test('the configuration that comes with the package runs as it is', () => {
  const text = readFileSync('deploy/agent.yaml', 'utf8');
  assert.deepEqual(parseConfig(text, 'agent.yaml'), parseConfig('', 'agent.yaml'));
});

test('what the configuration of the package shows in comments is right, too', () => {
  const text = readFileSync('deploy/agent.yaml', 'utf8');
  const shown = text.replaceAll(/^# ((?: {2})?[\w-]+:.*)$/gm, '$1');
  assert.equal(parseConfig(shown, 'agent.yaml').peers['node-2'], '10.0.0.2:7443');
});

test('ports of transfers must be a range', () => {
  assert.match(refusal(`${MINIMAL}\nmigration: {portMin: 50000, portMax: 49999}`), /portMax/);
});

test('a node may be named by digits, quoted or not', () => {
  for (const name of ['1001', '"1001"', '007', '1e3']) {
    const text = MINIMAL.replace(
      'nodeName: a',
      `nodeName: ${name}\npeers: {${name}: 10.0.0.2:7443}`,
    );
    const { nodeName, peers } = parseConfig(text, 'agent.yaml');
    assert.equal(nodeName, name.replaceAll('"', ''));
    assert.deepEqual(Object.keys(peers), [nodeName]);
  }
});

test('what is no YAML is refused in words', () => {
  assert.match(refusal('{'), /agent\.yaml is no YAML/);
});

/** The minimal configuration with these keys in the place of its own. */
function withKeys(keys: Readonly<Record<string, unknown>>): string {
  return JSON.stringify({ ...(parse(MINIMAL) as object), ...keys });
}

for (const [key, value, why] of [
  ['advertise', '0.0.0.0:7443', /is a wildcard address/],
  ['advertise', '[::]:7443', /is a wildcard address/],
  ['advertise', '[0:0::0]:7443', /is a wildcard address/],
  ['advertise', '10.0.0.1:0', /has port 0/],
  ['advertise', '10.0.0.1:70000', /port above 65535/],
  ['advertise', '224.0.0.1:7443', /is a multicast address/],
  ['advertise', '[ff02::1]:7443', /is a multicast address/],
  ['advertise', '255.255.255.255:7443', /is a broadcast address/],
  ['advertise', '127.0.0.1:7443', /is a loopback address/],
  ['advertise', '[fe80::1%eth0]:7443', /has a zone \(%eth0\)/],
  ['advertise', '[fe80::1]:7443', /is a link-local address/],
  ['advertise', 'fd00::2:7443', /without brackets; write \[fd00::2\]:7443/],
  ['advertise', 'fd00::2', /write \[fd00::2\]:7443|HOST:PORT/],
  ['advertise', 'node-a.example:7443', /must have an IP address, not a name/],
  ['advertise', '10.0.0.300:7443', /must be HOST:PORT/],
  ['advertise', '[10.0.0.1]:7443', /brackets, which are for IPv6; write 10\.0\.0\.1:7443/],
  ['listen', '224.0.0.1:7443', /is a multicast address/],
  ['listen', '255.255.255.255:7443', /is a broadcast address/],
  ['listen', '[fe80::1%eth0]:7443', /has a zone/],
  ['listen', '127.0.0.1:7443', /nobody reaches this node at 10\.0\.0\.1:7443/],
  ['listen', ['::'], /must be in quotes/],
  ['httpListen', '[ff02::1]:7480', /is a multicast address/],
] as const) {
  test(`${key}: ${String(value)} is refused by its key`, () => {
    const message = refusal(withKeys({ [key]: value }));
    assert.ok(message.startsWith(`agent.yaml: ${key}: `), message);
    assert.match(message, why);
  });
}

for (const [address, why] of [
  ['0.0.0.0:7443', /is a wildcard address/],
  ['fd00::2:7443', /write \[fd00::2\]:7443/],
  ['[fe80::1%eth0]:7443', /has a zone/],
  ['10.0.0.2:0', /has port 0/],
  ['unix:/run/x:1', /must be HOST:PORT/],
] as const) {
  test(`a peer at ${address} is refused by its name`, () => {
    const message = refusal(withKeys({ peers: { a: '10.0.0.1:7443', b: address } }));
    assert.ok(message.startsWith('agent.yaml: peers.b: '), message);
    assert.match(message, why);
  });
}

test('a node of IPv6 listens at IPv6 by default, and may not listen at IPv4 only', () => {
  const config = parseConfig(withKeys({ advertise: '[fd00::1]:7443' }), 'agent.yaml');
  assert.equal(config.listen, '[::]:7443');
  assert.deepEqual(configWarnings(config), []);
  const ipv4Only = withKeys({ advertise: '[fd00::1]:7443', listen: '0.0.0.0:7443' });
  assert.match(refusal(ipv4Only), /listen: .*listen at "\[::\]:7443"/);
});

test('an address in brackets that is not in quotes is told to be put in them', () => {
  assert.match(
    refusal(`${MINIMAL}listen: [::]:7443\n`),
    /is no YAML: .*must be in quotes: listen: "\[::\]:7443"$/,
  );
  assert.match(
    refusal(`${MINIMAL}peers: {b: [fd00::2]:7443}\n`),
    /must be in quotes: b: "\[fd00::2\]:7443"$/,
  );
});

for (const [what, keys, warning] of [
  ['an address at which it does not listen', { listen: '10.0.0.2:7443' }, /^advertise: /],
  ['another port than it listens at', { listen: '0.0.0.0:7444' }, /^advertise: .*another port/],
  ['a peer on itself', { peers: { b: '127.0.0.1:7443' } }, /^peers\.b: .*this node itself/],
] as const) {
  test(`${what} is taken with a warning`, () => {
    const warnings = configWarnings(parseConfig(withKeys(keys), 'agent.yaml'));
    assert.equal(warnings.length, 1, warnings.join());
    assert.match(warnings[0] ?? '', warning);
  });
}

for (const keys of [
  { listen: '127.0.0.1:7443', advertise: '127.0.0.1:7443' },
  { listen: '[fd00:0::1]:7443', advertise: '[fd00::1]:7443' },
  { listen: '[::]:7443' },
  { peers: { b: 'node-b.example:7443', c: '[fd00::3]:7443' } },
]) {
  test(`${JSON.stringify(keys)} is taken without a warning`, () => {
    assert.deepEqual(configWarnings(parseConfig(withKeys(keys), 'agent.yaml')), []);
  });
}

test('the configuration cannot be changed afterwards', () => {
  assert.equal(Object.isFrozen(parseConfig(MINIMAL, 'agent.yaml')), true);
});
