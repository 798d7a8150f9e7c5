import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { Client } from '@grpc/grpc-js';
import { inProject } from '../../lab/core/project.ts';
import { tryRun } from '../../lab/core/run-command.ts';
import { waitUntil } from '../../lab/core/wait-until.ts';
import type { LabNode } from '../../lab/node/lab-node.ts';
import { VirtualMachinePhase } from '../../src/client/api.ts';
import { required } from '../../src/client/required.ts';
import { channelSettings } from '../../src/client/target.ts';
import { watchVirtualMachines } from '../../src/client/watches.ts';
import {
  type HealthCheckResponse,
  HealthService,
  HealthCheckResponse_ServingStatus as Serving,
} from '../../src/gen/grpc/health/v1/health.ts';
import { signalProcess } from '../fixtures/process-signals.ts';
import { PATIENCE_MS } from './moving-vm.ts';
import { storyteller } from './stories.ts';
import { agentPid, TwoNodes } from './two-nodes.ts';

const SERVICES = [
  'novacron.agent.v1.VirtualMachineService',
  'novacron.agent.v1.ConsoleService',
  'novacron.agent.v1.MigrationService',
  'novacron.agent.v1.NodeService',
  'novacron.agent.v1.OperationService',
  'novacron.agent.v1.EventService',
  'novacron.agent.v1.ImageService',
  'novacron.peer.v1.PeerService',
];

