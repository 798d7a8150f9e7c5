import type { Machine } from './machine.ts';

/** Whether a machine has a disk for cloud-init. */
export function hasSeed({ userData, cloudInit }: Machine): boolean {
  return userData !== undefined || cloudInit !== undefined;
}
