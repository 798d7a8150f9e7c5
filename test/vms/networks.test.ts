import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { GUEST_BRIDGE } from '../../lab/node/guest-network.ts';
import type { LabNode } from '../../lab/node/lab-node.ts';
import { EXIT_CODES } from '../../src/cli/process/exit-codes.ts';
import { PATIENCE_MS } from '../e2e/moving-vm.ts';
import { TwoNodes } from '../e2e/two-nodes.ts';

const NAME = 'talker';
const NETWORKS = 'spec.template.spec.networks';

interface Seen {
  readonly metadata: { readonly uid: string };
  readonly status: {
    readonly interfaces?: readonly {
      readonly name: string;
      readonly mac: string;
      readonly bridge: string;
      readonly hostDevice?: string;
    }[];
    readonly pendingFields?: readonly string[];
  };
}

test('a VM on a bridge has an address, and keeps it where it moves', async (context) => {
  await using nodes = await TwoNodes.start(context.signal);
  const { a, b } = nodes;
  const story = (name: string, tell: (signal: AbortSignal) => Promise<void>): Promise<void> =>
    context.test(name, ({ signal }: TestContext) => tell(signal));
  const file = path.join(nodes.lab.plan.directory, 'talker.yaml');
  const apply = async (networks: string, ...options: readonly string[]) => {
    await writeFile(file, manifest(nodes, networks));
    return nodes.novactl(['vm', 'apply', '-f', file, ...options], context.signal);
  };
  const get = async (node: LabNode, signal: AbortSignal): Promise<Seen> => {
    const args = ['--node', node.name, 'vm', 'get', NAME, '-o', 'json'];
    const { code, stdout, stderr } = await nodes.novactl(args, signal);
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout) as Seen;
  };

  await story('a bridge that the node lacks is refused, with those that it has', async () => {
    for (const options of [[], ['--dry-run']]) {
      const { code, stderr } = await apply('[{name: lan, type: bridge, bridge: br7}]', ...options);
      assert.equal(code, EXIT_CODES.refused, stderr);
      assert.match(
        stderr,
        /networks\[0\]\.bridge is br7, and this node has no bridge of that name/,
      );
      assert.match(stderr, /name one that it has \(br0\)[^]*\(NETWORK_NOT_FOUND\)\nWhat to do: /);
    }
  });

  await story('an address of its own it must give its guest itself', async () => {
    const { code, stderr } = await apply(
      '[{name: lan, type: bridge, bridge: br0, ipv4: {method: static, address: 10.0.0.7/24}}]',
    );
    assert.equal(code, EXIT_CODES.refused, stderr);
    assert.match(
      stderr,
      /networks\[0\]\.ipv4\.method is not supported: .*cloudInit\.networkConfig/,
    );
  });

  let mac = '';
  let address = '';
  await story('its guest gets an address by DHCP', async (signal) => {
    const { code, stderr } = await apply(
      '[{name: lan, type: bridge, bridge: br0, ipv4: {method: dhcp}}]',
    );
    assert.equal(code, 0, stderr);
    const said = await waitUntil(
      'The address of the guest',
      PATIENCE_MS,
      async () => {
        const { stdout } = await nodes.novactl(['vm', 'log', NAME], signal);
        return /novacron-demo network mac=(\S+) address=(\S+)\s/.exec(stdout) ?? undefined;
      },
      signal,
    );
    const [only, ...others] = (await get(a, signal)).status.interfaces ?? [];
    assert.deepEqual(others, []);
    [mac = '', address = ''] = said.slice(1);
    assert.deepEqual(
      { ...only, hostDevice: undefined },
      { name: 'lan', mac, bridge: 'br0', model: 'virtio', hostDevice: undefined },
    );
    assert.match(only?.hostDevice ?? '', /^vnet\d+$/);
    await expectReached(a, { mac, address }, signal);
    await expectReached(b, { mac, address }, signal);
    const { stdout } = await nodes.novactl(['vm', 'list', '-o', 'wide'], signal);
    assert.match(stdout, new RegExp(`lan=${GUEST_BRIDGE}`));
    const described = await nodes.novactl(['vm', 'get', NAME], signal);
    assert.match(described.stdout, new RegExp(`lan +${mac} +br0 +virtio +vnet\\d+`));
  });

  await story('a node without the bridge is no destination, and says so', async (signal) => {
    await b.run(['ip', 'link', 'set', GUEST_BRIDGE, 'down'], signal);
    await rename(b, GUEST_BRIDGE, 'br9', signal);
    const { code, stdout, stderr } = await nodes.novactl(
      ['migrate', NAME, '--to', 'b', '--plan'],
      signal,
    );
    await rename(b, 'br9', GUEST_BRIDGE, signal);
    await b.run(['ip', 'link', 'set', GUEST_BRIDGE, 'up'], signal);
    assert.notEqual(code, 0, stdout);
    assert.match(stdout + stderr, /NETWORK_NOT_FOUND/);
    assert.match(stdout + stderr, /is br0, and this node has no bridge of that name.*br9/);
  });

  await story('it moves with its address and its connection to the others', async (signal) => {
    const moved = await nodes.novactl(['migrate', NAME, '--to', 'b'], signal);
    assert.equal(moved.code, 0, moved.stderr);
    const [there] = (await get(b, signal)).status.interfaces ?? [];
    assert.equal(there?.mac, mac);
    await expectReached(b, { mac, address }, signal);
    await expectReached(a, { mac, address }, signal);
    assert.deepEqual(
      (await bridgePorts(a, signal)).filter((name) => name.startsWith('vnet')),
      [],
    );
    await nodes.expectNothingLeft(signal);
  });

  await story('what its guest and others do to the link is no drift', async (signal) => {
    const { uid } = (await get(b, signal)).metadata;
    for (const where of [[], ['--config']]) {
      await b.libvirt.virsh(['domif-setlink', uid, mac, 'down', ...where], signal);
    }
    const { stdout } = await nodes.novactl(['--node', 'b', 'vm', 'get', NAME], signal);
    assert.doesNotMatch(stdout, /Drifted +True/);
    assert.match(
      await b.libvirt.virsh(['dumpxml', '--inactive', uid], signal),
      /<link state='down'\/>/,
    );
    await b.libvirt.virsh(['domif-setlink', uid, mac, 'up'], signal);
    await expectReached(a, { mac, address }, signal);
  });

  await story(
    'an interface that somebody takes away is put back, for the next start',
    async (signal) => {
      const { uid } = (await get(b, signal)).metadata;
      const inactive = () => b.libvirt.virsh(['dumpxml', '--inactive', uid], signal);
      await b.libvirt.virsh(['detach-interface', uid, 'bridge', '--mac', mac, '--config'], signal);
      await waitUntil(
        'The interface in the definition',
        PATIENCE_MS,
        async () => {
          // libvirt tells nobody of this change: whoever gets the VM finds it.
          await get(b, signal);
          return (await inactive()).includes(`<mac address='${mac}'/>`);
        },
        signal,
      );
      await expectReached(a, { mac, address }, signal);
    },
  );

  await story('another bridge is its while it runs, and its address stays', async (signal) => {
    await b.run(['ip', 'link', 'add', 'br1', 'type', 'bridge'], signal);
    await writeFile(file, manifest(nodes, '[{name: lan, type: bridge, bridge: br1}]'));
    const changed = await nodes.novactl(['--node', 'b', 'vm', 'apply', '-f', file], signal);
    assert.equal(changed.code, 0, changed.stderr);
    assert.match(changed.stdout, /networks\[0\]\.bridge: br0 -> br1 \(while it runs\)/);
    const now = await get(b, signal);
    assert.equal(now.status.interfaces?.[0]?.bridge, 'br1');
    assert.deepEqual(
      now.status.pendingFields?.filter((field) => field.startsWith(NETWORKS)) ?? [],
      [],
    );
    const xml = await b.libvirt.virsh(['dumpxml', '--inactive', now.metadata.uid], signal);
    assert.match(xml, /<source bridge='br1'\/>/);
    assert.match(xml, new RegExp(`<mac address='${mac}'/>`));
  });

  await story('it is not started where its bridge has gone', async (signal) => {
    const destroyed = await nodes.novactl(['--node', 'b', 'vm', 'destroy', NAME], signal);
    assert.equal(destroyed.code, 0, destroyed.stderr);
    await b.run(['ip', 'link', 'del', 'br1'], signal);
    for (const options of [['--dry-run'], []]) {
      const start = ['--node', 'b', 'vm', 'start', NAME, ...options];
      const { code, stderr } = await nodes.novactl(start, signal);
      assert.equal(code, EXIT_CODES.refused, stderr);
      assert.match(stderr, /Cannot start VM .*is br1, and .*\(br0\).*\(NETWORK_NOT_FOUND\)/);
    }
  });
});

