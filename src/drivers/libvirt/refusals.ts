import type { Reason } from '../../core/errors.ts';

/** Why libvirt would not start or move a domain, where only its words tell that from its other failures, or those of QEMU. */
interface Refusal {
  readonly words: RegExp;
  readonly reason: Reason;
  /** What there is too little of, as the metadata of errors name it. */
  readonly resource?: string;
  /** What to do; `match` is that of the words. */
  readonly advice: (match: RegExpExecArray, where: string) => string;
}

/** Both name the file and the reason of the system; libvirt also the user, as which it has tried. */
function cannotOpen(why: string): RegExp {
  return new RegExp(
    `(?:Cannot access (?:storage|backing) file '.*' \\(as uid:(\\d+), gid:\\d+\\)|Cannot access (?:storage|backing) file '.*'|[Cc]ould not open (?:kernel file )?'?.*'?): ${why}`,
  );
}

/** In the words of libvirt 9 to 11 and QEMU 7 to 10. */
const REFUSALS: readonly Refusal[] = [
  {
    // Found at the start of the domain by older versions, when it is defined by newer ones.
    words: /^operation failed: Unable to find .*firmware/i,
    reason: 'FEATURE_NOT_SUPPORTED',
    advice: () =>
      'install a UEFI image for QEMU on this node (Debian: apt-get install ovmf), or boot the VM with BIOS',
  },
  {
    words: /Unable to find 'swtpm|swtpm.*(?:not found|cannot be executed)|Could not find swtpm/i,
    reason: 'FEATURE_NOT_SUPPORTED',
    advice: (_match, where) =>
      `install swtpm on ${where} (Debian: apt-get install swtpm swtpm-tools) and restart libvirt, or give the VM no TPM`,
  },
  {
    words: /unplug of device was rejected by the guest/,
    reason: 'GUEST_REFUSED',
    advice: () => 'end in the guest what still uses it (unmount the disk, take the interface down)',
  },
  {
    words: /No more available PCI slots/,
    reason: 'HYPERVISOR_REFUSED',
    advice: () =>
      'the VM has no free slot on its bus while it runs: restart it, which gives it more, or take something out first',
  },
  {
    words: /unable to map backing store for guest RAM|Insufficient free host memory pages/i,
    reason: 'NODE_CAPACITY_EXCEEDED',
    // Of which size they are it does not say.
    resource: 'hugepages',
    advice: (_match, where) =>
      `there are not as many huge pages of this size free on ${where} (/sys/kernel/mm/hugepages): end what has them, reserve more, or give the VM ordinary pages (spec.template.spec.memory.hugepages)`,
  },
  {
    words: /hugetlbfs (?:filesystem|mount)|hugepages? .*not (?:supported|enabled|found|mounted)/i,
    reason: 'FEATURE_NOT_SUPPORTED',
    advice: (_match, where) =>
      `mount them on ${where} (systemctl start dev-hugepages.mount) and restart libvirt, or give the VM ordinary pages (spec.template.spec.memory.hugepages)`,
  },
  {
    words: /unable to open vhost-vsock device/,
    reason: 'FEATURE_NOT_SUPPORTED',
    advice: (_match, where) =>
      `load the module vhost_vsock on ${where} if its kernel has it, or give the VM no vsock`,
  },
  {
    words:
      /kernel doesn't (?:allow|support).*Hyper-?V|Hyper-?V .* (?:is|are) not supported|host doesn't support hyperv '[\w-]+' feature/i,
    reason: 'FEATURE_NOT_SUPPORTED',
    advice: (_match, where) =>
      `KVM of ${where} does not give what the VM asks for in spec.template.spec.hyperv: name fewer features, or set enabled to false`,
  },
  {
    words: cannotOpen('Permission denied'),
    reason: 'IMAGE_NOT_READABLE',
    advice: ([, uid = 'USER'], where) =>
      `QEMU may not open it as the user that it runs as on ${where}: move it to a folder that this user may enter, such as /var/lib/libvirt/images, or open the folders that lead to it: setfacl -m u:${uid}:x FOLDER`,
  },
  {
    words: cannotOpen('No such file or directory'),
    reason: 'IMAGE_NOT_FOUND',
    advice: (_match, where) => `put it there, on ${where}, or correct the path`,
  },
  {
    words: /Cannot get interface MTU on '.*': No such device|[Uu]nable to add bridge .* port /,
    reason: 'NETWORK_NOT_FOUND',
    advice: (_match, where) =>
      `there is no such bridge on ${where}: make it (docs/networks.md), or connect the VM to another (spec.template.spec.networks)`,
  },
  {
    words: /Failed to get (?:shared )?"[a-z ]+" lock|Is another process using the image/,
    reason: 'IMAGE_IN_USE',
    advice: (_match, where) =>
      `stop what uses it on ${where} (fuser -v FILE), or use another image`,
  },
  {
    words: /[Tt]ray (?:of device .* )?is (?:not open|locked)|[Dd]evice .* is locked/,
    reason: 'DEVICE_IN_USE',
    advice: () =>
      'the guest holds the drive shut: have it let go of it (umount, eject), or take the medium out by force: novactl vm eject NAME VOLUME --force',
  },
  {
    words:
      /guest CPU doesn't match specification|CPU is incompatible with host CPU|guest and host CPU are not compatible|[Hh]ost CPU does not provide required features/,
    reason: 'CPU_INCOMPATIBLE',
    advice: cpuAdvice,
  },
  {
    words: /Unknown CPU model/,
    reason: 'CPU_INCOMPATIBLE',
    advice: (_match, where) =>
      `libvirt of ${where} does not know it: choose another (spec.template.spec.cpu.model; virsh cpu-models x86_64 lists them), or leave it out`,
  },
  {
    words: /Unknown CPU feature/,
    reason: 'CPU_INCOMPATIBLE',
    advice: (_match, where) =>
      `libvirt of ${where} does not know it: take it out of spec.template.spec.cpu.features`,
  },
];

function cpuAdvice(_match: unknown, where: string): string {
  return `the CPU of ${where} lacks what the VM has been given: give it a model that all nodes have (spec.template.spec.cpu.model), restart it and try again, or choose another node`;
}

/** What makes, starts, changes and moves domains. */
const REFUSED: ReadonlySet<string> = new Set([
  'define',
  'start',
  'migrate',
  'attachDevice',
  'detachDevice',
  'updateDevice',
]);

/** Undefined for words that are not known. */
export function findRefusal(
  message: string,
  operation: string,
): (Pick<Refusal, 'reason' | 'resource'> & { readonly advice: string }) | undefined {
  if (!REFUSED.has(operation)) return undefined;
  const where = operation === 'migrate' ? 'the destination' : 'this node';
  for (const { words, advice, ...refusal } of REFUSALS) {
    const match = words.exec(message);
    if (match !== null) return { ...refusal, advice: advice(match, where) };
  }
  return undefined;
}
