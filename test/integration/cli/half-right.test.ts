import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Argument, Command, Option } from 'commander';
import { buildWholeProgram } from '../../../src/cli/program.ts';
import { FakeCliIo } from '../../fakes/fake-cli-io.ts';
import { MANIFEST, startLab } from './novactl-lab.ts';
import { ServedNode } from './served-node.ts';

const ID = '6b0f3c1e-1f0a-4c52-9a58-0d5b3a8f7c11';
const OTHER_ID = '3f1c2d4e-0000-4000-8000-0000000000aa';

/** Two right values of each argument and option that takes one. */
const VALUES: Readonly<Record<string, readonly [string, string]>> = {
  '--address': ['10.0.0.2:7443', '10.0.0.3:7443'],
  '--agent-config': ['/a.yaml', '/b.yaml'],
  '--bandwidth': ['1Gbps', '2Gbps'],
  '--check-timeout': ['1s', '2s'],
  '--config': ['/a.yaml', '/b.yaml'],
  '--days': ['30', '60'],
  '--auth': ['mine', 'yours'],
  '--block': ['/dev/a', '/dev/b'],
  '--cpus': ['2', '3'],
  '--disk': ['root=2Gi', 'root=3Gi'],
  '--digest': [`sha256:${'ab'.repeat(32)}`, `sha256:${'cd'.repeat(32)}`],
  '--dir': ['/nowhere/ca', '/nowhere/other-ca'],
  '--filename': ['-', '-'],
  '--generation': ['1', '2'],
  '--id': [ID, OTHER_ID],
  '--label': ['app=web', 'app=db'],
  '--image': ['file:///a.qcow2', 'file:///b.qcow2'],
  '--max-downtime': ['50ms', '60ms'],
  '--memory': ['1Gi', '2Gi'],
  '--name': ['shop', 'blog'],
  '--namespace': ['shop', 'blog'],
  '--node': ['a', 'b'],
  '--node-is-off': ['node-b', 'node-c'],
  '--operation-id': [ID, OTHER_ID],
  '--ownership-epoch': ['1', '2'],
  '--out': ['/nowhere/a', '/nowhere/b'],
  '--reason': ['memory', 'disk'],
  '--request-timeout': ['1s', '2s'],
  '--secret': ['web=/a', 'web=/a'],
  '--selector': ['app=web', 'app=db'],
  '--serial': ['a', 'b'],
  '--since': ['1h', '2h'],
  '--size': ['1Gi', '2Gi'],
  '--tail': ['4Ki', '8Ki'],
  '--timeout': ['1m', '2m'],
  '--to': ['node-b', 'node-c'],
  '--escape': ['^A', '^B'],
  '--file': ['/nowhere/a.png', '/nowhere/b.png'],
  '--identity': ['a', 'b'],
  '--login': ['root', 'debian'],
  '--port': ['5900', '5901'],
  '--scrollback': ['4Ki', '8Ki'],
  '--trust-shared': ['data', 'data'],
  '--vm': ['web', 'db'],
  digest: ['sha256:abcdef', 'sha256:fedcba'],
  domain: ['web', 'db'],
  id: [ID, OTHER_ID],
  keys: ['enter', 'f2'],
  name: ['node-a', 'node-b'],
  path: ['/a.iso', '/b.iso'],
  args: ['--', '--'],
  program: ['uname', 'id'],
  user: ['root', 'debian'],
  volume: ['setup', 'tools'],
  operation: [ID, OTHER_ID],
  reservation: [ID, OTHER_ID],
  source: ['https://images.example/web.qcow2', 'file:///web.qcow2'],
  vm: ['web', 'db'],
};

const WRONG_NAMES = ['', 'Web', 'a/b/c', 'web ', '../web', 'web\n', '*'];
/** What these may be, only the guest knows, or libvirt. */
const OF_OTHERS: readonly string[] = ['program', 'user', 'domain'];

interface Leaf {
  readonly command: Command;
  /** The command with all that it must be given. */
  readonly words: readonly string[];
}