function manifest(nodes: TwoNodes, networks: string): string {
  const { kernelPath, initrdPath, commandLine } = nodes.guest;
  return `apiVersion: novacron.io/v1alpha1
kind: VirtualMachine
metadata:
  name: ${NAME}
spec:
  runStrategy: Once
  template:
    spec:
      resources: {cpu: 1, memory: 128Mi}
      kernel:
        path: ${kernelPath}
        initrd: ${initrdPath}
        commandLine: ${commandLine} demo.mode=idle demo.region=4M demo.fill=4M demo.verify=100 demo.network=dhcp
      networks: ${networks}
`;
}

/** The guest answers a connection that nobody in it takes, from the address that is its own. */
async function expectReached(
  from: LabNode,
  { mac, address }: { readonly mac: string; readonly address: string },
  signal: AbortSignal,
): Promise<void> {
  await from.run(['ip', 'neigh', 'flush', 'dev', GUEST_BRIDGE], signal);
  const { stderr } = await from.tryRun(['bash', '-c', `echo > /dev/tcp/${address}/9`], signal);
  assert.match(stderr, /Connection refused/, `from node ${from.name}`);
  const neighbour = await from.run(['ip', 'neigh', 'show', address, 'dev', GUEST_BRIDGE], signal);
  assert.match(neighbour, new RegExp(`lladdr ${mac} `));
}

async function bridgePorts(node: LabNode, signal: AbortSignal): Promise<readonly string[]> {
  const ports = await node.run(['ls', `/sys/class/net/${GUEST_BRIDGE}/brif`], signal);
  return ports.trim().split('\n');
}

async function rename(node: LabNode, from: string, to: string, signal: AbortSignal): Promise<void> {
  await node.run(['ip', 'link', 'set', from, 'name', to], signal);
}
