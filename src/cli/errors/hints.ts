import type { AgentError, Reason } from '../../core/errors.ts';

/** What to do about each reason; one line each. */
const HINTS: Readonly<Record<Reason, string>> = {
  INVALID_REQUEST: 'Correct the values named above; see --help of the command',
  INVALID_SPEC:
    'Correct the fields named above; novactl vm apply -f FILE --dry-run checks without changing anything',
  INVALID_CONFIG:
    'Correct the file named above; docs/novactl.md shows the format of contexts, docs/configuration.md that of the agent',
  PERMISSION_DENIED:
    'Run it as root on the node, or use a context whose certificate has the role operator',
  UNAUTHENTICATED: "Use a certificate signed by the cluster's CA (tls in the contexts file)",
  VM_NOT_FOUND:
    'List the VMs of this node with: novactl vm list; it may be on another node (delete takes --ignore-not-found)',
  VM_ALREADY_EXISTS:
    'Change the VM that is there with novactl vm apply -f FILE, or choose another name or uid; what is in the way at a destination has to be removed or renamed there',
  VM_BUSY:
    'Do what is said above, or wait and try again; what is under way shows: novactl operation list --active',
  VM_NOT_RUNNING: 'Start the VM first: novactl vm start NAME',
  VM_PAUSED:
    'If nothing else is said above, let it go on with novactl vm resume NAME, or cut its power with novactl vm destroy NAME',
  VM_RUNNING:
    'Stop the VM first: novactl vm shutdown NAME, or novactl vm destroy NAME if it is paused; one whose memory is saved is to be started before that; or use --force',
  VM_NOT_OWNED:
    'Another node owns this VM: go there; novactl migration list shows where it went. What it has left here goes with: ' +
    'novactl vm delete NAME --unowned-copy',
  VM_UID_MISMATCH: 'Another VM has this name now: look at it with novactl vm get NAME -o yaml',
  VM_NOT_ADOPTABLE:
    'Do what is said above on the node, then adopt it again; docs/adopt.md has what can be adopted',
  IMAGE_NOT_FOUND:
    'Put the image on the node under the path of the spec, or correct the path or the digest',
  IMAGE_INVALID:
    'Correct the image or its volume in the spec as is said above; of a damaged qcow2 image qemu-img check PATH tells more',
  IMAGE_IN_USE: 'Stop the VM or the program that has the image open (on the node: fuser -v PATH)',
  IMAGE_NOT_ALLOWED:
    "Move it to a folder that the node has for images, or have the node's administrator add its folder to images.folders (kernels: images.bootFolders; block devices: images.blockDevices) in the agent's configuration",
  IMAGE_NOT_READABLE:
    "Open what is named above to the user of QEMU, or mount it for writing; or move the image to one of images.folders where QEMU's user can read and write it",
  IMAGE_FETCH_FAILED: 'Look whether the node reaches that address (curl there), and try again',
  IMAGE_DIGEST_MISMATCH:
    'Compare the digest with what its publisher says; the content may have been replaced',
  IMAGE_UNREACHABLE:
    'Bring back the storage that is named (on the node: findmnt, and its server), then try again; or name another image',
  NETWORK_NOT_FOUND:
    'Name a bridge that the node has (ip -brief link show type bridge), make the one that is named on it (docs/networks.md), or choose another node',
  NODE_CAPACITY_EXCEEDED:
    'Ask for less, stop another VM, or choose another node (novactl node get shows what is free)',
  NODE_CORDONED: 'Choose another node, or let this one take VMs again with: novactl node uncordon',
  NODE_SHUTTING_DOWN:
    'Choose another node, wait until this one has booted again, or, if its host stays up, run: novactl node shutdown-vms --abort',
  RESERVATION_ALREADY_EXISTS:
    'Choose another id, or end the one that is there: novactl node reservations, then novactl node release ID',
  RESERVATION_NOT_FOUND: 'It has ended: look at what there is with novactl node reservations',
  GENERATION_MISMATCH:
    'Somebody changed it meanwhile: look with novactl vm get NAME -o yaml, then repeat the change on that',
  GUEST_AGENT_NOT_CONNECTED:
    'In the guest: install the package qemu-guest-agent and start it (systemctl start qemu-guest-agent); novactl vm get NAME shows GuestAgentConnected when it listens',
  GUEST_AGENT_TIMEOUT:
    'See whether the guest is well (novactl vm log NAME), restart qemu-guest-agent in it, and look whether what was asked for has happened before asking again',
  GUEST_AGENT_REFUSED:
    'Correct what the guest names; what its guest agent may do at all is set in the guest (/etc/qemu/qemu-ga.conf)',
  GUEST_ANSWER_INVALID:
    'Update qemu-guest-agent in the guest and restart it; if its answers still make no sense, do not trust that guest',
  GUEST_FROZEN:
    'Wait for the backup that has frozen it, or thaw it: novactl vm guest thaw NAME --force',
  GUEST_COMMAND_TIMED_OUT:
    'The program goes on in the guest: look for it there by its process id, or ask again with a longer --timeout',
  GUEST_DID_NOT_STOP:
    'See what the guest says with novactl vm log NAME; ask again with a longer --timeout, cut its power with novactl vm destroy NAME, or have it begin anew with novactl vm reset NAME',
  GUEST_DID_NOT_ANSWER:
    'See what waits with novactl vm describe NAME, and what the guest says with novactl vm log NAME; it is asked again by itself, and novactl vm restart NAME has all of it in force',
  GUEST_REFUSED:
    'See in the guest what still uses it, end that, and wait: it is asked again by itself',
  LIVE_CHANGE_FAILED:
    'Do what is said above, or have it in force with novactl vm restart NAME; novactl vm describe NAME shows what waits',
  RUN_STRATEGY_HALTED:
    'Give it a runStrategy, such as Always or Manual, in the place of Halted or of running: false: novactl vm edit NAME',
  VM_DISKS_CHANGED:
    'Compare novactl vm get NAME -o yaml with what virsh dumpxml --inactive says on the node; --dry-run tells whether a manifest will do',
  VM_SPEC_NEWER:
    "Upgrade this node's agent, or change the VM on a newer node: novactl migrate NAME --to NODE",
  VM_SPEC_DAMAGED:
    'Look at what is there with virsh dumpxml on the node; its disks are named there, and stay when it is deleted',
  NOT_SUPPORTED:
    'Leave out what is named above; novactl vm apply -f FILE --dry-run says whether the rest will do',
  FEATURE_NOT_SUPPORTED: 'See what the node supports with: novactl node get -o wide',
  DEVICE_IN_USE:
    'Release the device where it is used, or choose another; empty a drive with novactl vm eject NAME VOLUME (--force if its guest holds it shut)',
  CPU_INCOMPATIBLE:
    'Give the VM a CPU model that all its nodes have (spec.template.spec.cpu.model) and restart it; novactl node get -o yaml names the CPU of a node',
  SECRET_NOT_FOUND:
    'Put the secret on the node as is said above: install -m 600 /dev/stdin /etc/novacron/secrets/NAME',
  HOOK_NOT_ALLOWED:
    'Do what the message says on that node, or take the hook out of the manifest and apply it; docs/hooks.md has what may be run',
  HOOK_FAILED:
    'Mend what the hook complains about, or run it by hand on that node to see; then ask again',
  CONSOLE_IN_USE: 'Read along with --read-only, or type in their place with --take-over',
  CONSOLE_NOT_FOUND:
    'It was adopted without one: see docs/adopt.md for how to give it one, or look at its screen with novactl vm screenshot NAME or novactl vm vnc NAME',
  DISPLAY_NOT_FOUND:
    'Give the VM a display and restart it: display: {type: vnc} below spec.template.spec; its serial console is there without: novactl vm console NAME',
  MIGRATION_NOT_FOUND: 'List what this node knows with: novactl migration list',
  MIGRATION_ALREADY_EXISTS: 'Leave out --id to get a new one; an attempt is never repeated',
  MIGRATION_BLOCKED:
    'Do what is said above, then see whether anything is left with: novactl migrate VM --to NODE --plan',
  MIGRATION_PAST_SWITCHOVER:
    'It can no longer be stopped: wait for it and migrate the VM back; one that waits for a node that is off for good ends with novactl migration settle',
  MIGRATION_NOT_WAITING:
    'Nothing was changed: see what it waits for with novactl migration get ID; a node that answers ends it by itself',
  MIGRATION_FAILED: 'The VM stays at the source; the logs of both agents have more under its id',
  MIGRATION_CANCELLED: 'The VM stays at the source; start another migration when you are ready',
  MIGRATION_TIMEOUT:
    'Give it more time or bandwidth (--timeout, --bandwidth), or a longer pause (--max-downtime)',
  SERVICE_NOT_FOUND: 'Ask for a service that the message names',
  OPERATION_NOT_FOUND: 'List what this node knows with: novactl operation list',
  OPERATION_ID_REUSED:
    'Leave out --operation-id to get a new one, or look with: novactl operation get ID',
  OPERATION_CANCELLED:
    'Look at the VM with novactl vm get NAME, and repeat what you wanted if it is still needed',
  OPERATION_SUPERSEDED: 'Look at the newer operation, named above, with: novactl operation get ID',
  PEER_UNKNOWN:
    "Give --address HOST:PORT, or name the node under peers in the agent's configuration; a node that is alone needs an address and a certificate first (docs/install.md)",
  PEER_UNREACHABLE:
    "Check that the other node's agent runs and that its port (7443) is open from this node",
  PEER_INCOMPATIBLE:
    'Upgrade the older of the two agents (novactl version shows that of the agent asked; --node chooses it)',
  STREAM_FAILED: 'Check the link between the nodes, then try again',
  HYPERVISOR_UNREACHABLE: 'Check libvirt on the node: systemctl status libvirtd virtqemud',
  HYPERVISOR_TIMEOUT:
    'Look at the log of libvirt, which is slow or stuck: journalctl -u libvirtd -u virtqemud',
  HYPERVISOR_REFUSED:
    "Nothing has changed: mend what libvirt's sentence says and ask again; more may be in its log on the node (journalctl -u libvirtd -u virtqemud)",
  HYPERVISOR_FAILURE:
    'Look at the logs of the agent and of libvirt (journalctl -u libvirtd -u virtqemud)',
  STATE_NOT_READY:
    'The agent has just started, finds out whether KVM works, or libvirt cannot describe the VM: try again in a moment; novactl node get says what is waited for',
  STORAGE_FULL:
    "Make room on the file system of the agent's state directory (df -h), and leave alone what the agent has there",
  JOURNAL_FAILURE: "Check the disk of the agent's state directory (/var/lib/novacron)",
  SHUTTING_DOWN: 'The agent is restarting: try again in a moment',
  WATCH_EXPIRED: 'Start watching again',
  AGENT_UNREACHABLE:
    'Is the agent running? On the node: systemctl status novacron-agent; in Kubernetes: ' +
    'kubectl -n novacron-system get pods -o wide. Then: novactl doctor',
  DEADLINE_EXCEEDED:
    'Nothing is known about the outcome: look again before repeating; --request-timeout waits longer',
  RESPONSE_TOO_LARGE: 'Ask for less at a time: one namespace with -n, or one label with -l',
  ANSWERS_UNREAD: 'Try again in a moment',
  INTERNAL: "Look into the agent's log: journalctl -u novacron-agent, or kubectl logs",
};