function leavesOf(command: Command, words: readonly string[]): Leaf[] {
  const children = command
    .createHelp()
    .visibleCommands(command)
    .filter((child) => child.name() !== 'help');
  if (children.length > 0) {
    return children.flatMap((child) => leavesOf(child, [...words, child.name()]));
  }
  const given = command.registeredArguments.filter(({ required }) => required);
  const options = command.options.filter(({ mandatory }) => mandatory);
  const needed = [
    ...given.map((argument) => valuesOf(argument)[0]),
    ...options.flatMap((option) => [option.long ?? '', valuesOf(option)[0]]),
  ];
  return [{ command, words: [...words, ...needed] }];
}

function valuesOf(taken: Option | Argument): readonly [string, string] {
  const [first, second] = taken.argChoices ?? [];
  if (first !== undefined && second !== undefined) return [first, second];
  const name = 'long' in taken ? (taken.long ?? '') : taken.name();
  return VALUES[name] ?? assert.fail(`There is no value for ${name}`);
}

const takesValue = ({ required }: Option) => required;

/** Everything that is almost a right command line, and for each a word of what is said. */
function* halfRight({ command, words }: Leaf, all: ReadonlySet<string>) {
  // One more argument than it takes.
  const most = command.registeredArguments.map((argument) => valuesOf(argument)[1]);
  const given = command.registeredArguments.filter(({ required }) => required).length;
  const takesAll = command.registeredArguments.some(({ variadic }) => variadic);
  if (!takesAll) yield [[...words, ...most.slice(given), 'extra'], /too many arguments/] as const;
  const own = command.options.map(({ long }) => long ?? '');
  // Those of all other commands, and one of none.
  for (const option of [...all, '--nonsense'].filter((name) => !own.includes(name))) {
    yield [[...words, option], new RegExp(`unknown option '${option}'`)] as const;
  }
  for (const option of command.options.filter(takesValue)) {
    const long = option.long ?? '';
    const [first, second] = valuesOf(option);
    yield [[...words, long, ''], /./] as const;
    yield [[...words, `${long}=`], /./] as const;
    yield [[...words, long], /argument missing/] as const;
    // Each time that it is given adds to it.
    if (first === second || Array.isArray(option.defaultValue)) continue;
    const base = option.mandatory ? words : [...words, long, first];
    yield [[...base, long, second], /is given twice|two values/] as const;
  }
  for (const { long = '' } of command.options.filter((option) => !takesValue(option))) {
    yield [[...words, `${long}=false`], /unknown option/] as const;
  }
  for (const argument of command.registeredArguments) {
    if (!argument.required) continue;
    const at = words.indexOf(valuesOf(argument)[0]);
    assert.ok(at >= 0);
    yield [words.toSpliced(at, 1), /missing required argument/] as const;
    const wrongs = OF_OTHERS.includes(argument.name()) ? ['', 'web\n'] : WRONG_NAMES;
    for (const wrong of wrongs) {
      yield [words.with(at, wrong), /./] as const;
    }
  }
}

test('what is almost a right command line is refused as such, and nothing is asked of the agent', async () => {
  const leaves = leavesOf(await buildWholeProgram(new FakeCliIo()), []);
  const all = new Set(
    leaves.flatMap(({ command }) => command.options.map(({ long }) => long ?? '')),
  );
  await using lab = await startLab();
  let refused = 0;
  for (const leaf of leaves) {
    for (const [words, expected] of halfRight(leaf, all)) {
      const { code, stdout, stderr } = await lab.novactl(words);
      assert.equal(code, 2, `${JSON.stringify(words)}: ${stderr}`);
      assert.equal(stdout, '');
      assert.match(stderr, expected, JSON.stringify(words));
      refused += 1;
    }
  }
  assert.ok(refused > 1_000, String(refused));
  assert.equal(lab.agent.calls, 0);
});

