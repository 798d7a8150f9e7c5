import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  chmod,
  chown,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  symlink,
  writeFile,
} from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import type { HookRequest } from '../../../src/drivers/hook-runner.ts';
import { HookFolder } from '../../fixtures/hook-folder.ts';
import { until } from '../../fixtures/until.ts';

const never = new AbortController().signal;

function requestOf(command: string | readonly string[], timeoutMs = 30_000): HookRequest {
  const vm = { namespace: 'shop', name: 'web', uid: randomUUID() };
  return { hook: 'preStop', vm, command: [command].flat(), timeoutMs };
}

/** What a program with this text says. */
async function saidBy(folder: HookFolder, text: string, ...args: readonly string[]) {
  const program = await folder.add('program', `#!/bin/sh\n${text}\n`);
  const { failure, output } = await folder.runner.run(requestOf([program, ...args]), never);
  assert.equal(failure, undefined, output);
  return output;
}

/** This process is another than most where memory is short, until disposed; to be spared needs rights that tests lack. */
async function adjusted() {
  const file = '/proc/self/oom_score_adj';
  const adjustment = async () => (await readFile(file, 'utf8')).trim();
  const before = await adjustment();
  await writeFile(file, '100');
  return { adjustment, [Symbol.asyncDispose]: () => writeFile(file, before) };
}

/** Descriptors of this process that every program which it starts has. */
async function inherited(): Promise<readonly string[]> {
  const CLOSE_ON_EXEC = 0o2000000;
  const found: string[] = [];
  for (const fd of await readdir('/proc/self/fdinfo')) {
    const facts = await readFile(`/proc/self/fdinfo/${fd}`, 'utf8').catch(() => '');
    const flags = Number.parseInt(/^flags:\s+(\d+)$/m.exec(facts)?.[1] ?? '0', 8);
    if (Number(fd) > 2 && facts !== '' && (flags & CLOSE_ON_EXEC) === 0) found.push(fd);
  }
  return found.filter((fd) => !['3', '10', '255'].includes(fd));
}

void describe('a hook runs', () => {
  void test('as the unprivileged user, in its group alone, and cannot become more', async () => {
    await using folder = await HookFolder.make();
    const said = await saidBy(
      folder,
      'id -u; id -G; grep -E "^(Cap|NoNewPrivs)" /proc/self/status',
    );
    const [uid, groups, ...status] = said.split(String.raw`\n`);
    assert.deepEqual([uid, groups], ['65534', '65534']);
    const values = Object.fromEntries(
      status.map((line) => line.split(String.raw`:\t`) as [string, string]),
    );
    const none = '0000000000000000';
    assert.deepEqual(values, {
      CapInh: none,
      CapPrm: none,
      CapEff: none,
      CapBnd: none,
      CapAmb: none,
      NoNewPrivs: '1',
    });
  });

  void test('with nothing in its environment but what it is told of its VM', async () => {
    await using folder = await HookFolder.make();
    const program = await folder.add('env', '#!/bin/sh\ntr "\\0" "\\n" </proc/$$/environ\n');
    const request = requestOf(program);
    const { output } = await folder.runner.run(request, never);
    assert.deepEqual(output.split(String.raw`\n`).toSorted(), [
      'NOVACRON_HOOK=preStop',
      `NOVACRON_NODE=${folder.nodeName}`,
      'NOVACRON_VM_NAME=web',
      'NOVACRON_VM_NAMESPACE=shop',
      `NOVACRON_VM_UID=${request.vm.uid}`,
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    ]);
  });

  void test('in the root folder, in a session of its own, without input and without what the agent has open', async () => {
    await using folder = await HookFolder.make();
    await using secret = await open('/etc/shadow');
    const text =
      'pwd; readlink /proc/self/fd/0; echo $(ls /proc/$$/fd | sort -n); echo $(ps -o sid= -p $$); echo $$';
    const said = (await saidBy(folder, text)).split(String.raw`\n`);
    const [place, input, descriptors = '', session, pid] = said;
    assert.deepEqual([place, input], ['/', '/dev/null']);
    assert.ok(!descriptors.split(' ').includes(String(secret.fd)), descriptors);
    // 3 is that of the substitution, 10 or 255 the script itself; the rest is what this test was started with.
    const own = descriptors.split(' ').filter((fd) => !['3', '10', '255'].includes(fd));
    assert.deepEqual(own, ['0', '1', '2', ...(await inherited())]);
    assert.equal(session, pid);
  });

  void test('as one of many where memory is short, whatever the agent is', async () => {
    await using folder = await HookFolder.make();
    await using own = await adjusted();
    assert.equal(await own.adjustment(), '100');
    assert.equal(await saidBy(folder, 'cat /proc/self/oom_score_adj'), '0');
  });

  void test('with its arguments as they are, which no shell reads', async () => {
    await using folder = await HookFolder.make();
    const args = ['two words', '$HOME', '`id`', '*', '', '--'];
    const said = await saidBy(folder, 'for a in "$@"; do echo "<$a>"; done', ...args);
    assert.equal(said, args.map((one) => `<${one}>`).join(String.raw`\n`));
  });
});