/** Of what stands in the way of a migration, or has ended one, where it is not what the same word means of a VM that is here. */
const OF_MIGRATIONS: Readonly<Partial<Record<Reason, string>>> = {
  INVALID_SPEC:
    'That node refuses the VM as it is: correct the fields named above with novactl vm edit NAME and restart it, or choose another node',
  NOT_SUPPORTED:
    'The agent of that node cannot carry out what is named: upgrade it, choose another node, or leave it out with novactl vm edit NAME and restart the VM',
  VM_NOT_OWNED:
    'What is here is not the VM: go to the node that is named above as its owner; the copy here goes with novactl vm delete NAME, with --unowned-copy where its agent knows that it is one',
  VM_NOT_FOUND:
    'Look for it with novactl vm list on both nodes; one that is on neither is made anew from its manifest: novactl vm apply -f FILE',
  NETWORK_NOT_FOUND:
    'Make a bridge of that name on that node, connected to the same network (docs/networks.md), or choose another node',
  IMAGE_NOT_FOUND:
    'Mount the storage that the image is on under the same path on that node; of a file that is only read a copy will do, with --trust-shared VOLUME',
};

/** Undefined for a reason of a newer agent, and where the reason is only a stand-in for a gRPC status. */
export function hintFor(error: AgentError): string | undefined {
  const status = error.metadata['grpcStatus'];
  const { node, migrationId } = error.metadata;
  if (status === undefined) {
    const isOfMigration = node !== undefined || migrationId !== undefined;
    const ofMigration = isOfMigration ? OF_MIGRATIONS[error.reason] : undefined;
    return of(node, ofMigration ?? HINTS[error.reason]);
  }
  if (status !== 'UNIMPLEMENTED') return undefined;
  return "Upgrade the node's agent (novactl version shows both versions)";
}

/** What is said of a node is to be done on that one, and not on the one that was asked. */
function of(node: string | undefined, hint: string): string {
  if (node === undefined) return hint;
  return hint.replaceAll('novactl node ', `novactl --node ${node} node `);
}
