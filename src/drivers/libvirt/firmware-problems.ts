import type { Firmware, FirmwareProblem } from '../hypervisor-host.ts';
import { lists } from './domain-capabilities.ts';
import { parseXml } from './domain-xml/xml-parser.ts';
import { findElement } from './domain-xml/xml-query.ts';
import { formatVersion } from './host-info.ts';

/** What of a firmware libvirt's domain capabilities (formatdomaincaps) do not have. Nothing is said where they say nothing. */
export function firmwareProblems(
  capabilities: string,
  { type, secureBoot, tpm }: Firmware,
): readonly FirmwareProblem[] {
  if (capabilities === '') return [];
  const domain = parseXml(capabilities);
  const os = findElement(domain, 'os');
  const problems: FirmwareProblem[] = [];
  if (type === 'uefi' && !lists(os, 'firmware', 'efi')) {
    problems.push({
      part: 'type',
      description:
        'is uefi, for which this node has no image; install one there (Debian: apt-get install ovmf), or leave it out',
    });
  } else if (secureBoot === true && !lists(findElement(os, 'loader'), 'secure', 'yes')) {
    problems.push({
      part: 'secureBoot',
      description:
        'needs a UEFI image with Secure Boot, which this node does not have; install one there (Debian: apt-get install ovmf), or leave it out',
    });
  }
  const tpms = findElement(domain, 'devices', 'tpm');
  if (tpm !== undefined && !lists(tpms, 'backendModel', 'emulator')) {
    problems.push({
      part: 'tpm',
      description:
        'needs swtpm, which this node does not have; install it there (Debian: apt-get install swtpm swtpm-tools) and restart libvirt, or leave it out',
    });
  }
  return problems;
}

/** virDomainCreateFlags has VIR_DOMAIN_START_RESET_NVRAM since then. */
const RESETS_NVRAM_SINCE = 8_001_000;

/** What of it libvirt itself is too old for. */
export function nvramProblems(libvirtVersion: number, { nvram }: Firmware): FirmwareProblem[] {
  if (nvram !== 'reset' || libvirtVersion >= RESETS_NVRAM_SINCE) return [];
  const description = `is reset, which libvirt can from ${formatVersion(RESETS_NVRAM_SINCE)} on, and this node has ${formatVersion(libvirtVersion)}; leave it out or choose another node`;
  return [{ part: 'nvram', description }];
}