void describe('all that a hook has started ends with it', () => {
  const LEAVES = [
    'sleep 1001 &',
    'setsid sleep 1002 &',
    '(setsid sh -c "sleep 1003 & sleep 1004") &',
  ];

  for (const [when, end, failure] of [
    ['when it has ended well', 'exit 0', undefined],
    ['when its time is over', 'exec sleep 1000', /^has not ended within 0\.5 s/],
    [
      'when it does not heed being asked to end',
      'trap "" TERM; while :; do sleep 1; done',
      /0\.5 s/,
    ],
  ] as const) {
    void test(when, async () => {
      await using folder = await HookFolder.make();
      const program = await folder.add('parent', `#!/bin/sh\n${LEAVES.join('\n')}\n${end}\n`);
      const request = requestOf(program, 500);
      const outcome = await folder.runner.run(request, never);
      if (failure === undefined) assert.equal(outcome.failure, undefined);
      else assert.match(outcome.failure ?? '', failure);
      assert.deepEqual(await folder.processesOf(request.vm.uid), []);
    });
  }

  void test('when the agent is killed, itself at once and the rest by the next agent', async () => {
    await using folder = await HookFolder.make();
    const program = await folder.add('parent', '#!/bin/sh\nsetsid sleep 1002 &\nexec sleep 1000\n');
    const request = requestOf(program);
    const { uid } = request.vm;
    const code = `
      import { ProcessHookRunner } from ${JSON.stringify(path.resolve('src/drivers/hooks/process-hook-runner.ts'))};
      const runner = new ProcessHookRunner(${JSON.stringify({ nodeName: folder.nodeName, isOn: true, folder: folder.path, user: 'nobody' })});
      await runner.run(${JSON.stringify(request)}, new AbortController().signal);`;
    const agent = spawn(process.execPath, ['--input-type=module', '-e', code], {
      stdio: 'inherit',
    });
    const both = ['sleep 1000', 'sleep 1002'];
    await until('both run', async () => {
      const running = await folder.processesOf(uid);
      return both.every((command) => running.includes(command));
    });
    agent.kill('SIGKILL');
    await until('the hook has ended', async () => {
      return !(await folder.processesOf(uid)).includes('sleep 1000');
    });
    assert.deepEqual(await folder.processesOf(uid), ['sleep 1002']);
    // Neither of another VM nor of another node.
    await folder.runner.endLeft([randomUUID()], never);
    await folder.runnerWith({ nodeName: 'another' }).endLeft([uid], never);
    assert.deepEqual(await folder.processesOf(uid), ['sleep 1002']);
    await folder.runner.endLeft([uid], never);
    assert.deepEqual(await folder.processesOf(uid), []);
  });

  void test('before the next hook of the VM begins', async () => {
    await using folder = await HookFolder.make();
    const program = await folder.add('good', '#!/bin/sh\nexit 0\n');
    const request = requestOf(program);
    const { uid, name, namespace } = request.vm;
    const left = spawn(
      'setpriv',
      ['--reuid=65534', '--regid=65534', '--clear-groups', 'sleep', '1005'],
      {
        env: {
          PATH: process.env['PATH'],
          NOVACRON_HOOK: 'preStart',
          NOVACRON_NODE: folder.nodeName,
          NOVACRON_VM_UID: uid,
          NOVACRON_VM_NAME: name,
          NOVACRON_VM_NAMESPACE: namespace,
        },
      },
    );
    await until('it is there', async () => {
      return (await folder.processesOf(uid)).includes('sleep 1005');
    });
    const ended = new Promise((resolve) => left.once('exit', (_code, signal) => resolve(signal)));
    assert.equal((await folder.runner.run(request, never)).failure, undefined);
    assert.equal(await ended, 'SIGKILL');
  });
});

void describe('of what a hook writes', () => {
  void test('the last 4 KiB are kept, however much that is, and it is not held up for long', async () => {
    await using folder = await HookFolder.make();
    const text = 'head -c 3000000 /dev/zero | tr "\\0" x; echo; echo the end';
    const said = await saidBy(folder, text);
    assert.ok(Buffer.byteLength(said) <= 4096);
    assert.match(said, /^…x+\\nthe end$/);
  });

  void test('a flood costs the hook its time, and nobody anything else', async () => {
    await using folder = await HookFolder.make();
    const program = await folder.add('flood', '#!/bin/sh\nexec yes flood\n');
    const request = requestOf(program, 1_000);
    const before = process.cpuUsage();
    const { failure, output } = await folder.runner.run(request, never);
    const { user, system } = process.cpuUsage(before);
    assert.match(failure ?? '', /^has not ended within 1 s/);
    assert.match(output, /flood\\nflood$/);
    assert.ok(user + system < 700_000, `${user + system} µs`);
    assert.deepEqual(await folder.processesOf(request.vm.uid), []);
  });

  void test('nothing can move a cursor or turn a text around', async () => {
    await using folder = await HookFolder.make();
    const said = await saidBy(folder, String.raw`printf '\033[2Ja\tb\r\342\200\256c\000d\377'`);
    assert.equal(said, String.raw`\u{1b}[2Ja\tb\u{d}\u{202e}c\u{0}d` + '\uFFFD');
  });

  void test('a signal that ended it is told', async () => {
    await using folder = await HookFolder.make();
    const program = await folder.add('dies', '#!/bin/sh\nkill -SEGV $$\n');
    const { failure } = await folder.runner.run(requestOf(program), never);
    assert.equal(failure, 'was ended by SIGSEGV');
  });

  void test('why it cannot be executed is told', async () => {
    await using folder = await HookFolder.make();
    const program = await folder.add('odd', '#!/no/such/interpreter\n');
    const { failure, output } = await folder.runner.run(requestOf(program), never);
    assert.equal(failure, 'ended with exit code 127');
    assert.match(output, /failed to execute .*\/odd: No such file or directory/);
  });
});

