import { kindOfHost, parseHostPort } from '../../core/host-port.ts';
import { defaultListen, findAddressProblems } from '../../core/node-addresses.ts';
import type { AgentSettings } from './agent-settings.ts';
import { type Finding, ok, skipped } from './check.ts';

/** What a firewall has to let through to this node; that it does, only those can tell who connect. */
export function listPorts(settings: AgentSettings): Finding {
  const { listen, advertise, httpListen, migration } = settings;
  if (findAddressProblems(settings).some(({ refused }) => refused)) {
    return skipped('The addresses cannot be used');
  }
  const http = parseHostPort(httpListen);
  const metrics =
    kindOfHost(http.host) === 'loopback' ? [] : [`TCP ${http.port} from what gathers metrics`];
  if (advertise === undefined) {
    const alone = 'The node is alone, so nobody else needs a port of it';
    return metrics.length === 0 ? skipped(alone) : ok(`To be open to here: ${metrics.join('')}`);
  }
  const api = parseHostPort(listen ?? defaultListen(advertise)).port;
  const transfers = `TCP ${migration.portMin} to ${migration.portMax} from other nodes`;
  const open = [`TCP ${api} from other nodes and whoever calls the agent`, transfers, ...metrics];
  return ok(`To be open to here: ${open.join('; ')}; libvirt's and QEMU's own ports need not be`);
}
