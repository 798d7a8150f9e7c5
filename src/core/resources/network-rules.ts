import type { Machine } from './machine.ts';
import { modelOf, type Network } from './network.ts';
import type { SpecProblem } from './spec-problem.ts';

/** What is wrong between the fields of a machine's networks. Paths begin with the index of one. */
export function* networkProblems({
  networks = [],
}: Pick<Machine, 'networks'>): Generator<SpecProblem> {
  for (const [index, network] of networks.entries()) {
    const problems = [
      ...ipv4Problems(network),
      ...interfaceProblems(network),
      ...sameProblems(network, networks.slice(0, index)),
    ];
    for (const { path, message } of problems) yield { path: [index, ...path], message };
  }
}

function* ipv4Problems({ ipv4 }: Network): Generator<SpecProblem> {
  const { method, address } = ipv4 ?? {};
  const path = ['ipv4', 'address'];
  if (method === 'static' && address === undefined) {
    yield { path, message: 'is required with method static' };
  }
  if (method === 'dhcp' && address !== undefined) {
    yield { path, message: 'must be left out with method dhcp' };
  }
}

function* interfaceProblems(network: Network): Generator<SpecProblem> {
  if (network.type === undefined) {
    yield { path: ['type'], message: 'is required: bridge, for a Linux bridge of the node' };
  }
  if (modelOf(network) === 'virtio') return;
  if (network.queues !== undefined && network.queues > 1) {
    yield {
      path: ['queues'],
      message: 'must be left out or 1 for this model; virtio can have more',
    };
  }
}

function* sameProblems(
  { name, mac }: Network,
  earlier: readonly Network[],
): Generator<SpecProblem> {
  if (earlier.some((other) => other.name === name)) {
    yield { path: ['name'], message: 'is that of another network; each needs its own' };
  }
  const same = mac === undefined ? undefined : earlier.find((other) => other.mac === mac);
  if (same !== undefined) {
    const message = `is the same as that of network ${JSON.stringify(same.name)}; each needs its own, or leave it out`;
    yield { path: ['mac'], message };
  }
}
