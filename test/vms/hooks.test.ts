import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EXIT_CODES } from '../../src/cli/process/exit-codes.ts';
import { BareNode, vm } from '../e2e/bare-node.ts';
import { until } from '../fixtures/until.ts';

const FOLDER = '/run/hooks';
/** Where hooks say that they run, and what those that wait wait for. */
const SHARED = '/run/hooks-shared';
const SETTINGS = { lifecycle: { hooks: true, hookFolder: FOLDER } };
const NOTE = `echo "$NOVACRON_HOOK $NOVACRON_VM_NAMESPACE/$NOVACRON_VM_NAME on $NOVACRON_NODE as $(id -un) $*" >>${SHARED}/log`;

const exec = (program: string, ...args: readonly string[]) => ({
  exec: { command: [`${FOLDER}/${program}`, ...args], timeoutSeconds: 60 },
});

test('what a node runs around the life of its VMs', { timeout: 240_000 }, async (context) => {
  const { signal } = context;
  await using node = await BareNode.start(signal, SETTINGS);
  await node.run(['install', '-d', '-m', '1777', SHARED], signal);
  await node.run(['install', '-m', '666', '/dev/null', `${SHARED}/log`], signal);
  await node.addProgram(`${FOLDER}/note`, `#!/bin/sh\n${NOTE}\n`);
  await node.addProgram(`${FOLDER}/refuse`, `#!/bin/sh\n${NOTE}\necho no lease left >&2\nexit 3\n`);
  const waiting = `until [ -e ${SHARED}/go ]; do sleep 0.05; done`;
  await node.addProgram(`${FOLDER}/wait`, `#!/bin/sh\n${NOTE}\n${waiting}\n`);

  /** What has run since the last time that this was asked. */
  let told = 0;
  const taken = async (): Promise<string[]> => {
    const lines = (await node.run(['cat', `${SHARED}/log`], signal)).split('\n').filter(Boolean);
    const later = lines.slice(told).map((line) => line.trim());
    told = lines.length;
    return later;
  };
  const apply = async (lifecycle: object, runStrategy = 'Manual', ...more: string[]) => {
    const file = await node.write(
      'web.yaml',
      vm({ name: 'web' }, runStrategy, '64Mi', { lifecycle }),
    );
    return node.novactl(['vm', 'apply', '-f', file, ...more], signal);
  };
  const phase = async () => (await node.get('web', signal)).status.phase;

  await context.test(
    'a program that may not be run is refused before anything is made',
    async () => {
      for (const [command, words] of [
        ['/bin/true', /it leads to \/usr\/bin\/true, which is not in \/run\/hooks/],
        [`${FOLDER}/nothing`, /it does not exist; put it into \/run\/hooks/],
        ['note', /must begin with the absolute path of a program of the node/],
      ] as const) {
        for (const more of [['--dry-run'], []]) {
          const { code, stderr } = await apply(
            { preStart: { exec: { command: [command] } } },
            'Manual',
            ...more,
          );
          assert.equal(code, EXIT_CODES.refused, stderr);
          assert.match(stderr, words);
        }
      }
      assert.deepEqual(await node.domains(signal), []);
    },
  );

  await context.test('each hook runs once at its time, as nobody', async () => {
    const lifecycle = {
      preStart: exec('note', 'a b'),
      postStart: exec('note'),
      preStop: exec('note'),
    };
    assert.equal((await apply(lifecycle)).code, EXIT_CODES.ok);
    assert.deepEqual(await taken(), []);
    await node.succeed(['vm', 'start', 'web'], signal);
    const said = 'default/web on a as nobody';
    assert.deepEqual(await taken(), [`preStart ${said} a b`, `postStart ${said}`]);
    assert.equal(await phase(), 'Running');
    // Nothing is started that is on.
    await node.succeed(['vm', 'start', 'web'], signal);
    assert.deepEqual(await taken(), []);
    // The firmware heeds no power button, so that it is asked in vain.
    const { stderr } = await node.novactl(['vm', 'shutdown', 'web', '--timeout', '1s'], signal);
    assert.match(stderr, /was asked to power off and has not within 1 s/);
    assert.deepEqual(await taken(), [`preStop ${said}`]);
    await node.succeed(['vm', 'destroy', 'web'], signal);
    assert.deepEqual(await taken(), []);
  });

  await context.test(
    'a hook that fails stops the start and is told, and changes nothing else',
    async () => {
      const lifecycle = { preStart: exec('refuse'), postStart: exec('note') };
      assert.equal((await apply(lifecycle)).code, EXIT_CODES.ok);
      const { code, stderr } = await node.novactl(['vm', 'start', 'web'], signal);
      assert.equal(code, EXIT_CODES.refused, stderr);
      assert.match(
        stderr,
        /Cannot start VM web: its preStart hook \/run\/hooks\/refuse ended with exit code 3; .*; it said: no lease left \(HOOK_FAILED\)/,
      );
      assert.equal((await taken()).length, 1);
      const { status } = await node.get('web', signal);
      assert.equal(status.phase, 'Stopped');
      assert.ok(status.conditions.some(({ message = '' }) => message.includes('no lease left')));
      const late = { postStart: exec('refuse') };
      assert.equal((await apply(late)).code, EXIT_CODES.ok);
      const started = await node.novactl(['vm', 'start', 'web'], signal);
      assert.equal(started.code, EXIT_CODES.ok, started.stderr);
      assert.match(
        started.stderr,
        /its postStart hook .*refuse ended with exit code 3, and the VM runs all the same; it said: no lease left/,
      );
      assert.equal(await phase(), 'Running');
      await node.succeed(['vm', 'destroy', 'web'], signal);
    },
  );

  await context.test('a VM whose first start fails is not made', async () => {
    await node.succeed(['vm', 'delete', 'web'], signal);
    const { code, stderr } = await apply({ preStart: exec('refuse') }, 'Once');
    assert.equal(code, EXIT_CODES.refused, stderr);
    assert.match(stderr, /no lease left/);
    assert.deepEqual(await node.domains(signal), []);
  });

  await context.test(
    'an agent that is killed takes its hook along, and the next runs it again',
    async () => {
      await taken();
      assert.equal((await apply({ preStart: exec('wait') })).code, EXIT_CODES.ok);
      await node.succeed(['vm', 'start', 'web', '--no-wait'], signal);
      await until('it runs', async () => (await taken()).length === 1);
      await node.restartAgent(signal);
      await until('it runs again', async () => (await taken()).length === 1);
      assert.equal((await node.hooks(signal)).match(/\/run\/hooks\/wait/g)?.length, 1);
      const list = await node.succeed(['operation', 'list', '--vm', 'web'], signal);
      assert.match(list, / Start .* Running +running-pre-start \d+s of /);
      await node.run(['touch', `${SHARED}/go`], signal);
      await until('it is on', async () => (await phase()) === 'Running');
      await node.run(['rm', `${SHARED}/go`], signal);
      await node.succeed(['vm', 'destroy', 'web'], signal);
    },
  );

  await context.test('what is asked for later ends the hook of what was asked before', async () => {
    await node.succeed(['vm', 'start', 'web', '--no-wait'], signal);
    await until('it runs', async () => (await node.hooks(signal)).includes('/run/hooks/wait'));
    await node.succeed(['vm', 'destroy', 'web'], signal);
    await until(
      'it has ended',
      async () => !(await node.hooks(signal)).includes('/run/hooks/wait'),
    );
    assert.equal(await phase(), 'Stopped');
  });
});
