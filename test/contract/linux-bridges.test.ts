import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { LinuxBridges } from '../../src/drivers/linux/linux-bridges.ts';
import { testHostBridges } from './host-bridges-contract.ts';

const execute = promisify(execFile);

/** A network namespace of its own with the sysfs that shows it, for as long as a process is in it. */
async function openNamespace(): Promise<AsyncDisposable & { readonly pid: number }> {
  const script = 'mount -t sysfs sysfs /sys && echo ready && exec cat';
  const child = spawn('unshare', ['--net', '--mount', 'sh', '-c', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return {
    pid: child.pid ?? 0,
    async [Symbol.asyncDispose]() {
      const ended = once(child, 'exit');
      child.stdin.end();
      await ended;
    },
  };
}

testHostBridges('bridges of Linux', async () => {
  const namespace = await openNamespace();
  const { pid } = namespace;
  const ip = (...args: readonly string[]) =>
    execute('nsenter', [`--target=${pid}`, '--net', 'ip', ...args]);
  return {
    bridges: new LinuxBridges(`/proc/${pid}/root/sys/class/net`),
    add: async (name) => void (await ip('link', 'add', name, 'type', 'bridge')),
    remove: async (name) => void (await ip('link', 'del', name)),
    addOther: async (name) => void (await ip('link', 'add', name, 'type', 'veth')),
    [Symbol.asyncDispose]: async () => namespace[Symbol.asyncDispose](),
  };
});