test('an agent behaves well towards those who run it', async (context) => {
  await using nodes = await TwoNodes.start(context.signal);
  const { a, b, lab } = nodes;
  const vm = await nodes.bootVm(a, context.signal);
  const story = storyteller(context, nodes, vm);

  await story('a wrong setting is named, with the one that was meant', async ({ signal }) => {
    const config = await readFile(a.agent.configPath, 'utf8');
    const wrong = `${a.plan.directory}/wrong.yaml`;
    await writeFile(wrong, config.replace('streamer:', 'streemer:'));
    const { code, stderr } = await runAgent(a, wrong, signal);
    assert.equal(code, 2);
    assert.match(
      stderr,
      /wrong\.yaml: migration\.streemer: unknown key; did you mean migration\.streamer\?/,
    );
  });

  await story('probes and metrics tell how it is', async ({ signal }) => {
    for (const page of ['/healthz', '/readyz']) {
      assert.deepEqual(await a.agent.httpGet(page, signal), { status: 200, body: 'ok\n' });
    }
    const { status, body } = await a.agent.httpGet('/metrics', signal);
    assert.equal(status, 200);
    const lint = await tryRun(['promtool', 'check', 'metrics'], { input: body }, signal);
    assert.deepEqual({ code: lint.code, said: lint.stdout + lint.stderr }, { code: 0, said: '' });
    assert.match(body, new RegExp(vm.name), 'the VM is missing in the metrics');
  });

  await story(
    'a second agent on the same state directory is refused',
    async ({ signal, epoch, seen }) => {
      const { code, stdout, stderr } = await runAgent(a, a.agent.configPath, signal);
      assert.equal(code, 1);
      assert.match(stdout + stderr, /Another agent uses this state directory/);
      // The first one has not noticed.
      assert.equal((await a.agent.httpGet('/readyz', signal)).status, 200);
      await vm.expectOnlyAt(a, epoch, signal);
      await seen.expectStayed(a, signal);
    },
  );

  await story(
    'asked to end it does so at once, and the VM runs on',
    async ({ signal, seen, epoch }) => {
      const startedAtMs = performance.now();
      await a.agent.stop(signal);
      context.diagnostic(`end after SIGTERM: ${Math.round(performance.now() - startedAtMs)} ms`);
      assert.match(a.readLog('agent'), /Agent stopping/);
      assert.doesNotMatch(a.readLog('agent'), /Could not end in good order/);
      await seen.expectStayed(a, signal);
      const launchedAtMs = performance.now();
      await nodes.relaunch(a, signal);
      context.diagnostic(`start to ready: ${Math.round(performance.now() - launchedAtMs)} ms`);
      await vm.expectOnlyAt(a, epoch, signal);
    },
  );

  await story('its exit code after SIGTERM is 0', async ({ signal }) => {
    await b.agent.stop(signal);
    const running = runAgent(b, b.agent.configPath, signal);
    await waitUntil('Its process', PATIENCE_MS, () => b.agent.find() !== undefined, signal);
    await b.agent.waitReady(signal);
    signalProcess(agentPid(b), 'SIGTERM');
    const { code, stderr } = await running;
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
  });

  await story(
    'the socket of one that was killed is no obstacle',
    async ({ signal, seen, epoch }) => {
      await a.agent.kill(signal);
      await nodes.relaunch(a, signal);
      await vm.expectOnlyAt(a, epoch, signal);
      await seen.expectStayed(a, signal);
    },
  );

  await story(
    'without libvirtd VMs are unknown, and known again by themselves',
    async ({ signal, seen, epoch }) => {
      const client = nodes.client('a');
      const phases = new Set<VirtualMachinePhase>();
      using stack = new DisposableStack();
      const watching = stack.adopt(new AbortController(), (watch) => watch.abort());
      const watched = (async () => {
        for await (const event of watchVirtualMachines(client, { signal: watching.signal })) {
          if (event.type !== 'synced') phases.add(required(event.object.status, 'status').phase);
        }
      })().catch((error: unknown) => {
        if (!watching.signal.aborted) throw error;
      });
      await nodes.killLibvirtd(a, signal);
      const phase = async () => {
        const { virtualMachines } = await client.vms.list({}, { signal });
        assert.equal(virtualMachines.length, 1, 'the VM is missing');
        return virtualMachines[0]?.status?.phase;
      };
      await waitUntil(
        'Unknown',
        PATIENCE_MS,
        async () => (await phase()) === VirtualMachinePhase.VIRTUAL_MACHINE_PHASE_UNKNOWN,
        signal,
      );
      const { status, body } = await a.agent.httpGet('/readyz', signal);
      assert.equal(status, 503);
      assert.match(body, /hypervisor/);
      assert.deepEqual(await health(nodes, signal), { status: Serving.NOT_SERVING });
      assert.equal((await a.agent.httpGet('/healthz', signal)).status, 200);
      await assert.rejects(client.vms.shutdown({ name: vm.name }, { signal }), {
        reason: 'HYPERVISOR_UNREACHABLE',
      });
      const unreachable = await nodes.novactl(['--node', 'a', 'vm', 'list'], signal);
      assert.match(unreachable.stdout, new RegExp(`${vm.name}.*Unknown`));

      await a.libvirt.startLibvirtd(signal);
      await waitUntil(
        'Running',
        PATIENCE_MS,
        async () => (await phase()) === VirtualMachinePhase.VIRTUAL_MACHINE_PHASE_RUNNING,
        signal,
      );
      await a.agent.waitReady(signal);
      assert.deepEqual(await health(nodes, signal), { status: Serving.SERVING });
      await seen.expectStayed(a, signal);
      await vm.expectOnlyAt(a, epoch, signal);
      watching.abort();
      await watched;
      assert.deepEqual(
        [...phases].toSorted((x, y) => x - y),
        [
          VirtualMachinePhase.VIRTUAL_MACHINE_PHASE_RUNNING,
          VirtualMachinePhase.VIRTUAL_MACHINE_PHASE_UNKNOWN,
        ],
      );
    },
  );

  await story('novactl doctor finds nothing amiss on a node that works', async ({ signal }) => {
    const args = ['doctor', '--agent-config', a.agent.configPath, '-o', 'json'];
    const { stdout, stderr } = await nodes.novactl(args, signal);
    assert.equal(stderr, '');
    const { checks } = JSON.parse(stdout) as {
      checks: { level: string; name: string; message: string }[];
    };
    assert.ok(checks.length > 5);
    // A lab has no systemd, no cgroups and no KVM; what it has must be found well.
    assert.deepEqual(
      checks.filter(({ level }) => level === 'failure'),
      [],
    );
  });

  await story('health tells of all services', async ({ signal }) => {
    for (const service of ['', ...SERVICES]) {
      assert.deepEqual(await health(nodes, signal, service), { status: Serving.SERVING });
    }
  });

  await story('roles may do what they may, and no more', async ({ signal }) => {
    const viewer = (...args: string[]) => nodes.novactl(['--node', 'a-viewer', ...args], signal);
    const list = await viewer('vm', 'list', '-o', 'name');
    assert.equal(list.code, 0, list.stderr);
    assert.match(list.stdout, new RegExp(vm.name));
    const start = await viewer('vm', 'start', vm.name);
    assert.equal(start.code, 6);
    assert.match(start.stderr, /role viewer/);
    const operator = await nodes.novactl(['--node', 'a-operator', 'vm', 'start', vm.name], signal);
    assert.equal(operator.code, 0, operator.stderr);

    const tls = await (await lab.certificates(signal)).node(b.plan, signal);
    const contexts = `${a.plan.directory}/peer-context.yaml`;
    const peer = { address: a.agent.advertise, nodeName: 'a', tls };
    await writeFile(contexts, JSON.stringify({ contexts: { peer }, current: 'peer' }));
    const peers = await nodes.novactl(['--config', contexts, 'vm', 'list'], signal);
    assert.equal(peers.code, 6);
    assert.match(peers.stderr, /role peer/);
  });
});

async function runAgent(node: LabNode, config: string, signal: AbortSignal) {
  const main = inProject('dist/agent/main.js');
  return node.tryRun([process.execPath, main, '--config', config], signal);
}

async function openRaw(nodes: TwoNodes): Promise<Client> {
  const address = `unix:${nodes.a.agent.socket}`;
  const { credentials, options } = await channelSettings({ address });
  return new Client(address, credentials, options);
}

async function health(nodes: TwoNodes, signal: AbortSignal, service = ''): Promise<unknown> {
  signal.throwIfAborted();
  const client = await openRaw(nodes);
  const { path, requestSerialize, responseDeserialize } = HealthService.check;
  try {
    const call = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, {
      service,
    });
    call.on('error', () => undefined);
    const [answer] = (await once(call, 'data')) as [HealthCheckResponse];
    return answer;
  } finally {
    client.close();
  }
}