test('what is wrong is said with what is right', async () => {
  await using lab = await startLab();
  for (const [words, expected] of [
    ['vm delete web extra', /too many arguments for 'delete'/],
    ['vm get a/b/c', /"a\/b\/c" names no VM; write NAME or NAMESPACE\/NAME/],
    ['vm delete Web', /"Web" names no VM/],
    ['vm get Web', /"Web" names no VM; a name is 1 to 63 lower-case letters/],
    ['vm list -n Shop', /It must be 1 to 63 lower-case letters/],
    ['vm list -n a -n b', /option '-n, --namespace <namespace>' is given twice: a and b/],
    ['vm get shop/web -n blog', /write shop\/web without -n, or web with it/],
    ['--node nowhere vm list', /There is no context nowhere in .*; it has: a/],
    ['--node toString vm list', /There is no context toString/],
    ['vm list --address somewhere', /must be unix:\/PATH or HOST:PORT/],
    ['vm list --address x:99999', /It has a port above 65535/],
    ['migrate --to b', /name either one VM, or all with --all/],
    ['migrate web --all --to b', /name either one VM, or all with --all/],
    ['migrate web --to b -l app=web', /--selector chooses among --all/],
    [`migrate --all --to b --id ${ID}`, /--id is that of one migration, not of --all/],
    ['migrate Web --to b', /"Web" names no VM/],
    ['migrate web --to Node_B', /It must be the name of a node, such as node-b/],
    ['migrate web --to b --address fd00::2:7443', /without brackets; write \[fd00::2\]:7443/],
    ['migrate web --to b --bandwidth 0bps', /It must be more than 0/],
    ['migrate web --to b --bandwidth 1G', /Did you mean 1Gbps\?/],
    ['migrate web --to b --label a=1 --label a=2', /It gives a two values: 1 and 2/],
    ['migrate web --to b --timeout 5', /It must be a duration, such as 100ms/],
    ['vm shutdown web --timeout -5s', /It must be a duration/],
    ['vm shutdown web --timeout 0s', /It must be a duration/],
    ['vm list --request-timeout 1000d', /It must be at most 24d/],
    ['vm log web --tail 1MB', /Did you mean 1M or 1Mi\?/],
    ['vm log web --tail 0', /It must be more than 0; leave it out for all/],
    ['vm log web --tail 1E', /It must be at most 8Pi/],
    ['vm apply -f - --generation 1e3', /It must be a number/],
    ['vm create -f - --ownership-epoch -1', /It must be a number from 1/],
    ['migration cancel web', /It must be a UUID in lower case/],
    [`migration settle ${ID} --node-is-off Node_B`, /It must be the name of a node/],
    ['operation get 6B0F3C1E-1F0A-4C52-9A58-0D5B3A8F7C11', /It must be a UUID in lower case/],
    ['vm destroy web --dry-run', /unknown option '--dry-run'/],
    ['vm strat web', /unknown command 'strat'\n\(Did you mean start\?\)/],
    ['node get node-b', /too many arguments for 'get'/],
  ] as const) {
    const { code, stderr } = await lab.novactl(words);
    assert.equal(code, 2, words);
    assert.match(stderr, expected, words);
  }
  assert.equal(lab.agent.calls, 0);
});

test('a uid in the place of a name is no name, and the VM that has it is said', async () => {
  await using served = await ServedNode.start();
  const machine = 'resources: {cpu: 1, memory: 64Mi}\n      kernel: {path: /boot/vmlinuz}\n';
  const manifest = MANIFEST.replace(/resources:[^]*/, machine);
  assert.equal((await served.novactl('vm apply -f -', manifest)).code, 0);
  for (const verb of ['get', 'start', 'log', 'destroy']) {
    const { code, stdout, stderr } = await served.novactl(`vm ${verb} ${OTHER_ID}`);
    assert.deepEqual([code, stdout], [3, ''], verb);
    assert.match(stderr, /; it is the uid of VM default\/web, which is to be named by its name/);
  }
  const { code, stdout } = await served.novactl(`vm delete ${OTHER_ID} --force`);
  assert.deepEqual([code, stdout], [3, '']);
  assert.equal((await served.novactl('vm get web')).code, 0);
});