async function problemOf(folder: HookFolder, program: string): Promise<string> {
  const problem = await folder.runner.findProblem(program, never);
  assert.ok(problem, `${program} may be run`);
  await assert.rejects(folder.runner.run(requestOf(program), never), {
    reason: 'HOOK_NOT_ALLOWED',
  });
  return problem;
}

void describe('a program is not run', () => {
  void test('that does not lie in the folder, by whatever name', async () => {
    await using folder = await HookFolder.make();
    await symlink('/bin/true', path.join(folder.path, 'link'));
    const outside = /in .*hooks-.*, the folder of hooks \(lifecycle\.hookFolder .*\); put it there/;
    assert.match(await problemOf(folder, '/bin/true'), outside);
    assert.match(
      await problemOf(folder, `${folder.path}/link`),
      /^it leads to \/usr\/bin\/true, which is not /,
    );
    assert.match(await problemOf(folder, `${folder.path}/../../bin/true`), outside);
    assert.match(await problemOf(folder, folder.path), outside);
    assert.match(
      await problemOf(folder, `${folder.path}/nothing`),
      /^it does not exist; put it into/,
    );
    await symlink('circle', path.join(folder.path, 'circle'));
    assert.match(await problemOf(folder, `${folder.path}/circle`), /a link that leads in a circle/);
  });

  void test('but a link within the folder is', async () => {
    await using folder = await HookFolder.make();
    await folder.add('good', '#!/bin/sh\nexit 0\n');
    await symlink('good', path.join(folder.path, 'link'));
    assert.equal(await folder.runner.findProblem(`${folder.path}/link`, never), undefined);
  });

  void test('that anybody but root could change', async () => {
    await using folder = await HookFolder.make();
    const program = await folder.add('good', '#!/bin/sh\nexit 0\n');
    await chmod(program, 0o775);
    assert.match(await problemOf(folder, program), /can be written by others .*; chmod go-w /);
    await chmod(program, 0o755);
    await chown(program, 65_534, 65_534);
    assert.match(await problemOf(folder, program), /belongs to user 65534, .*; chown root /);
    await chown(program, 0, 0);
    await chmod(folder.path, 0o777);
    assert.match(await problemOf(folder, program), /^the folder .* can be written by others/);
    await chmod(folder.path, 0o755);
    assert.equal(await folder.runner.findProblem(program, never), undefined);
    const below = path.join(folder.path, 'below');
    await mkdir(below);
    await rename(program, path.join(below, 'good'));
    await chown(below, 65_534, 0);
    assert.match(await problemOf(folder, path.join(below, 'good')), /below belongs to user 65534/);
  });

  void test('that cannot be a program', async () => {
    await using folder = await HookFolder.make();
    const closed = await folder.add('closed', '#!/bin/sh\n', 0o744);
    assert.match(
      await problemOf(folder, closed),
      /^user nobody, as whom hooks run, may not execute it; chmod 755/,
    );
    const empty = await folder.add('empty', '');
    assert.match(await problemOf(folder, empty), /^it is empty/);
    await mkdir(path.join(folder.path, 'sub'));
    assert.match(await problemOf(folder, `${folder.path}/sub`), /^it is no file/);
    await writeFile(path.join(folder.path, 'file'), '');
    assert.match(
      await problemOf(folder, `${folder.path}/file/x`),
      /through a file that is no folder/,
    );
  });

  void test('where the node runs none, has no such folder, or no such user', async () => {
    await using folder = await HookFolder.make();
    const program = await folder.add('good', '#!/bin/sh\nexit 0\n');
    const problem = (options: Parameters<HookFolder['runnerWith']>[0]) =>
      folder.runnerWith(options).findProblem(program, never);
    assert.match(
      (await problem({ isOn: false })) ?? '',
      /^this node runs no hooks; say lifecycle\.hooks: true/,
    );
    const gone = `${folder.path}/gone`;
    assert.match(
      (await problem({ folder: gone })) ?? '',
      /gone, does not exist; root makes it: install -d/,
    );
    assert.match(
      (await problem({ user: 'no-such-user' })) ?? '',
      /^there is no user no-such-user on this node/,
    );
    assert.match((await problem({ user: 'root' })) ?? '', /^hooks would run as root/);
  });
});
